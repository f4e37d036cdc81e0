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
    /// The coordinator's epoch in the last marker, −1 before one.
    pub(crate) coordinator_epoch: i32,
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
    pub(crate) fn get(&self, id: i64) -> Option<&Producer> {
        self.0.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.0.iter().map(|(&id, producer)| (id, producer))
    }

    /// Checks a batch against what its producer sent before. An unknown producer may start anywhere,
    /// as in Kafka: its state may have been deleted with the log.
    pub(crate) fn check(&self, batch: &Batch) -> Result<Verdict, ErrorCode> {
        let Some(producer) = self.0.get(&batch.producer_id) else { return Ok(Verdict::Append) };
        if batch.producer_epoch < producer.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if batch.producer_epoch > producer.epoch {
            let starts = batch.base_sequence == 0;
            return if starts { Ok(Verdict::Append) } else { Err(ErrorCode::OutOfOrderSequenceNumber) };
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
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
        let producer = self.entry(batch.producer_id, batch.producer_epoch);
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Remembered {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            first_offset: batch.base_offset,
            last_offset: batch.last_offset(),
        });
        if batch.is_transactional() {
            producer.open_from.get_or_insert(batch.base_offset);
        }
    }

    /// Remembers a transaction's marker. Gives the first offset of what it ends, if it had written.
    pub(crate) fn ended(&mut self, id: i64, epoch: i16, coordinator_epoch: i32) -> Option<i64> {
        let producer = self.entry(id, epoch);
        producer.coordinator_epoch = coordinator_epoch;
        producer.open_from.take()
    }

    /// The first offset of any open transaction.
    pub(crate) fn first_open(&self) -> Option<i64> {
        self.0.values().filter_map(|producer| producer.open_from).min()
    }

    fn entry(&mut self, id: i64, epoch: i16) -> &mut Producer {
        let fresh = || Producer { epoch, batches: VecDeque::new(), open_from: None, coordinator_epoch: -1 };
        let producer = self.0.entry(id).or_insert_with(fresh);
        if producer.epoch != epoch {
            *producer = Producer { open_from: producer.open_from, ..fresh() };
        }
        producer
    }
}
