//! The connections of a client: one per broker address and purpose, made when first needed, made
//! again with growing pauses when lost.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::backoff::Backoff;
use crate::client::connection::{Connection, ConnectionOptions};
use crate::client::transport::{Address, Transport};
use crate::error::{Error, Result};

/// What a connection is for. A broker answers the requests of one connection in order, so a request
/// that it holds back must not share a connection with one that is in a hurry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Purpose {
    /// Short questions: metadata, offsets, administration, commits.
    Control,
    /// Produce requests.
    Produce,
    /// Fetch requests, on one of several connections.
    Fetch(u16),
    /// Fetches that wait for new records.
    Watch,
    /// Joining and heartbeats of one membership in a consumer group.
    Group(u64),
}

/// An attempt to connect, and how it ended once it has; `None` if its runtime ended first. It is a task of
/// its own: those who wait for it may look away or go, and hold up neither it nor each other.
type Attempt = Shared<BoxFuture<'static, Option<Result<Connection>>>>;

/// One broker for one purpose.
#[derive(Debug, Default)]
struct Slot {
    current: Option<Connection>,
    /// The attempt under way.
    attempt: Option<Attempt>,
    /// How many failed in a row, until when the next one waits, and why the last one failed.
    failures: u32,
    not_before: Option<Instant>,
    last: Option<Error>,
}

impl Slot {
    fn current(&self) -> Option<Connection> {
        self.current.clone().filter(|connection| !connection.is_closed())
    }

    /// The attempt under way.
    fn attempt(&self) -> Option<Attempt> {
        self.attempt.clone().filter(|attempt| attempt.peek().is_none())
    }
}

type Slots = BTreeMap<(Address, Purpose), Arc<Mutex<Slot>>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Pool {
    dialler: Dialler,
    slots: Mutex<Slots>,
}

/// How connections are made.
#[derive(Clone, Debug)]
struct Dialler {
    transport: Transport,
    options: ConnectionOptions,
    backoff: Backoff,
}

impl Pool {
    pub(super) fn new(transport: Transport, options: ConnectionOptions, backoff: Backoff) -> Self {
        Self { dialler: Dialler { transport, options, backoff }, slots: Mutex::default() }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        lock(&self.slots)
    }

    /// The connection to that address for that purpose; made if there is none.
    ///
    /// # Errors
    /// It cannot be made now, or not before the deadline.
    pub(super) async fn get(
        &self,
        address: &Address,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Connection> {
        let asked = Instant::now();
        let shared = Arc::clone(self.slots().entry((address.clone(), purpose)).or_default());
        let attempt = {
            let mut slot = lock(&shared);
            if let Some(connection) = slot.current() {
                return Ok(connection);
            }
            match (slot.attempt(), slot.not_before, &slot.last) {
                (Some(attempt), ..) => attempt,
                (None, Some(pause), Some(last)) if pause > deadline => return Err(last.clone()),
                (None, pause, _) => {
                    let dialling = self.dialler.clone().dial(address.clone(), pause, Arc::clone(&shared));
                    let attempt = tokio::spawn(dialling).map(|ended| ended.ok()).boxed().shared();
                    slot.attempt = Some(attempt.clone());
                    attempt
                }
            }
        };
        match tokio::time::timeout_at(deadline, attempt).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                let reason = "the runtime that was connecting has ended".into();
                Err(Error::NotSent { address: address.clone(), api: None, reason })
            }
            Err(_) => {
                let waited = format!("no connection within {:?}", asked.elapsed());
                let source = Arc::new(io::Error::new(io::ErrorKind::TimedOut, waited));
                Err(Error::Unreachable { address: address.clone(), source })
            }
        }
    }

    /// Whether a connection to that address is open for short questions; `None` if none was tried or
    /// it has ended, `Some(false)` if the last attempt failed.
    pub(super) fn health(&self, address: &Address) -> Option<bool> {
        let slot = self.slots().get(&(address.clone(), Purpose::Control)).cloned()?;
        let slot = lock(&slot);
        if slot.current().is_some() {
            return Some(true);
        }
        (slot.attempt().is_none() && slot.failures > 0).then_some(false)
    }

    /// How many connections are open to each address.
    pub(super) fn open(&self) -> BTreeMap<Address, usize> {
        let mut open = BTreeMap::new();
        let slots: Vec<_> =
            self.slots().iter().map(|((address, _), slot)| (address.clone(), slot.clone())).collect();
        for (address, slot) in slots {
            *open.entry(address).or_default() += usize::from(lock(&slot).current().is_some());
        }
        open
    }

    /// Lets go of connections to addresses that are no broker's any more, and of those of a
    /// membership that has ended.
    pub(super) fn retain(&self, keep: impl Fn(&Address, Purpose) -> bool) {
        self.slots().retain(|(address, purpose), _| keep(address, *purpose));
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        for slot in std::mem::take(&mut *self.slots()).into_values() {
            if let Some(connection) = lock(&slot).current() {
                connection.close();
            }
        }
    }
}

impl Dialler {
    /// One attempt, after the pause.
    async fn dial(
        self,
        address: Address,
        pause: Option<Instant>,
        slot: Arc<Mutex<Slot>>,
    ) -> Result<Connection> {
        if let Some(pause) = pause {
            tokio::time::sleep_until(pause).await;
        }
        let outcome = Connection::open(&self.transport, address.clone(), &self.options).await;
        let mut slot = lock(&slot);
        slot.attempt = None;
        match &outcome {
            Ok(connection) => *slot = Slot { current: Some(connection.clone()), ..Slot::default() },
            Err(error) => {
                tracing::debug!(broker = %address, %error, "cannot connect");
                slot.failures = slot.failures.saturating_add(1);
                slot.not_before = Some(Instant::now() + self.backoff.pause(slot.failures));
                slot.last = Some(error.clone());
            }
        }
        outcome
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
