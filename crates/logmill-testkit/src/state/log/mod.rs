//! One partition's log: batches in offset order, and what readers ask about them.

mod clean;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use logmill_protocol::records::{BatchHeader, ControlBatch, MarkerKind};

use crate::state::batch::Batch;
use crate::state::producers::Producers;

/// A transaction that was rolled back: a reader of committed records drops its producer's batches
/// between the two offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The marker's offset.
    pub(crate) last_offset: i64,
}

/// How a producer's transaction ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) commit: bool,
}

/// The transaction coordinator's epoch in markers: one coordinator lives as long as the cluster.
const COORDINATOR_EPOCH: i32 = 0;

#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// The first offset that may be read.
    start: i64,
    /// The offset that the next record gets; also the high watermark, since replication takes no time.
    end: i64,
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Each leader epoch and the log's end when it began, epochs ascending.
    epochs: Vec<(i32, i64)>,
    pub(crate) producers: Producers,
    aborted: Vec<Aborted>,
}

impl Log {
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn batches(&self) -> impl DoubleEndedIterator<Item = &Batch> {
        self.batches.iter()
    }

    /// Every offset below it belongs to no open transaction.
    pub(crate) fn last_stable(&self) -> i64 {
        self.producers.first_open().map_or(self.end, |open| open.max(self.start))
    }

    /// A leader begins its time. Times in which nothing was stored leave no trace, as in Kafka.
    pub(crate) fn begin_epoch(&mut self, epoch: i32) {
        self.epochs.retain(|&(_, start)| start < self.end);
        self.epochs.push((epoch, self.end));
    }

    fn epoch(&self) -> i32 {
        self.epochs.last().map_or(0, |&(epoch, _)| epoch)
    }

    /// Stores a batch at the log's end.
    pub(crate) fn append(&mut self, mut batch: Batch) -> i64 {
        batch.base_offset = self.end;
        batch.leader_epoch = self.epoch();
        self.note(&batch);
        let base = self.end;
        self.end = batch.last_offset() + 1;
        self.bytes += batch.size();
        self.batches.push_back(batch);
        base
    }

    /// Ends a producer's transaction here: writes the marker that says how. Gives its size in bytes.
    pub(crate) fn end_transaction(&mut self, ending: &Ending, timestamp: i64) -> usize {
        let marker = ControlBatch {
            offset: self.end,
            leader_epoch: self.epoch(),
            timestamp,
            producer_id: ending.producer_id,
            producer_epoch: ending.producer_epoch,
            coordinator_epoch: COORDINATOR_EPOCH,
            commit: ending.commit,
        };
        // What was just encoded can be read.
        Batch::read(marker.encode()).map_or(0, |batch| {
            let size = batch.size();
            self.append(batch);
            size
        })
    }

    /// Takes over what a batch says of its producer.
    fn note(&mut self, batch: &Batch) {
        if batch.is_numbered() {
            self.producers.stored(batch);
        }
        let Some(marker) = batch.marker() else { return };
        let BatchHeader { producer_id, producer_epoch, .. } = *batch.header();
        let open = self.producers.ended(producer_id, producer_epoch);
        if let Some(first_offset) = open.filter(|_| marker.kind == MarkerKind::Abort) {
            self.aborted.push(Aborted { producer_id, first_offset, last_offset: batch.last_offset() });
        }
    }

    /// Where the first batch stands that has a record at or after `offset`.
    fn position(&self, offset: i64) -> usize {
        self.batches.partition_point(|batch| batch.last_offset() < offset)
    }

    /// Whole batches from the one that holds `offset` on, up to the offset `until`, cut at `most`
    /// bytes, wherever that falls, as a real broker cuts: a reader meets a partial batch at the end.
    /// The first batch is whole: with `at_least_one` it is given however large (KIP-74), without
    /// it a first batch above `most` gives nothing. Gives also the offset after the last batch begun.
    pub(crate) fn read(&self, offset: i64, until: i64, most: usize, at_least_one: bool) -> (Bytes, i64) {
        let from = self.position(offset);
        let readable = || self.batches.range(from..).take_while(|batch| batch.base_offset < until);
        let Some(first) = readable().next().filter(|batch| at_least_one || batch.size() <= most) else {
            return (Bytes::new(), offset);
        };
        let most = most.max(first.size());
        let mut out = BytesMut::with_capacity(self.readable_bytes(offset, until, most));
        let mut end = offset;
        for batch in readable() {
            if out.len() >= most {
                break;
            }
            batch.write(&mut out);
            end = batch.last_offset() + 1;
        }
        out.truncate(most);
        (out.freeze(), end)
    }

    /// Bytes that a read would find, counted no further than `enough`.
    pub(crate) fn readable_bytes(&self, offset: i64, until: i64, enough: usize) -> usize {
        let mut bytes = 0;
        for batch in self.batches.range(self.position(offset)..) {
            if batch.base_offset >= until || bytes >= enough {
                break;
            }
            bytes += batch.size();
        }
        bytes
    }

    /// Rolled-back transactions that touch the offsets from `from` up to `until`.
    pub(crate) fn aborted(&self, from: i64, until: i64) -> Vec<Aborted> {
        let touches = |a: &&Aborted| a.last_offset >= from && a.first_offset < until;
        self.aborted.iter().filter(touches).copied().collect()
    }

    /// Offset and timestamp of the first record with the greatest timestamp.
    pub(crate) fn greatest_timestamp(&self) -> Option<(i64, i64)> {
        let greatest = self.data().map(|batch| batch.header().max_timestamp).max()?;
        self.first_from(greatest)
    }

    /// Offset and timestamp of the first record at or after a time.
    pub(crate) fn first_from(&self, time: i64) -> Option<(i64, i64)> {
        let candidates = self.data().filter(|batch| batch.header().max_timestamp >= time);
        let records = candidates.flat_map(Batch::records);
        let mut found = records.filter(|record| record.offset >= self.start && record.timestamp >= time);
        found.next().map(|record| (record.offset, record.timestamp))
    }

    fn data(&self) -> impl Iterator<Item = &Batch> {
        self.batches.iter().filter(|batch| !batch.is_control())
    }

    /// The last epoch at or below `epoch` that the log has, and the offset where it ended (KIP-101,
    /// KIP-279). An epoch before all that are left ends where those begin. `None` for one that is still
    /// to come.
    pub(crate) fn epoch_end(&self, epoch: i32) -> Option<(i32, i64)> {
        let after = self.epochs.partition_point(|&(e, _)| e <= epoch);
        let (before, after) = self.epochs.split_at(after);
        match (before.last(), after.first()) {
            (Some(&(found, _)), Some(&(_, end))) => Some((found, end)),
            (Some(&(found, _)), None) => (found == epoch).then_some((found, self.end)),
            (None, Some(&(_, end))) => Some((epoch, end)),
            (None, None) => None,
        }
    }

    /// The leader epoch under which the record at `offset` was stored.
    pub(crate) fn epoch_at(&self, offset: i64) -> i32 {
        let after = self.epochs.partition_point(|&(_, start)| start <= offset);
        self.epochs[..after].last().map_or(-1, |&(epoch, _)| epoch)
    }
}
