//! The pull form: records that the caller takes, and settles when it likes.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::handler::Outcome;
use super::record::Received;
use super::state::{Finished, NodeState};
use crate::error::{Error, Result};

/// A record that is in the caller's hands until it says what became of it. It may be sent to other
/// tasks and threads. One that is dropped unsettled is given back at once and comes again.
#[derive(Debug)]
pub struct Delivery {
    received: Received,
    state: Option<Arc<NodeState>>,
}

impl Delivery {
    pub(super) fn new(received: Received, state: Arc<NodeState>) -> Self {
        Self { received, state: Some(state) }
    }

    fn end(mut self, outcome: Outcome) {
        let finished = self.finished();
        if let Some(state) = self.state.take() {
            state.finish(finished, outcome);
        }
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

    /// Gives the record up for good.
    ///
    /// # Errors
    /// Always, for the time being: dead letters need the ledger, which this version does not have.
    /// The record is given back and comes again.
    pub fn dead(self, _reason: &str) -> Result<()> {
        Err(Error::config("dead letters", "this version cannot keep them yet; use retry with a long delay"))
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
        if let Some(state) = self.state.take() {
            state.put_back(finished);
        }
    }
}
