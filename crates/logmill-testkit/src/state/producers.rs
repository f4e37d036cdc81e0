//! What a partition's leader remembers of each idempotent producer (KIP-98): its epoch and its last
//! five batches, so that a batch sent again is answered and not stored twice.

use std::collections::{BTreeMap, VecDeque};

use logmill_protocol::error::ErrorCode;

use super::batch::{Batch, producer_sequence};

/// As many batches as a client may have in flight and still be idempotent.
const REMEMBERED: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    pub(crate) batches: VecDeque<Remembered>,
    /// First offset of the transaction that is open in this partition.
    pub(crate) open_from: Option<i64>,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is stored already; this is where.
    Stored(Remembered),
}

/// Every producer that a partition's log knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers(BTreeMap<i64, Producer>);

impl Producers {
    /// Whether the batch is the last that its producer is known to have written.
    pub(crate) fn is_last(&self, batch: &Batch) -> bool {
        let last = self.0.get(&batch.header().producer_id).and_then(|producer| producer.batches.back());
        last.is_some_and(|last| last.last_offset == batch.last_offset())
    }

    /// Checks a batch against what its producer sent before. An unknown producer may start anywhere,
    /// as in Kafka: its state may have been deleted with the log.
    pub(crate) fn check(&self, batch: &Batch) -> Result<Verdict, ErrorCode> {
        let header = batch.header();
        let Some(producer) = self.0.get(&header.producer_id) else { return Ok(Verdict::Append) };
        if header.producer_epoch < producer.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if header.producer_epoch > producer.epoch {
            let starts = header.base_sequence == 0;
            return if starts { Ok(Verdict::Append) } else { Err(ErrorCode::OutOfOrderSequenceNumber) };
        }
        let (first, last) = (header.base_sequence, batch.last_sequence());
        let same = |r: &&Remembered| (r.first_sequence, r.last_sequence) == (first, last);
        if let Some(stored) = producer.batches.iter().find(same) {
            return Ok(Verdict::Stored(*stored));
        }
        match producer.batches.back() {
            Some(before) if producer_sequence(before.last_sequence, 1) != first => {
                Err(ErrorCode::OutOfOrderSequenceNumber)
            }
            _ => Ok(Verdict::Append),
        }
    }

    /// Remembers a batch that was stored.
    pub(crate) fn stored(&mut self, batch: &Batch) {
        let producer = self.entry(batch.header().producer_id, batch.header().producer_epoch);
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Remembered {
            first_sequence: batch.header().base_sequence,
            last_sequence: batch.last_sequence(),
            first_offset: batch.base_offset,
            last_offset: batch.last_offset(),
        });
        if batch.is_transactional() {
            producer.open_from.get_or_insert(batch.base_offset);
        }
    }

    /// Remembers a transaction's marker. Gives the first offset of what it ends, if it had written.
    pub(crate) fn ended(&mut self, id: i64, epoch: i16) -> Option<i64> {
        self.entry(id, epoch).open_from.take()
    }

    /// The first offset of the producer's open transaction.
    pub(crate) fn open_from(&self, id: i64) -> Option<i64> {
        self.0.get(&id)?.open_from
    }

    /// The first offset of any open transaction.
    pub(crate) fn first_open(&self) -> Option<i64> {
        self.0.values().filter_map(|producer| producer.open_from).min()
    }

    fn entry(&mut self, id: i64, epoch: i16) -> &mut Producer {
        let fresh = || Producer { epoch, batches: VecDeque::new(), open_from: None };
        let producer = self.0.entry(id).or_insert_with(fresh);
        if producer.epoch != epoch {
            *producer = Producer { open_from: producer.open_from, ..fresh() };
        }
        producer
    }
}
