//! How batches end: stored, refused, out of time, or with the producer.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::Sender;
use super::requests::{Flight, Passenger};
use super::track::{Batch, Settled, Verdict};
use crate::error::Error;

impl Sender {
    /// Takes a verdict on a batch.
    pub(super) fn judged(&mut self, passenger: Passenger, verdict: Verdict) {
        let Passenger { slot, batch, leader } = passenger;
        let route = &mut self.routes[slot];
        let failed = match verdict {
            Verdict::Stored(_) | Verdict::Refused { .. } | Verdict::TooLarge(_) => false,
            // Behind one that failed it could not be otherwise.
            Verdict::OutOfSequence(_) => !route.track.is_held(),
            Verdict::Again { .. } | Verdict::Fenced(_) => true,
        };
        if matches!(verdict, Verdict::Stored(_)) {
            route.failures = 0;
            route.last = None;
        }
        let settled = route.track.answered(batch, verdict);
        if let Some(Settled { batch, outcome }) = settled {
            match outcome {
                Ok(stored) => {
                    self.client.traffic().sent(&batch.ack.partition.topic, batch.closed.records());
                    batch.ack.complete(Ok(stored));
                    self.release(slot, batch);
                }
                Err((doubtful, error)) => self.fail(slot, batch, doubtful, error),
            }
        }
        // A leader that an answer named is tried at once; all else after a pause.
        if failed && self.routes[slot].leader.as_ref().is_none_or(|now| *now == leader) {
            self.pause(slot);
        }
        self.activate(slot);
    }

    /// Lets a batch that is too large for the broker go on in two halves.
    pub(super) fn halve(&mut self, slot: usize, oversized: Batch) {
        let route = &mut self.routes[slot];
        tracing::debug!(partition = %route.queue.partition, bytes = oversized.closed.len(), "batch too large, halved");
        match oversized.closed.halves(&mut self.compressor) {
            Ok(halves) => {
                route.queue.waiting.fetch_add(1, Ordering::Relaxed);
                route.track.put_halves(oversized, halves);
            }
            Err(error) => {
                let reason = Error::config("compression.type", error.to_string());
                self.fail(slot, oversized, false, reason);
            }
        }
    }

    fn release(&mut self, slot: usize, batch: Batch) {
        self.routes[slot].queue.waiting.fetch_sub(1, Ordering::Relaxed);
        self.shared.give_back(batch.charged, batch.closed.into_buffer());
    }

    fn fail(&mut self, slot: usize, batch: Batch, doubtful: bool, error: Error) {
        tracing::debug!(partition = %batch.ack.partition, records = batch.closed.records(), doubtful, %error, "batch not sent");
        self.shared.fail(&batch.ack, batch.closed.records(), doubtful, error);
        self.release(slot, batch);
    }

    /// Gives up what waits in a partition, for a reason that time does not heal.
    pub(super) fn give_up_waiting(&mut self, slot: usize, error: &Error) {
        for batch in self.routes[slot].track.drain() {
            let doubtful = batch.doubtful;
            self.fail(slot, batch, doubtful, error.clone());
        }
    }

    /// Gives up the batches that are past `delivery.timeout.ms`, and finds out when to look again. Those
    /// that are under way keep their place until they are answered; their handles are told now.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        if self.next_expiry.is_none_or(|at| at > now) {
            return;
        }
        for slot in 0..self.routes.len() {
            for mut batch in self.routes[slot].track.expire(now) {
                let last = batch.last.take().or_else(|| self.routes[slot].last.clone());
                let (doubtful, error) = (batch.doubtful, self.out_of_time(last));
                self.fail(slot, batch, doubtful, error);
            }
            self.activate(slot);
        }
        for flight in self.flights.values() {
            for batch in flight.batches().filter(|batch| batch.deadline <= now) {
                let error = self.out_of_time(batch.last.clone());
                self.shared.fail(&batch.ack, batch.closed.records(), true, error);
            }
        }
        let waiting = self.routes.iter().flat_map(|route| route.track.waiting());
        let flying = self.flights.values().flat_map(Flight::batches).filter(|batch| !batch.ack.is_done());
        self.next_expiry = waiting.chain(flying).map(|batch| batch.deadline).min();
    }

    fn out_of_time(&self, last: Option<Error>) -> Error {
        let after = self.shared.options.delivery_timeout;
        let last = last.unwrap_or(Error::Closed { what: "the time for an answer (delivery.timeout.ms)" });
        Error::GaveUp { what: "sending a record".to_owned(), after, last: Box::new(last) }
    }
}

/// However the sender ends, no handle waits for ever, and none is told what is not known.
impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.end();
        for topic in self.shared.topics() {
            for index in 0..topic.partitions.len() {
                self.shared.close_batch(&topic, index, None);
            }
        }
        let reason = || Error::Closed { what: "the producer" };
        let mut lost = 0;
        let inbox = std::mem::take(&mut *self.shared.inbox());
        for (_, open) in inbox.closed {
            lost += u64::from(open.builder.records());
            self.shared.fail(&open.ack, open.builder.records(), false, reason());
        }
        for route in &mut self.routes {
            for batch in route.track.drain() {
                lost += u64::from(batch.closed.records());
                self.shared.fail(&batch.ack, batch.closed.records(), batch.doubtful, reason());
            }
        }
        for batch in self.flights.values().flat_map(Flight::batches) {
            lost += u64::from(batch.closed.records());
            self.shared.fail(&batch.ack, batch.closed.records(), true, reason());
        }
        if lost > 0 {
            tracing::warn!(
                records = lost,
                "producer ended with records that were not sent, or not acknowledged: close() it first"
            );
        }
    }
}
