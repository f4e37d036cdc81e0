//! Pauses between attempts: they double, up to a limit, and are spread by chance so that clients that
//! failed together do not come back together (KIP-144, KIP-580).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Chance, from one seed, so that a run can be repeated. Cheap to clone; clones draw from one source.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A number from 0 up to, not including, 1.
    pub(crate) fn fraction(&self) -> f64 {
        self.draw().random()
    }

    /// Any number.
    pub(crate) fn number(&self) -> u64 {
        self.draw().random()
    }

    fn draw(&self) -> std::sync::MutexGuard<'_, StdRng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to pause before the next attempt.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    pub(crate) chance: Chance,
}

impl Backoff {
    /// The pause after the given number of failures in a row (from 1), spread by a fifth either way.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doubled =
            self.first.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.longest).mul_f64(0.8 + 0.4 * self.chance.fraction())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_limit_within_a_fifth() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(1));
        let backoff = Backoff { first, longest, chance: Chance::new(1) };
        for (failures, expected) in
            [(1, 50.), (2, 100.), (5, 800.), (6, 1000.), (40, 1000.), (u32::MAX, 1000.)]
        {
            let pause = backoff.pause(failures).as_secs_f64() * 1e3;
            assert!((0.8 * expected..=1.2 * expected).contains(&pause), "{failures}: {pause} ms");
        }
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = |seed| (0..4).map(|_| Chance::new(seed).number()).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
