//! A batch's header, read once.

use super::layout::{self, get};
use super::{BatchError, Compression};
use crate::error::DecodeError;
use crate::ids::Offset;

/// Who set the records' timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer, record by record.
    #[default]
    CreateTime,
    /// The broker, for the whole batch, when it was appended.
    LogAppendTime,
}

/// A batch's sixteen attribute bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub u16);

impl Attributes {
    const CODEC: u16 = 0x07;
    const LOG_APPEND_TIME: u16 = 0x08;
    const TRANSACTIONAL: u16 = 0x10;
    const CONTROL: u16 = 0x20;
    const DELETE_HORIZON: u16 = 0x40;

    /// The codec's number; 5 to 7 are none that Kafka has.
    #[must_use]
    pub fn codec(self) -> u8 {
        (self.0 & Self::CODEC) as u8
    }

    /// Who set the timestamps.
    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether it belongs to a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether its record is a transaction's marker, not data.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp tells when compaction may delete its tombstones (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    pub(super) fn with(self, compression: Compression) -> Self {
        Self(self.0 & !Self::CODEC | u16::from(compression.id()))
    }

    pub(super) fn with_log_append_time(self) -> Self {
        Self(self.0 | Self::LOG_APPEND_TIME)
    }

    pub(super) fn flagged(self, transactional: bool, control: bool) -> Self {
        let flags =
            if transactional { Self::TRANSACTIONAL } else { 0 } | if control { Self::CONTROL } else { 0 };
        Self(self.0 & !(Self::TRANSACTIONAL | Self::CONTROL) | flags)
    }
}

/// What a batch says of itself. The fields are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchHeader {
    /// The offset of its first record, or where that stood before compaction.
    pub base_offset: Offset,
    /// The epoch of the leader that appended it; −1 before a broker has.
    pub partition_leader_epoch: i32,
    /// The CRC-32C stored in it.
    pub crc: u32,
    /// Codec, timestamp type, transaction flags.
    pub attributes: Attributes,
    /// The last offset minus the base offset. Compaction keeps it, so it may be more than the records.
    pub last_offset_delta: i32,
    /// What the records' timestamps count from, in milliseconds since 1970.
    pub base_timestamp: i64,
    /// The greatest timestamp of its records, in milliseconds since 1970; −1 without records.
    pub max_timestamp: i64,
    /// The idempotent producer's id, or −1.
    pub producer_id: i64,
    /// The idempotent producer's epoch, or −1.
    pub producer_epoch: i16,
    /// The first record's sequence number, or −1.
    pub base_sequence: i32,
    /// How many records it holds; compaction leaves empty batches.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header from the front of a whole batch, and checks it against the batch's length.
    pub(super) fn read(batch: &[u8]) -> Result<Self, BatchError> {
        let header = Self {
            base_offset: i64::from_be_bytes(get(batch, layout::BASE_OFFSET)),
            partition_leader_epoch: i32::from_be_bytes(get(batch, layout::LEADER_EPOCH)),
            crc: u32::from_be_bytes(get(batch, layout::CRC)),
            attributes: Attributes(u16::from_be_bytes(get(batch, layout::ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(get(batch, layout::LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(get(batch, layout::BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(get(batch, layout::MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(get(batch, layout::PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(get(batch, layout::PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(get(batch, layout::BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(get(batch, layout::RECORD_COUNT)),
        };
        header.check(batch.len() - layout::HEADER)?;
        Ok(header)
    }

    fn check(&self, body: usize) -> Result<(), BatchError> {
        let delta = i64::from(self.last_offset_delta);
        let count = i64::from(self.record_count);
        let bad = if self.base_offset < 0 {
            Some(("base offset", self.base_offset))
        } else if delta < 0 || self.base_offset.checked_add(delta + 1).is_none() {
            Some(("last offset delta", delta))
        } else if count < 0 || count > delta + 1 || (count > 0 && body == 0) {
            Some(("record count", count))
        } else {
            None
        };
        match bad {
            None => Ok(()),
            Some((what, claimed)) => Err(BatchError::Malformed {
                base_offset: self.base_offset,
                source: DecodeError::BadLength { what, claimed, available: body },
            }),
        }
    }

    /// The last offset it covers.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// When compaction may delete its tombstones, in milliseconds since 1970 (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }
}
