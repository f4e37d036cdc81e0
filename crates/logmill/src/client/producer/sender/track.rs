//! The order of one partition's batches: which may be sent, under which sequence numbers, and what an
//! answer means for those behind it. Pure: no socket, no clock.
//!
//! Five rules make order and no duplicates out of Kafka's sequence numbers:
//!
//! 1. A batch that may be in the log keeps its number until an answer tells: sent again under the same
//!    number, the broker knows it.
//! 2. After a failure nothing is sent until all in flight are answered; then from the oldest on.
//! 3. When a number is missing for good, the batches behind it begin at 0 under the next epoch. They
//!    cannot be in the log: the broker takes no number before the one in front of it. The exception is
//!    a producer that the partition does not know, which may begin anywhere; so the first batch of an
//!    epoch travels alone.
//! 4. A broker knows the last five batches again, no more. So nothing is sent that is five or more
//!    places after the oldest batch whose fate is open.
//! 5. A batch that is too large is not in the log, unless an earlier attempt put it there. Two halves
//!    take its place, and its numbers; not before all in flight are answered, so that those behind it
//!    wait behind both.

use std::collections::VecDeque;
use std::sync::Arc;

use logmill_protocol::records::ClosedBatch;
use tokio::time::Instant;

use crate::client::producer::outcome::{BatchAck, Stored};
use crate::error::Error;

/// How many batches of a producer a broker knows again.
const REMEMBERED: u64 = 5;

/// An idempotent producer as brokers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// What a batch is sent under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) identity: Identity,
    pub(super) sequence: i32,
}

impl Numbered {
    /// The number of the record so many places on. Numbers go round: 0 follows 2^31 − 1.
    fn after(self, records: u32) -> Self {
        Self { sequence: self.sequence.wrapping_add(records as i32) & i32::MAX, ..self }
    }
}

/// A closed batch on its way.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) closed: ClosedBatch,
    pub(super) ack: Arc<BatchAck>,
    pub(super) deadline: Instant,
    /// The bytes of `buffer.memory` that it holds.
    pub(super) charged: usize,
    /// Its place among the partition's batches.
    ordinal: u64,
    pub(super) number: Option<Numbered>,
    /// An attempt may have stored it.
    pub(super) doubtful: bool,
    /// The last answer was that its number is not the next.
    out_of_sequence: bool,
    /// The last answer was that it is too large: it is not sent again in one piece.
    oversized: bool,
    /// Why the last attempt failed.
    pub(super) last: Option<Error>,
}

impl Batch {
    pub(super) fn new(closed: ClosedBatch, ack: Arc<BatchAck>, deadline: Instant, charged: usize) -> Self {
        Self {
            closed,
            ack,
            deadline,
            charged,
            ordinal: 0,
            number: None,
            doubtful: false,
            out_of_sequence: false,
            oversized: false,
            last: None,
        }
    }

    /// Two batches that carry on for this one: `closed` has its records.
    fn halved(self, closed: [ClosedBatch; 2]) -> [Self; 2] {
        let [first, second] = closed;
        let (at, charged) = (first.records(), self.charged / 2);
        let [to_first, to_second] = self.ack.halve(at);
        let half = |closed, ack, charged, number| Self {
            number,
            last: self.last.clone(),
            ..Self::new(closed, ack, self.deadline, charged)
        };
        let after = self.number.map(|number| number.after(at));
        [half(first, to_first, charged, self.number), half(second, to_second, self.charged - charged, after)]
    }
}

/// What an answer, or its absence, says of a batch.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It is in the log.
    Stored(Stored),
    /// It may go better next time; `doubtful` if this attempt may have stored it.
    Again { error: Error, doubtful: bool },
    /// It is more than the broker takes at once. This attempt did not store it.
    TooLarge(Error),
    /// Its number is not the one that the broker expects. It is not in the log.
    OutOfSequence(Error),
    /// The broker does not accept this producer id and epoch any more.
    Fenced(Error),
    /// It will never be taken; `doubtful` if it may be in the log all the same.
    Refused { error: Error, doubtful: bool },
}

/// A batch whose fate is known; an error comes with whether the batch may be in the log.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) batch: Batch,
    pub(super) outcome: Result<Stored, (bool, Error)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Track {
    queue: VecDeque<Batch>,
    /// The places of the batches in flight.
    in_flight: Vec<u64>,
    next_ordinal: u64,
    identity: Option<Identity>,
    /// A producer id that is used up here.
    spent: Option<i64>,
    next_sequence: i32,
    /// A batch of this identity was stored.
    established: bool,
    /// Nothing is sent until all in flight are answered.
    hold: bool,
    /// A number is missing for good: what follows must be numbered anew.
    broken: bool,
}

impl Track {
    /// Takes a new batch.
    pub(super) fn push(&mut self, mut batch: Batch) {
        batch.ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        self.queue.push_back(batch);
    }

