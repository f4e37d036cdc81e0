//! Until when a member can be sure of being one, by its own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// The coordinator counts a member for a session from the last sign of life on. A process that slept longer finds out only
/// with its next heartbeat that others have its partitions; until then this tells it. Clones share one time.
#[derive(Clone, Debug)]
pub(crate) struct Alive {
    base: Instant,
    /// In microseconds after `base`.
    until: Arc<AtomicU64>,
}

impl Alive {
    pub(super) fn new() -> Self {
        Self { base: Instant::now(), until: Arc::default() }
    }

    pub(super) fn set(&self, until: Instant) {
        let micros = until.saturating_duration_since(self.base).as_micros();
        self.until.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Whether nobody else can have what this member holds.
    pub(crate) fn is_sure(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.base).as_micros() < u128::from(self.until.load(Ordering::Acquire))
    }
}
