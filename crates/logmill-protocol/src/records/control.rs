//! Control batches: the markers that end a transaction.

use bytes::Bytes;

use super::builder::{BatchBuilder, NewRecord};
use super::closed::Stamp;
use super::compression::Limits;
use super::layout::get;
use super::{Batch, assign_offsets};
use crate::ids::Offset;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MarkerKind {
    /// Its records are void.
    Abort,
    /// Its records count.
    Commit,
    /// A control record that ends no transaction, such as the ones of Kafka's own quorum.
    Other(i16),
}

/// A control batch's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Marker {
    /// What it says.
    pub kind: MarkerKind,
    /// The transaction coordinator's epoch; −1 if the record does not tell.
    pub coordinator_epoch: i32,
}

impl Batch {
    /// The marker in a control batch. `None` for a data batch, for one that compaction has emptied, and
    /// for one that cannot be read.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        if !self.is_control() {
            return None;
        }
        let records = self.records(Limits::default()).ok()?;
        let record = records.iter().next()?.ok()?;
        // Key: version, type. Value: version, coordinator's epoch.
        let key = record.key.filter(|key| key.len() >= 4)?;
        let kind = match i16::from_be_bytes(get(key, 2)) {
            0 => MarkerKind::Abort,
            1 => MarkerKind::Commit,
            other => MarkerKind::Other(other),
        };
        let coordinator_epoch = record
            .value
            .filter(|value| value.len() >= 6)
            .map_or(-1, |value| i32::from_be_bytes(get(value, 2)));
        Some(Marker { kind, coordinator_epoch })
    }
}

/// A marker to be written, as a broker does when a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlBatch {
    /// Where it goes in the partition.
    pub offset: Offset,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The transaction's producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The transaction coordinator's epoch.
    pub coordinator_epoch: i32,
    /// Whether the transaction's records count.
    pub commit: bool,
}

impl ControlBatch {
    /// The batch's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let key = [0, 0, 0, u8::from(self.commit)];
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut builder = BatchBuilder::new(Vec::new());
        let record = NewRecord::new(self.timestamp, Some(&key), Some(&value));
        // A dozen bytes fit any batch.
        let _ = builder.append(&record, usize::MAX);
        let stamp = Stamp {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: -1,
            transactional: true,
            control: true,
        };
        let mut batch = Vec::from(builder.finish(stamp));
        assign_offsets(&mut batch, self.offset, self.leader_epoch);
        batch.into()
    }
}
