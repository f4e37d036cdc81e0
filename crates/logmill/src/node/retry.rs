//! How long a failed record waits before it comes again.

use std::time::Duration;

/// Exponential back-off with full jitter: try `n` waits a random time between half of
/// `first × 2^(n−1)` and all of it, never more than `longest`.
///
/// The default is 1 s to 60 s. Records are retried until they succeed: giving up needs the ledger of
/// dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    first: Duration,
    longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1), Duration::from_secs(60))
    }
}

impl Retry {
    /// Starts at `first`, doubles with each try, and stops growing at `longest`.
    #[must_use]
    pub const fn exponential(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The delay after try number `attempt` (from 1) failed. `draw` is random, from 0 to 1.
    pub(crate) fn delay(&self, attempt: u32, draw: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(30));
        doubled.min(self.longest).mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_the_longest() {
        let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(5));
        let delays: Vec<_> = [1, 2, 3, 4, u32::MAX].map(|attempt| retry.delay(attempt, 1.0).as_secs()).into();
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        assert_eq!(retry.delay(1, 0.0), Duration::from_millis(500));
    }
}
