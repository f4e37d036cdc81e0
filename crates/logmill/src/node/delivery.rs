//! The pull form: records that the caller takes, and settles when it likes.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::handler::Outcome;
use super::record::Received;
use super::state::{Finished, NodeState};

/// A record that is in the caller's hands until it says what became of it. It may be sent to other
/// tasks and threads. One that is dropped unsettled is given back at once and comes again.
#[derive(Debug)]
pub struct Delivery {
    received: Received,
    state: Option<Arc<NodeState>>,
    /// When the caller got it, if anybody wants to know.
    begun: Option<Instant>,
}

impl Delivery {
    pub(super) fn new(received: Received, state: Arc<NodeState>) -> Self {
        state.delivered.fetch_add(1, Ordering::Relaxed);
        Self { received, begun: state.meter.begin(), state: Some(state) }
    }

    /// What became of the record, as a handler would say it.
    pub fn end(mut self, outcome: Outcome) {
        let finished = self.finished();
        if let Some(state) = self.take() {
            if let Some(since) = self.begun {
                state.meter.handled(&finished.unit.lease.partition.partition, since);
            }
            state.finish(finished, outcome.into());
        }
    }

    /// Whether the record is still leased to this node. If it is not, and nobody has begun to work on it here, it is
    /// best dropped: another node may be at work on it. For a caller that keeps records waiting before it works on them.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.may_begin(&self.received.unit))
    }

    /// It leaves the caller's hands, if it was in them.
    fn take(&mut self) -> Option<Arc<NodeState>> {
        self.state.take().inspect(|state| {
            state.delivered.fetch_sub(1, Ordering::Relaxed);
        })
    }

    fn finished(&self) -> Finished {
        Finished::of(&self.received)
    }

    /// The record is handled and does not come again. It is settled in the store when its unit ends.
    pub fn ack(self) {
        self.end(Outcome::Ack);
    }

    /// The record comes again after `delay`, at this node or another.
    pub fn retry(self, delay: Duration) {
        self.end(Outcome::RetryAfter { delay, reason: "the caller asked for a retry".to_owned() });
    }

    /// Gives the record up: it goes to the ledger as a dead letter, and is settled once it is there.
    pub fn dead(self, reason: impl Into<String>) {
        self.end(Outcome::DeadLetter(reason.into()));
    }
}

impl Deref for Delivery {
    type Target = Received;

    fn deref(&self) -> &Received {
        &self.received
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let finished = self.finished();
        if let Some(state) = self.take() {
            state.put_back(finished);
        }
    }
}
