//! From bytes to calls: connections of clients, each served one request after the other as a real
//! broker does, and the loop that lets a request wait.

mod connection;
mod exchange;
mod frames;

pub(crate) use connection::serve;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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
    /// Per broker, what ends its connections when it crashes or the cluster is dropped. A token wakes them in the
    /// order in which they came; tokio's `watch` would draw one.
    lives: Mutex<BTreeMap<i32, CancellationToken>>,
    pub(crate) stop: CancellationToken,
    /// The largest request accepted, in bytes.
    pub(crate) frame_limit: usize,
}

impl Shared {
    /// `stop` ends everything.
    pub(crate) fn new(state: State, stop: CancellationToken) -> Self {
        let lives = state.brokers.ids().map(|id| (id, stop.child_token())).collect();
        let frame_limit = state.options.frame_limit;
        let world = Mutex::new(World { state, faults: Faults::default() });
        Self { world, lives: Mutex::new(lives), stop, frame_limit }
    }

    /// Ends the broker's connections.
    pub(crate) fn crash(&self, broker: i32) {
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = lives.insert(broker, self.stop.child_token()) {
            life.cancel();
        }
    }

    /// What ends the broker's connections that begin now; `None` if there is no such broker.
    pub(crate) fn life(&self, broker: i32) -> Option<CancellationToken> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).get(&broker).cloned()
    }

    /// The state, with its clock set to now. Held only while one request is looked at, never while
    /// anything is awaited.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.state.now = Instant::now();
        world
    }
}
