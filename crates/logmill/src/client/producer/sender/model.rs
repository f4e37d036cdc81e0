//! A [`Track`] against a broker that keeps Kafka's rules for sequence numbers, through random histories
//! of refusals, lost requests, lost answers, batches too large and batches given up: the log never holds a record twice or
//! out of order, and no handle is told what is not so.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use logmill_protocol::ids::Partition;
use logmill_protocol::records::{BatchBuilder, Batches, Compressor, NewRecord};
use proptest::prelude::*;
use tokio::time::Instant;

use super::track::{Batch, Identity, Numbered, Settled, Track, Verdict};
use crate::client::producer::outcome::{BatchAck, ProduceError, Stored};
use crate::error::Error;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A batch of so many records is closed.
    Push(u8),
    /// What may be sent is sent.
    Send,
    /// The request in front reaches the broker.
    Arrive(Fate),
    /// The broker takes batches of so many records at most from now on.
    Limit(u8),
    /// The oldest batch that waits runs out of time.
    Expire,
    /// The oldest batch under way runs out of time.
    ExpireFlying,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Fine,
    /// Not appended, may go better next time.
    Refused,
    /// Appended, and answered with an error all the same.
    AppendedThenRefused,
    /// Not appended, for good.
    RefusedForGood,
    /// The producer is not accepted any more.
    Fenced,
    /// The connection breaks before this request arrives, or before its answer does.
    Lost,
    AppendedThenLost,
}

/// A producer as a partition remembers it: its epoch, and its last batches by first sequence, last
/// sequence and offset.
type Known = (i16, VecDeque<(i32, i32, i64)>);

/// One partition of a broker.
#[derive(Default)]
struct Log {
    records: Vec<u32>,
    /// The most records in a batch.
    limit: usize,
    producers: BTreeMap<i64, Known>,
}

impl Log {
    /// Kafka's rules: an unknown producer may begin anywhere, a new epoch at 0, and the last five
    /// batches are known again.
    fn append(&mut self, number: Numbered, records: &[u32]) -> Result<i64, Verdict> {
        // Before it looks whether it has the batch already.
        if records.len() > self.limit {
            return Err(Verdict::TooLarge(why()));
        }
        let (Identity { id, epoch }, first) = (number.identity, number.sequence);
        let last = first + records.len() as i32 - 1;
        if let Some((known, batches)) = self.producers.get(&id) {
            if epoch < *known {
                return Err(Verdict::Fenced(why()));
            }
            if epoch > *known && first != 0 {
                return Err(Verdict::OutOfSequence(why()));
            }
            if epoch == *known {
                if let Some(found) = batches.iter().find(|batch| (batch.0, batch.1) == (first, last)) {
                    return Ok(found.2);
                }
                if batches.back().is_some_and(|batch| batch.1 + 1 != first) {
                    return Err(Verdict::OutOfSequence(why()));
                }
            }
        }
        let offset = self.records.len() as i64;
        self.records.extend(records);
        let entry = self.producers.entry(id).or_insert((epoch, VecDeque::new()));
        if entry.0 != epoch {
            *entry = (epoch, VecDeque::new());
        }
        entry.1.push_back((first, last, offset));
        while entry.1.len() > 5 {
            entry.1.pop_front();
        }
        Ok(offset)
    }
}

/// A batch's first record: the time of each record is its number.
fn first(batch: &Batch) -> u32 {
    let bytes = batch.closed.bytes().clone();
    Batches::new(bytes).next().unwrap().unwrap().header().base_timestamp as u32
}

fn why() -> Error {
    Error::Closed { what: "a test" }
}

