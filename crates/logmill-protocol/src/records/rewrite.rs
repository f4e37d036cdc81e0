//! What a broker changes in a batch that it appends.

use super::header::Attributes;
use super::layout::{self, get, put};
use crate::ids::Offset;

/// Writes the base offset and the leader's epoch into a whole batch. The CRC does not cover them, so
/// it stays right.
///
/// # Panics
/// `batch` is shorter than a batch's header: give it the bytes of a [`Batch`](super::Batch).
pub fn assign_offsets(batch: &mut [u8], base_offset: Offset, leader_epoch: i32) {
    put(batch, layout::BASE_OFFSET, base_offset.to_be_bytes());
    put(batch, layout::LEADER_EPOCH, leader_epoch.to_be_bytes());
}

/// Gives every record of a whole batch the broker's timestamp (milliseconds since 1970), and computes
/// the CRC anew.
///
/// # Panics
/// `batch` is shorter than a batch's header: give it the bytes of a [`Batch`](super::Batch).
pub fn set_log_append_time(batch: &mut [u8], timestamp: i64) {
    let attributes = Attributes(u16::from_be_bytes(get(batch, layout::ATTRIBUTES))).with_log_append_time();
    put(batch, layout::ATTRIBUTES, attributes.0.to_be_bytes());
    put(batch, layout::MAX_TIMESTAMP, timestamp.to_be_bytes());
    layout::put_crc(batch);
}
