//! What takes records out of a log: retention, compaction, truncation.

use std::collections::BTreeMap;

use bytes::Bytes;
use logmill_protocol::records::{BatchBuilder, BatchHeader, Compressor, NewRecord, Stamp};

use super::Log;
use crate::state::batch::Batch;
use crate::state::producers::Producers;

impl Log {
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
        let gone = self.epochs.partition_point(|&(_, start)| start <= self.start).saturating_sub(1);
        self.epochs.drain(..gone);
        if let Some(first) = self.epochs.first_mut() {
            first.1 = first.1.max(self.start);
        }
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

    /// Cuts the log off at the batch that holds `offset`, as an unclean election does, and forgets
    /// what the cut-off part said of epochs and producers. Gives the bytes freed.
    pub(crate) fn truncate(&mut self, offset: i64) -> usize {
        let keep = self.position(offset);
        let Some(first) = self.batches.get(keep) else { return 0 };
        self.end = first.base_offset.max(self.start);
        let freed: usize = self.batches.drain(keep..).map(|batch| batch.size()).sum();
        self.bytes -= freed;
        self.epochs.retain(|&(_, start)| start < self.end);
        self.producers = Producers::default();
        self.aborted.clear();
        let batches = std::mem::take(&mut self.batches);
        for batch in &batches {
            self.note(batch);
        }
        self.batches = batches;
        freed
    }

    /// Keeps the latest record of each key and drops records of rolled-back transactions, up to the
    /// last stable offset. Batches keep the offsets they cover, so holes appear; a batch without records
    /// stays, empty, if it is the last of its producer, and is gone otherwise. Markers stay, and so do
    /// records without a key (a real broker does not let them in). Gives the bytes freed.
    pub(crate) fn compact(&mut self) -> usize {
        let stable = self.last_stable();
        let mut latest = BTreeMap::<Bytes, i64>::new();
        for batch in self.batches.iter().filter(|b| !b.is_control() && b.base_offset < stable) {
            if !self.is_aborted(batch) {
                latest.extend(batch.records().filter_map(|record| Some((record.key?, record.offset))));
            }
        }
        let before = self.bytes;
        let batches = std::mem::take(&mut self.batches);
        for batch in batches {
            let cleanable = !batch.is_control() && batch.base_offset < stable;
            let kept = if cleanable { self.clean(batch, &latest) } else { Some(batch) };
            self.batches.extend(kept);
        }
        self.bytes = self.batches.iter().map(Batch::size).sum();
        before.saturating_sub(self.bytes)
    }

    /// Whether the batch belongs to a transaction that was rolled back.
    pub(crate) fn is_aborted(&self, batch: &Batch) -> bool {
        let inside = |a: &super::Aborted| {
            a.producer_id == batch.header().producer_id
                && (a.first_offset..a.last_offset).contains(&batch.base_offset)
        };
        batch.is_transactional() && self.aborted.iter().any(inside)
    }

    /// Whether the batch belongs to a transaction that is open.
    pub(crate) fn is_open(&self, batch: &Batch) -> bool {
        let from = self.producers.open_from(batch.header().producer_id);
        batch.is_transactional() && from.is_some_and(|from| from <= batch.base_offset)
    }

    /// The batch with only those of its records that are the latest of their key.
    fn clean(&self, batch: Batch, latest: &BTreeMap<Bytes, i64>) -> Option<Batch> {
        let aborted = self.is_aborted(&batch);
        let stays = |key: &Option<Bytes>, offset: i64| {
            !aborted && key.as_ref().is_none_or(|key| latest.get(key) == Some(&offset))
        };
        let mut builder = BatchBuilder::new(Vec::new());
        let mut next = batch.base_offset;
        for record in batch.records() {
            if stays(&record.key, record.offset) {
                builder.skip((record.offset - next) as u32);
                next = record.offset + 1;
                let headers: Vec<_> = record.headers().collect();
                let (key, value) = (record.key.as_deref(), record.value.as_deref());
                let copy =
                    NewRecord { timestamp: record.timestamp, key, value, headers: headers.iter().copied() };
                // It was in a batch of this size before.
                let _ = builder.append(&copy, usize::MAX);
            }
        }
        if builder.records() == batch.header().record_count as u32 {
            return Some(batch);
        }
        if builder.is_empty() && !self.producers.is_last(&batch) {
            return None;
        }
        builder.skip((batch.last_offset() + 1 - next) as u32);
        let BatchHeader { producer_id, producer_epoch, base_sequence, .. } = *batch.header();
        let transactional = batch.is_transactional();
        let stamp = Stamp { producer_id, producer_epoch, base_sequence, transactional, control: false };
        let mut compressor =
            Compressor::new(batch.compression(), None).unwrap_or_else(|_| Compressor::none());
        let mut closed = builder.close(&mut compressor).ok()?;
        let mut cleaned = Batch::read(closed.stamp(stamp)).ok()?;
        (cleaned.base_offset, cleaned.leader_epoch) = (batch.base_offset, batch.leader_epoch);
        Some(cleaned)
    }
}
