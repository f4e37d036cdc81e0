//! What operators ask of a group, as it stands in its ledger, and then what they ask from then on.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::ids::Offset;
use tokio::time::sleep;
use tracing::debug;

use super::Ledger;
use super::entry::{Logged, Shelf};
use super::topic::is_forbidden;
use crate::client::fetch::{Position, RecordStream};
use crate::error::{Error, Result};

/// How often it is looked whether the ledger exists by now, or can be read again.
const LOOK: Duration = Duration::from_secs(1);

/// What following a ledger gives.
#[derive(Debug)]
pub enum Followed {
    /// An entry, or that it was taken away. The last word on a key counts; older ones may come before it.
    Entry(Logged<Option<Bytes>>),
    /// All that the ledger had when it was opened has been given. Told once.
    CaughtUp,
    /// This client may not read the ledger. Told once; it is tried again.
    Forbidden(Error),
}

/// Follows a ledger. Made by [`Ledger::follow`].
#[derive(Debug)]
pub struct Follow {
    ledger: Ledger,
    stream: Option<RecordStream>,
    waiting: VecDeque<Logged<Option<Bytes>>>,
    /// Up to here the log went when it was opened; `None` once that was told.
    caught_up_at: Option<Offset>,
    position: Offset,
    /// It was told that it may not be read.
    forbidden: bool,
}

impl Ledger {
    /// All that operators ask of the group, and then whatever comes. The ledger need not exist yet.
    #[must_use]
    pub fn follow(&self) -> Follow {
        Follow {
            ledger: self.clone(),
            stream: None,
            waiting: VecDeque::new(),
            caught_up_at: Some(Offset::MAX),
            position: 0,
            forbidden: false,
        }
    }
}

impl Follow {
    /// What comes next. Waits until there is something; failures are tried again for ever. May be
    /// dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Followed {
        loop {
            if let Some(logged) = self.waiting.pop_front() {
                return Followed::Entry(logged);
            }
            if self.caught_up_at.is_some_and(|end| self.position >= end) {
                self.caught_up_at = None;
                return Followed::CaughtUp;
            }
            if let Err(problem) = self.step().await {
                self.stream = None;
                if is_forbidden(&problem) && !self.forbidden {
                    self.forbidden = true;
                    return Followed::Forbidden(problem);
                }
                debug!(topic = self.ledger.topic(), %problem, "the ledger is not read for the time being");
                sleep(LOOK).await;
            }
        }
    }

    async fn step(&mut self) -> Result<()> {
        let Some(stream) = &mut self.stream else { return self.open().await };
        match stream.next().await {
            Ok(fetched) => {
                self.position = fetched.position;
                self.waiting.extend(self.ledger.logged(fetched)?);
            }
            Err(Error::Deleted { log_start, partition, .. }) => {
                stream.seek(partition, Position::at(log_start));
            }
            Err(problem) => {
                // It is read again from its start: what it said before comes again, and changes nothing.
                self.position = 0;
                return Err(problem);
            }
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<()> {
        let Some(range) = self.ledger.range(Shelf::Asked).await? else {
            if self.caught_up_at.is_some() {
                (self.caught_up_at, self.position) = (Some(0), 0);
            } else {
                sleep(LOOK).await;
            }
            return Ok(());
        };
        let start = self.position.clamp(range.start, range.end);
        if self.caught_up_at.is_some() {
            (self.caught_up_at, self.position) = (Some(range.end), start);
        }
        let place = (self.ledger.place(Shelf::Asked), Position::at(start));
        self.stream = Some(self.ledger.inner.client.stream([place], &self.ledger.fetch_options()));
        Ok(())
    }
}
