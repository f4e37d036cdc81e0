//! What became of the records, and what the command says about it.

use std::collections::VecDeque;
use std::pin::Pin;

use logmill::{Ack, Error, Pending, ProduceError};

use crate::exit::{Exit, Failure, Outcome};
use crate::now::now;

/// So many answers may be outstanding; the producer itself bounds their bytes.
const MOST_PENDING: usize = 50_000;
/// Answers are looked at once for so many records sent.
const LOOK_EVERY: u64 = 64;
/// So many failures are told one by one.
const MOST_TOLD: u64 = 5;

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Answers still to come, in order, each with its record's number, from 1.
    pending: VecDeque<(u64, Pending)>,
    sent: u64,
    pub(super) persisted: u64,
    not_persisted: u64,
    possibly_persisted: u64,
    first: Option<ProduceError>,
    /// A failure that the next records would meet too.
    hopeless: bool,
}

impl Tally {
    /// Notes a record that was handed to the producer.
    ///
    /// # Errors
    /// It makes no sense to send more; [`Tally::verdict`] tells why.
    pub(super) async fn sent(&mut self, pending: Result<Pending, ProduceError>) -> Outcome {
        self.sent += 1;
        match pending {
            Ok(pending) => self.pending.push_back((self.sent, pending)),
            Err(error) => self.fails(self.sent, error),
        }
        let full = self.pending.len() > MOST_PENDING;
        if full || self.sent.is_multiple_of(LOOK_EVERY) {
            self.look(full).await;
        }
        if self.hopeless { Err(Failure::failed("")) } else { Ok(()) }
    }

    /// Takes the answers that are there; waits for the first if asked to.
    async fn look(&mut self, mut wait: bool) {
        while let Some((number, pending)) = self.pending.front_mut() {
            let number = *number;
            let answer = if wait { Some(pending.await) } else { now(Pin::new(pending)).await };
            let Some(answer) = answer else { return };
            self.pending.pop_front();
            self.answered(number, answer);
            wait = false;
        }
    }

    /// Waits for all answers. The producer gives each record up in the end, so they come.
    pub(super) async fn finish(&mut self) {
        while !self.pending.is_empty() {
            self.look(true).await;
        }
    }

    fn answered(&mut self, number: u64, answer: Result<Ack, ProduceError>) {
        match answer {
            Ok(_) => self.persisted += 1,
            Err(error) => self.fails(number, error),
        }
    }

    fn fails(&mut self, number: u64, error: ProduceError) {
        if error.is_possibly_persisted() {
            self.possibly_persisted += 1;
        } else {
            self.not_persisted += 1;
        }
        if self.failed() <= MOST_TOLD {
            eprintln!("record {number}: {error}");
        }
        // A record too large fails alone; what else ails one ails the next.
        self.hopeless |= !matches!(error.reason(), Error::RecordTooLarge { .. });
        self.first.get_or_insert(error);
    }

    pub(super) fn failed(&self) -> u64 {
        self.not_persisted + self.possibly_persisted
    }

    /// How the command ends, given how reading the input ended.
    pub(super) fn verdict(&self, read: Outcome) -> Outcome {
        let counts = format!(
            "{} persisted, {} not persisted, {} possibly persisted",
            self.persisted, self.not_persisted, self.possibly_persisted
        );
        match (read, &self.first) {
            (Err(failure), _) if failure.exit == Exit::Interrupted => {
                Err(Failure::new(Exit::Interrupted, format!("interrupted; {counts}")))
            }
            (_, Some(first)) => {
                let exit = if self.persisted > 0 {
                    Exit::Partly
                } else {
                    Failure::from(first.reason().clone()).exit
                };
                Err(Failure::new(exit, counts))
            }
            (read, None) => read,
        }
    }
}
