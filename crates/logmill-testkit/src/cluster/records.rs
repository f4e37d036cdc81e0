//! Records and committed offsets as a test writes and reads them, without a client in between.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use logmill_protocol::error::ErrorCode;
use logmill_protocol::records::{BatchBuilder, NewRecord, OwnedRecord, Stamp};

use super::Cluster;
use super::verbs::partition_mut;
use crate::state::batch::Batch;

/// A record as it stands in a partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedRecord {
    /// Where it stands.
    pub offset: i64,
    /// Milliseconds since 1970, by its producer.
    pub timestamp: i64,
    /// The key, or null.
    pub key: Option<Bytes>,
    /// The value, or null.
    pub value: Option<Bytes>,
    /// The headers in their order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// The epoch of the leader that stored it.
    pub leader_epoch: i32,
    /// The idempotent producer that wrote it, or −1.
    pub producer_id: i64,
    /// Whether its transaction was rolled back: a reader of committed records does not see it.
    pub aborted: bool,
    /// Whether its transaction is still open.
    pub open: bool,
}

/// What a consumer group committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the last record read, or −1.
    pub leader_epoch: i32,
    /// Whatever the committer wrote beside it.
    pub metadata: String,
}

impl Cluster {
    /// Appends values without keys as one batch, timestamped now, and gives the first one's offset.
    ///
    /// # Panics
    /// There is no such partition, or there are no values.
    pub fn produce<V: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: i32,
        values: impl IntoIterator<Item = V>,
    ) -> i64 {
        self.produce_keyed(topic, partition, values.into_iter().map(|value| (None::<&[u8]>, Some(value))))
    }

    /// Appends keys and values, null where `None`, as one batch, timestamped now, and gives the first
    /// one's offset.
    ///
    /// # Panics
    /// There is no such partition, or there are no records, or more bytes than a batch can have.
    pub fn produce_keyed<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = (Option<K>, Option<V>)>,
    ) -> i64 {
        let now = self.shared.lock().state.wall_ms();
        let mut batch = BatchBuilder::new(Vec::new());
        for (key, value) in records {
            let (key, value) = (key.as_ref().map(AsRef::as_ref), value.as_ref().map(AsRef::as_ref));
            if let Err(error) = batch.append(&NewRecord::new(now, key, value), usize::MAX) {
                panic!("one batch cannot hold these records: {error}");
            }
        }
        assert!(!batch.is_empty(), "a batch without records cannot be appended");
        match self.append(topic, partition, batch.finish(Stamp::default())) {
            Ok(offset) => offset,
            Err(code) => panic!("{topic}/{partition} does not take a batch made here: {code}"),
        }
    }

    /// Appends one whole record batch as it is, as the leader does with what it is sent, but without
    /// looking at sequences. Gives its base offset.
    ///
    /// # Errors
    /// The batch is not what a producer may send: CORRUPT_MESSAGE and the like.
    ///
    /// # Panics
    /// There is no such partition.
    pub fn append(&self, topic: &str, partition: i32, batch: Bytes) -> Result<i64, ErrorCode> {
        let batch = Batch::received(batch)?;
        let size = batch.size();
        let mut world = self.shared.lock();
        let base = partition_mut(&mut world.state, topic, partition).log.append(batch);
        world.state.stored_bytes += size;
        world.state.wake_partition(topic, partition);
        Ok(base)
    }

    /// Every record in a partition's log, markers left out, also those that readers cannot see yet.
    ///
    /// # Panics
    /// There is no such partition.
    #[must_use]
    pub fn log(&self, topic: &str, partition: i32) -> Vec<LoggedRecord> {
        let mut world = self.shared.lock();
        let log = &partition_mut(&mut world.state, topic, partition).log;
        let data = log.batches().filter(|batch| !batch.is_control());
        let (start, mut all) = (log.start(), Vec::new());
        for batch in data {
            let (aborted, open) = (log.is_aborted(batch), log.is_open(batch));
            let records = batch.records().filter(|record| record.offset >= start);
            all.extend(records.map(|record| logged(record, batch, aborted, open)));
        }
        all
    }

    /// A partition's log as bytes, batch after batch, as a reader of everything gets it.
    ///
    /// # Panics
    /// There is no such partition.
    #[must_use]
    pub fn raw_log(&self, topic: &str, partition: i32) -> Bytes {
        let mut world = self.shared.lock();
        let mut bytes = BytesMut::new();
        for batch in partition_mut(&mut world.state, topic, partition).log.batches() {
            batch.write(&mut bytes);
        }
        bytes.freeze()
    }

    /// What a consumer group committed for a partition, if anything.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<CommittedOffset> {
        self.all_committed(group).remove(&(topic.to_owned(), partition))
    }

    /// Everything that a consumer group committed, by topic and partition.
    #[must_use]
    pub fn all_committed(&self, group: &str) -> BTreeMap<(String, i32), CommittedOffset> {
        let world = self.shared.lock();
        let committed = world.state.groups.get(group).into_iter().flat_map(|group| group.all_committed());
        let entry =
            |(topic, index, c): (&logmill_protocol::wire::Str, i32, &crate::state::groups::Committed)| {
                let (offset, leader_epoch, metadata) = (c.offset, c.leader_epoch, c.metadata.to_string());
                ((topic.to_string(), index), CommittedOffset { offset, leader_epoch, metadata })
            };
        committed.map(entry).collect()
    }

    /// The member ids of a consumer group, as of now.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<String> {
        let mut world = self.shared.lock();
        let now = world.state.now;
        let Some(group) = world.state.groups.get_mut(group) else { return Vec::new() };
        group.advance(now);
        group.members().map(|(id, _)| id.to_string()).collect()
    }
}

fn logged(record: OwnedRecord, batch: &Batch, aborted: bool, open: bool) -> LoggedRecord {
    let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    LoggedRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        headers: record.headers().map(|header| (copy(header.key), header.value.map(copy))).collect(),
        key: record.key,
        value: record.value,
        leader_epoch: batch.leader_epoch,
        producer_id: batch.header().producer_id,
        aborted,
        open,
    }
}
