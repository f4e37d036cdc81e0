//! The connections of a client: one per broker address and purpose, made when first needed, made
//! again with growing pauses when lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::backoff::Backoff;
use super::in_a_task::in_a_task;
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

/// One broker for one purpose.
#[derive(Debug, Default)]
struct Slot {
    current: Mutex<Option<Connection>>,
    /// How many attempts to connect have ended.
    attempts: AtomicU64,
    /// Held while connecting.
    dialling: tokio::sync::Mutex<Dialling>,
}

#[derive(Debug, Default)]
struct Dialling {
    failures: u32,
    not_before: Option<Instant>,
    last: Option<Error>,
}

impl Slot {
    fn current(&self) -> Option<Connection> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone().filter(|connection| !connection.is_closed())
    }
}

/// How connections are made.
#[derive(Debug)]
struct Dialler {
    transport: Transport,
    options: ConnectionOptions,
    backoff: Backoff,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pool {
    dialler: Arc<Dialler>,
    slots: Mutex<BTreeMap<(Address, Purpose), Arc<Slot>>>,
}

impl Pool {
    pub(super) fn new(transport: Transport, options: ConnectionOptions, backoff: Backoff) -> Self {
        Self { dialler: Arc::new(Dialler { transport, options, backoff }), slots: Mutex::default() }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<(Address, Purpose), Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
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
        let slot = Arc::clone(self.slots().entry((address.clone(), purpose)).or_default());
        if let Some(connection) = slot.current() {
            return Ok(connection);
        }
        let (dialler, address) = (Arc::clone(&self.dialler), address.clone());
        in_a_task(async move { dialler.dial(&slot, address, deadline).await }).await?
    }

    /// Whether a connection to that address is open for short questions; `None` if none was tried or
    /// it has ended, `Some(false)` if the last attempt failed.
    pub(super) fn health(&self, address: &Address) -> Option<bool> {
        let slot = self.slots().get(&(address.clone(), Purpose::Control)).cloned()?;
        if slot.current().is_some() {
            return Some(true);
        }
        let dialling = slot.dialling.try_lock().ok()?;
        (dialling.failures > 0).then_some(false)
    }

    /// Lets go of connections to addresses that are no broker's any more, and of those of a
    /// membership that has ended.
    pub(super) fn retain(&self, keep: impl Fn(&Address, Purpose) -> bool) {
        self.slots().retain(|(address, purpose), _| keep(address, *purpose));
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        for slot in std::mem::take(&mut *self.slots()).into_values() {
            if let Some(connection) = slot.current() {
                connection.close();
            }
        }
    }
}

impl Dialler {
    /// Connects, one attempt at a time for a slot.
    async fn dial(&self, slot: &Slot, address: Address, deadline: Instant) -> Result<Connection> {
        let attempts = slot.attempts.load(Ordering::Relaxed);
        let mut dialling = slot.dialling.lock().await;
        if let Some(connection) = slot.current() {
            return Ok(connection);
        }
        if let Some(last) = &dialling.last
            && slot.attempts.load(Ordering::Relaxed) > attempts
        {
            // Somebody tried while we waited for our turn; trying again at once would not help.
            return Err(last.clone());
        }
        if let Some(pause) = dialling.not_before {
            if pause > deadline
                && let Some(last) = &dialling.last
            {
                return Err(last.clone());
            }
            tokio::time::sleep_until(pause).await;
        }
        let outcome = Connection::open(&self.transport, address.clone(), &self.options).await;
        slot.attempts.fetch_add(1, Ordering::Relaxed);
        match &outcome {
            Ok(connection) => {
                *slot.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                *dialling = Dialling::default();
            }
            Err(error) => {
                tracing::debug!(broker = %address, %error, "cannot connect");
                dialling.failures = dialling.failures.saturating_add(1);
                dialling.not_before = Some(Instant::now() + self.backoff.pause(dialling.failures));
                dialling.last = Some(error.clone());
            }
        }
        outcome
    }
}
