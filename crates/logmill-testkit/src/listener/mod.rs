//! From bytes to calls: connections of clients, each served one request after the other as a real
//! broker does, and the loop that lets a request wait.

mod connection;
mod exchange;
mod frames;

pub(crate) use connection::serve;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::faults::Faults;
use crate::state::State;

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) faults: Faults,
}

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    /// Per broker, how often it was crashed. A connection ends when the number changes.
    pub(crate) crashes: BTreeMap<i32, watch::Sender<u64>>,
    /// The largest request accepted, in bytes.
    pub(crate) frame_limit: usize,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        let crashes = state.brokers.ids().map(|id| (id, watch::Sender::new(0))).collect();
        let frame_limit = state.options.frame_limit;
        Self { world: Mutex::new(World { state, faults: Faults::default() }), crashes, frame_limit }
    }

    /// The state, with its clock set to now. Held only while one request is looked at, never while
    /// anything is awaited.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.state.now = Instant::now();
        world
    }
}
