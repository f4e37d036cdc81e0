//! Who was handled how often, by identity.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts each record by its number: a byte each, so ten million take 10 MB.
#[derive(Debug, Default)]
pub(super) struct Tally {
    times: Mutex<Vec<u8>>,
    produced: AtomicU64,
    handled: AtomicU64,
}

/// What came of all records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) produced: u64,
    pub(super) handled: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) committed: u64,
    pub(super) disturbed: bool,
}

impl Tally {
    /// A record was acknowledged.
    pub(super) fn sent(&self) {
        self.produced.fetch_add(1, Ordering::Relaxed);
    }

    /// The record of that number was handled.
    pub(super) fn handle(&self, number: u64) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let index = number as usize;
        if times.len() <= index {
            times.resize(index + 1, 0);
        }
        times[index] = times[index].saturating_add(1);
        if times[index] == 1 {
            self.handled.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn produced(&self) -> u64 {
        self.produced.load(Ordering::Relaxed)
    }

    /// Different records that were handled.
    pub(super) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    pub(super) fn summary(&self, committed: u64, disturbed: bool) -> Summary {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let produced = self.produced();
        let handled = times.iter().filter(|times| **times > 0).count() as u64;
        let seen = times.iter().take(produced as usize).filter(|times| **times > 0).count() as u64;
        let duplicated = times.iter().map(|times| u64::from(times.saturating_sub(1))).sum();
        Summary { produced, handled, lost: produced - seen, duplicated, committed, disturbed }
    }
}
