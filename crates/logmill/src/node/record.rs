//! A record in a node's hands.

use std::sync::Arc;

use bytes::Bytes;
use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::records::{Headers, OwnedRecord};

use super::in_hand::InHand;
use super::order::Line;

/// A record as a handler gets it. Key, value and headers are slices of the batch it came in: cheap to
/// clone, and the batch stays in memory as long as one of them lives.
#[derive(Clone, Debug)]
pub struct Received {
    pub(super) record: OwnedRecord,
    pub(super) attempt: u32,
    pub(super) unit: Arc<InHand>,
    /// The line that it stands in, if it has an order.
    pub(super) line: Option<Line>,
    /// It failed before, in this node's hands.
    pub(super) again: bool,
}

impl Received {
    fn place(&self) -> &Partition {
        &self.unit.lease.partition.partition
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.place().topic
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.place().index
    }

    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.record.offset
    }

    /// Its timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        self.record.timestamp
    }

    /// The number of this try, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Its key, or null.
    #[must_use]
    pub fn key(&self) -> Option<&Bytes> {
        self.record.key.as_ref()
    }

    /// Its value, or null: a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&Bytes> {
        self.record.value.as_ref()
    }

    /// Its headers, in order; names may repeat.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.record.headers()
    }

    /// Its value, read as JSON; a null value reads as JSON's null.
    ///
    /// # Errors
    /// The value is no JSON, or not of that type.
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_slice(self.value().map_or(b"null", |value| &value[..]))
    }

    /// The memory it holds, roughly, in bytes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.key().map_or(0, Bytes::len) + self.value().map_or(0, Bytes::len)
    }
}
