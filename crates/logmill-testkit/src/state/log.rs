//! One partition's log: batches in offset order, and what readers ask about them.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::batch::Batch;
use super::producers::Producers;

/// A transaction that was rolled back: a reader of committed records drops its producer's batches
/// between the two offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The marker's offset.
    pub(crate) last_offset: i64,
}

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

    pub(crate) fn begin_epoch(&mut self, epoch: i32) {
        self.epochs.push((epoch, self.end));
    }

    fn epoch(&self) -> i32 {
        self.epochs.last().map_or(0, |&(epoch, _)| epoch)
    }

    /// Stores a batch at the log's end.
    pub(crate) fn append(&mut self, mut batch: Batch) -> i64 {
        batch.base_offset = self.end;
        batch.leader_epoch = self.epoch();
        if batch.is_numbered() && !batch.is_control() {
            self.producers.stored(&batch);
        }
        let base = self.end;
        self.end = batch.last_offset() + 1;
        self.bytes += batch.size();
        self.batches.push_back(batch);
        base
    }

    /// Notes that a transaction was rolled back by the marker at `last_offset`.
    pub(crate) fn abort(&mut self, aborted: Aborted) {
        self.aborted.push(aborted);
    }

    /// Where the first batch stands that has a record at or after `offset`.
    fn position(&self, offset: i64) -> usize {
        self.batches.partition_point(|batch| batch.last_offset() < offset)
    }

    /// Whole batches from the one that holds `offset` on, up to the offset `until`, cut at `most`
    /// bytes, wherever that falls, as a real broker cuts: a reader meets a partial batch at the end.
    /// The first batch is whole: with `at_least_one` it is given however large (KIP-74), without
    /// it a first batch above `most` gives nothing.
    pub(crate) fn read(&self, offset: i64, until: i64, most: usize, at_least_one: bool) -> Bytes {
        let from = self.position(offset);
        let readable = || self.batches.range(from..).take_while(|batch| batch.base_offset < until);
        let Some(first) = readable().next() else { return Bytes::new() };
        if first.size() > most && !at_least_one {
            return Bytes::new();
        }
        let most = most.max(first.size());
        let available = self.readable_bytes(offset, until, most);
        let mut out = BytesMut::with_capacity(available.min(most) + first.size());
        for batch in readable() {
            if out.len() >= most {
                break;
            }
            batch.write(&mut out);
        }
        out.truncate(most);
        out.freeze()
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

    /// Offset and timestamp of the first record of the batches whose timestamp is greatest.
    pub(crate) fn greatest_timestamp(&self) -> Option<(i64, i64)> {
        let greatest = self
            .batches
            .iter()
            .filter(|batch| !batch.is_control())
            .reduce(|best, batch| if batch.max_timestamp > best.max_timestamp { batch } else { best })?;
        Some((greatest.base_offset, greatest.max_timestamp))
    }

    /// Offset and timestamp of the first record at or after a time.
    pub(crate) fn first_from(&self, time: i64) -> Option<(i64, i64)> {
        let batch = self.batches.iter().find(|batch| batch.max_timestamp >= time)?;
        Some((batch.base_offset.max(self.start), batch.base_timestamp))
    }

    /// The last epoch at or below `epoch` that the log has, and the offset where it ended (KIP-101,
    /// KIP-279). `None` if the log has no such epoch.
    pub(crate) fn epoch_end(&self, epoch: i32) -> Option<(i32, i64)> {
        let after = self.epochs.partition_point(|&(e, _)| e <= epoch);
        let found = self.epochs[..after].last()?.0;
        let end = self.epochs.get(after).map_or(self.end, |&(_, start)| start);
        Some((found, end))
    }

    /// The leader epoch under which the record at `offset` was stored.
    pub(crate) fn epoch_at(&self, offset: i64) -> i32 {
        let after = self.epochs.partition_point(|&(_, start)| start <= offset);
        self.epochs[..after].last().map_or(-1, |&(epoch, _)| epoch)
    }

    /// Moves the first readable offset up to `offset`, and drops batches that lie wholly below it.
    /// Gives the bytes freed.
    pub(crate) fn delete_below(&mut self, offset: i64) -> usize {
        self.start = self.start.max(offset.min(self.end));
        let mut freed = 0;
        while self.batches.front().is_some_and(|batch| batch.last_offset() < self.start) {
            freed += self.batches.pop_front().map_or(0, |batch| batch.size());
        }
        self.bytes -= freed;
        self.aborted.retain(|aborted| aborted.last_offset >= self.start);
        freed
    }

    /// Drops whole batches from the front until no more than `most` bytes are left, but never the
    /// last batch. Gives the bytes freed.
    pub(crate) fn shrink_to(&mut self, most: usize) -> usize {
        let (mut left, mut keep_from) = (self.bytes, None);
        for (batch, next) in self.batches.iter().zip(self.batches.iter().skip(1)) {
            if left <= most {
                break;
            }
            left -= batch.size();
            keep_from = Some(next.base_offset);
        }
        keep_from.map_or(0, |offset| self.delete_below(offset))
    }
}