    /// The batches that wait to be sent, oldest first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Batch> {
        self.queue.iter()
    }

    /// The oldest batch, if it may be sent now with at most `limit` in flight.
    pub(super) fn next(&mut self, limit: usize) -> Option<&Batch> {
        if self.in_flight.is_empty() {
            self.recover();
        }
        let window = REMEMBERED.max(limit as u64);
        let limit = if self.established && !self.broken { limit } else { 1 };
        let head = self.queue.front()?;
        let oldest = self.in_flight.iter().copied().min().unwrap_or(head.ordinal);
        let within = head.ordinal.saturating_sub(oldest) < window;
        (within && !head.oversized && !self.hold && self.in_flight.len() < limit).then_some(head)
    }

    /// Whether nothing is sent until all in flight are answered.
    pub(super) fn is_held(&self) -> bool {
        self.hold
    }

    /// Takes the oldest batch if it is too large and all in flight are answered: for
    /// [`Track::put_halves`].
    pub(super) fn take_oversized(&mut self) -> Option<Batch> {
        let ready = self.in_flight.is_empty() && self.queue.front()?.oversized;
        if ready { self.queue.pop_front() } else { None }
    }

    /// Puts two batches with its records in its place.
    pub(super) fn put_halves(&mut self, oversized: Batch, closed: [ClosedBatch; 2]) {
        let [first, second] = oversized.halved(closed);
        self.queue.push_front(second);
        self.queue.push_front(first);
        // None is in flight, so places can be given anew.
        self.next_ordinal = self.queue.len() as u64;
        for (ordinal, batch) in (0..).zip(&mut self.queue) {
            batch.ordinal = ordinal;
        }
    }

    /// All in flight are answered: decides whether to go on as before or to number anew.
    fn recover(&mut self) {
        self.hold = false;
        let Some(head) = self.queue.front() else { return };
        if head.doubtful || !(self.broken || head.out_of_sequence) {
            // Rule 1: what may be in the log is asked for under its own number first.
            return;
        }
        // Rule 3.
        self.broken = false;
        self.established = false;
        self.next_sequence = 0;
        if let Some(identity) = self.identity {
            match identity.epoch.checked_add(1) {
                Some(epoch) => self.identity = Some(Identity { epoch, ..identity }),
                None => self.retire(),
            }
        }
        for batch in &mut self.queue {
            batch.number = None;
            batch.doubtful = false;
            batch.out_of_sequence = false;
        }
    }

    fn retire(&mut self) {
        self.spent = self.identity.take().map(|identity| identity.id).or(self.spent);
    }

    /// Whether the next batch needs a producer id that is not there yet.
    pub(super) fn wants_identity(&self) -> bool {
        self.identity.is_none() && self.queue.front().is_some_and(|batch| batch.number.is_none())
    }

    /// Gives the partition a producer id, for the batches that are not numbered yet. Returns whether it
    /// can be used here.
    pub(super) fn identify(&mut self, identity: Identity) -> bool {
        if self.spent == Some(identity.id) {
            return false;
        }
        self.identity = Some(identity);
        self.next_sequence = 0;
        self.established = false;
        true
    }

    /// Takes the oldest batch to be sent. With `idempotent`, it has its number.
    pub(super) fn take(&mut self, idempotent: bool) -> Option<Batch> {
        let mut batch = self.queue.pop_front()?;
        self.in_flight.push(batch.ordinal);
        batch.out_of_sequence = false;
        if !idempotent {
            self.established = true;
        } else if batch.number.is_none() {
            batch.number = self.identity.map(|identity| Numbered { identity, sequence: self.next_sequence });
            if let Some(number) = batch.number {
                self.next_sequence = number.after(batch.closed.records()).sequence;
            }
        }
        Some(batch)
    }

    /// Takes an answer. Gives the batch back if its fate is known; else it waits for its next try.
    pub(super) fn answered(&mut self, mut batch: Batch, verdict: Verdict) -> Option<Settled> {
        self.in_flight.retain(|ordinal| *ordinal != batch.ordinal);
        self.hold |= !matches!(verdict, Verdict::Stored(_));
        let error = match verdict {
            Verdict::Stored(stored) => {
                self.established = true;
                return Some(Settled { batch, outcome: Ok(stored) });
            }
            Verdict::Refused { error, doubtful } => {
                batch.doubtful |= doubtful;
                return Some(self.give_up(batch, error));
            }
            Verdict::Fenced(error) => {
                self.retire();
                self.broken = true;
                if batch.doubtful {
                    return Some(self.give_up(batch, error));
                }
                error
            }
            // It may be in the log in one piece: halves would be there twice.
            Verdict::TooLarge(error) if batch.doubtful || batch.closed.records() == 1 => {
                return Some(self.give_up(batch, error));
            }
            Verdict::TooLarge(error) => {
                batch.oversized = true;
                error
            }
            Verdict::OutOfSequence(error) => {
                batch.out_of_sequence = true;
                batch.doubtful = false;
                error
            }
            Verdict::Again { error, doubtful } => {
                batch.doubtful |= doubtful;
                error
            }
        };
        if batch.ack.is_done() {
            // It was given up while it was under way.
            return Some(self.give_up(batch, error));
        }
        batch.last = Some(error);
        let at = self.queue.partition_point(|other| other.ordinal < batch.ordinal);
        self.queue.insert(at, batch);
        None
    }

    fn give_up(&mut self, batch: Batch, error: Error) -> Settled {
        self.broken |= batch.number.is_some();
        Settled { outcome: Err((batch.doubtful, error)), batch }
    }

    /// Gives up the batches that wait and are past their deadline.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Batch> {
        let late = self.queue.iter().take_while(|batch| batch.deadline <= now).count();
        let expired: Vec<_> = self.queue.drain(..late).collect();
        self.broken |= expired.iter().any(|batch| batch.number.is_some());
        expired
    }

    /// Gives up everything that waits.
    pub(super) fn drain(&mut self) -> Vec<Batch> {
        let all: Vec<_> = self.queue.drain(..).collect();
        self.broken |= all.iter().any(|batch| batch.number.is_some());
        all
    }

    /// The topic was made again: this partition has never heard of the producer.
    pub(super) fn forgotten(&mut self) {
        self.established = false;
    }
}
