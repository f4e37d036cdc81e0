//! What becomes of a record that left its handler: done by what `verdict` decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::dead::GivenUp;
use super::event::{Event, Failure};
use super::events::cut;
use super::failures::wall_ms;
use super::handler::Outcome;
use super::order::Blocks;
use super::state::{Finished, NodeState};
use super::verdict::{Ended, Tried, Verdict, verdict};
use crate::ledger::DeadReason;

impl NodeState {
    /// What became of a record that was handed out.
    pub(crate) fn finish(self: &Arc<Self>, finished: Finished, ended: Ended) {
        let Finished { record, attempt, unit, .. } = &finished;
        if matches!(ended, Ended::Said(Outcome::Ack)) && *attempt == 1 {
            self.count_success(1);
            return self.handled(finished);
        }
        match ended.error() {
            None => self.count_success(*attempt),
            Some(error) => self.count_failure(*attempt, error),
        }
        let (partition, offset, now_ms) = (&unit.lease.partition, record.offset, wall_ms());
        let age = now_ms.checked_sub(record.timestamp).filter(|_| record.timestamp >= 0);
        let tried = Tried {
            attempt: *attempt,
            age: age.map(|ms| Duration::from_millis(ms.try_into().unwrap_or(0))),
            draw: self.draw(),
            in_doubt: self.is_in_doubt(),
        };
        let counts = !tried.in_doubt;
        self.tell_of_end(&finished, &ended);
        match verdict(ended, tried, &self.settings) {
            Verdict::Handled => {
                self.first_failures.forget(partition, offset);
                self.handled(finished);
            }
            Verdict::Again { delay, failure, error } => {
                if counts {
                    self.first_failures.note(partition, offset, now_ms);
                }
                self.again(finished, delay, failure, &error, counts);
            }
            Verdict::Dead { reason, error } => self.give_up(finished, reason, error, now_ms),
        }
    }

    fn handled(self: &Arc<Self>, Finished { record, unit, line, again, .. }: Finished) {
        unit.settle(record.offset);
        self.counts.settled.fetch_add(1, Ordering::Relaxed);
        self.no_longer_first(&unit, line, again);
        self.close(&unit, 1);
    }

    /// A handler that did not come to an end of its own.
    fn tell_of_end(&self, Finished { record, attempt, unit, .. }: &Finished, ended: &Ended) {
        let place = || (unit.lease.partition.partition.clone(), record.offset, *attempt);
        match ended {
            Ended::Said(_) => {}
            Ended::TimedOut(limit) => self.teller.tell(|| {
                let (partition, offset, attempt) = place();
                Event::TimedOut { partition, offset, attempt, limit: *limit }
            }),
            Ended::Panicked(text) => self.teller.tell(|| {
                let (partition, offset, attempt) = place();
                Event::Panicked { partition, offset, attempt, text: cut(text) }
            }),
        }
    }

    /// The record comes again. A try that does not `count` was not the record's fault: the next one has its number.
    fn again(
        self: &Arc<Self>,
        finished: Finished,
        delay: Duration,
        failure: Failure,
        error: &str,
        counts: bool,
    ) {
        let Finished { record, attempt, unit, line, again } = finished;
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        let place = &unit.lease.partition.partition;
        warn!(partition = %place, offset = record.offset, attempt, ?delay, error, "a record failed and will be retried");
        self.meter.retried(place, failure.name());
        self.teller.tell(|| {
            let (partition, offset, reason) = (place.clone(), record.offset, cut(error));
            Event::Retried { partition, offset, attempt, failure, reason, delay }
        });
        let line = match (self.settings.blocks, unit.lane_line()) {
            (Blocks::Nothing, Some(_)) => {
                self.no_longer_first(&unit, line, again);
                None
            }
            (Blocks::Lane, Some(lane)) if !again => {
                self.queue.hold_up(lane);
                line
            }
            _ => line,
        };
        let tries = if counts { attempt } else { attempt.saturating_sub(1) };
        if unit.fail(record, tries, line, Instant::now() + delay) {
            self.no_longer_first(&unit, line, true);
            self.close(&unit, 1);
        }
    }

    /// The record is not tried again. It stays open until the ledger has it.
    pub(crate) fn give_up(
        self: &Arc<Self>,
        finished: Finished,
        reason: DeadReason,
        error: String,
        now_ms: i64,
    ) {
        let Some(place) = self.dead.place() else {
            let error = format!("{error} (given up on later: too many dead letters wait for the ledger)");
            let delay = self.settings.retry.delay(u32::MAX, 1.0);
            return self.again(finished, delay, Failure::Ledger, &error, false);
        };
        let Finished { record, attempt, unit, .. } = &finished;
        let partition = &unit.lease.partition;
        warn!(partition = %partition.partition, offset = record.offset, attempt, reason = reason.name(), error,
            "a record is given up on: a dead letter");
        let first_failure_ms = self.first_failures.note(partition, record.offset, now_ms);
        self.first_failures.forget(partition, record.offset);
        unit.give_up(record.clone(), *attempt, Instant::now());
        let given_up = GivenUp { finished, reason, error, first_failure_ms, now_ms, place };
        self.engine.spawn(self.clone().bury(given_up));
    }
}