struct World {
    track: Track,
    log: Log,
    wire: VecDeque<Batch>,
    /// By a batch's first record: how many it has, and what its handles were told.
    told: BTreeMap<u32, (u32, Result<Stored, bool>)>,
    next_record: u32,
    next_id: i64,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self {
            track: Track::default(),
            log: Log { limit: usize::MAX, ..Log::default() },
            wire: VecDeque::new(),
            told: BTreeMap::new(),
            next_record: 0,
            next_id: 1,
            now: Instant::now(),
        }
    }

    fn push(&mut self, records: u8) {
        let mut builder = BatchBuilder::new(Vec::new());
        for record in self.next_record..self.next_record + u32::from(records) {
            builder.append(&NewRecord::new(i64::from(record), None, None), usize::MAX).unwrap();
        }
        let closed = builder.close(&mut Compressor::none()).unwrap();
        let ack = BatchAck::new(Partition::new("t", 0));
        // The deadline tells the order.
        let deadline = self.now + Duration::from_secs(u64::from(self.next_record) + 1);
        self.next_record += u32::from(records);
        self.track.push(Batch::new(closed, ack, deadline, 0));
    }

    fn send(&mut self) {
        self.halve();
        while self.track.next(5).is_some() {
            if self.track.wants_identity() {
                self.next_id += 1;
                assert!(self.track.identify(Identity { id: self.next_id, epoch: 0 }));
            }
            let batch = self.track.take(true).unwrap();
            self.wire.push_back(batch);
        }
        assert!(self.wire.len() <= 5);
    }

    fn halve(&mut self) {
        if let Some(oversized) = self.track.take_oversized() {
            let halves = oversized.closed.halves(&mut Compressor::none()).unwrap();
            self.track.put_halves(oversized, halves);
        }
    }

    fn settle(&mut self, settled: Option<Settled>) {
        let Some(Settled { batch, outcome }) = settled else { return };
        self.tell(&batch, outcome.map_err(|(doubtful, _)| doubtful));
    }

    /// As the acknowledgement does: what was told first stands.
    fn tell(&mut self, batch: &Batch, outcome: Result<Stored, bool>) {
        let first = first(batch);
        let error = ProduceError::new(batch.ack.partition.clone(), false, why());
        batch.ack.complete(Err(error));
        self.told.entry(first).or_insert((batch.closed.records(), outcome));
    }

    fn arrive(&mut self, fate: Fate) {
        let Some(batch) = self.wire.pop_front() else { return };
        let first = first(&batch);
        let records: Vec<u32> = (first..first + batch.closed.records()).collect();
        let number = batch.number.unwrap();
        let again = |doubtful| Verdict::Again { error: why(), doubtful };
        let reaches = !matches!(fate, Fate::Refused | Fate::RefusedForGood | Fate::Fenced | Fate::Lost);
        let appended = if reaches { self.log.append(number, &records) } else { Ok(-1) };
        let verdict = match (fate, appended) {
            (Fate::Fine, Ok(base_offset)) => Verdict::Stored(Stored { base_offset, append_time: -1 }),
            (Fate::AppendedThenRefused, Ok(_)) | (Fate::AppendedThenLost | Fate::Lost, _) => again(true),
            (_, Err(refused)) => refused,
            (Fate::Refused, _) => again(false),
            (Fate::RefusedForGood, _) => Verdict::Refused { error: why(), doubtful: false },
            (Fate::Fenced, _) => Verdict::Fenced(why()),
        };
        let settled = self.track.answered(batch, verdict);
        self.settle(settled);
        if matches!(fate, Fate::Lost | Fate::AppendedThenLost) {
            // The connection is gone, and with it what was sent after.
            for batch in std::mem::take(&mut self.wire) {
                let settled = self.track.answered(batch, again(true));
                self.settle(settled);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push(records) => self.push(records),
            Step::Send => self.send(),
            Step::Arrive(fate) => self.arrive(fate),
            Step::Limit(records) => self.log.limit = usize::from(records),
            Step::Expire => {
                let Some(head) = self.track.waiting().next().map(|batch| batch.deadline) else { return };
                for batch in self.track.expire(head) {
                    let doubtful = batch.doubtful;
                    self.tell(&batch, Err(doubtful));
                }
            }
            Step::ExpireFlying => {
                if let Some(batch) = self.wire.front() {
                    let first = first(batch);
                    let error = ProduceError::new(batch.ack.partition.clone(), true, why());
                    batch.ack.complete(Err(error));
                    self.told.entry(first).or_insert((batch.closed.records(), Err(true)));
                }
            }
        }
    }

    fn check(&self) {
        let log = &self.log.records;
        assert!(log.is_sorted_by(|a, b| a < b), "order, each once: {log:?}");
        let mut accounted = 0;
        for (&first, (count, outcome)) in &self.told {
            accounted += count;
            let at = log.iter().position(|&record| record == first);
            match outcome {
                Ok(stored) => assert_eq!(at, Some(stored.base_offset as usize), "record {first}: {log:?}"),
                Err(false) => assert_eq!(at, None, "record {first} is there although it was denied: {log:?}"),
                Err(true) => {}
            }
        }
        assert_eq!(accounted, self.next_record, "every record's fate is told");
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Fine),
        3 => Just(Fate::Refused),
        2 => Just(Fate::AppendedThenRefused),
        1 => Just(Fate::RefusedForGood),
        1 => Just(Fate::Fenced),
        2 => Just(Fate::Lost),
        2 => Just(Fate::AppendedThenLost),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u8..4).prop_map(Step::Push),
        6 => Just(Step::Send),
        12 => fate().prop_map(Step::Arrive),
        1 => (0u8..4).prop_map(Step::Limit),
        1 => Just(Step::Expire),
        1 => Just(Step::ExpireFlying),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn order_no_duplicates_and_the_truth(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        // All is well again: everything ends.
        for _ in 0..1_000 {
            world.send();
            if world.wire.is_empty() {
                break;
            }
            world.arrive(Fate::Fine);
        }
        world.check();
    }
}
