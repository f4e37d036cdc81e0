//! How long a failed record waits before it comes again, and when it is given up on.

use std::time::Duration;

/// Exponential back-off with full jitter: try `n` waits a random time between half of
/// `first × 2^(n−1)` and all of it, never more than `longest`.
///
/// The default is 1 s to 60 s, and records are retried until they succeed. With [`Retry::max_attempts`] or
/// [`Retry::max_age`] they become dead letters instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    first: Duration,
    longest: Duration,
    max_attempts: Option<u32>,
    max_age: Option<Duration>,
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
        Self { first, longest, max_attempts: None, max_age: None }
    }

    /// A record that has failed so often is given up on. Zero counts as one.
    #[must_use]
    pub const fn max_attempts(self, attempts: u32) -> Self {
        Self { max_attempts: Some(if attempts == 0 { 1 } else { attempts }), ..self }
    }

    /// A record that fails and was produced longer ago than this, by its timestamp, is given up on.
    #[must_use]
    pub const fn max_age(self, age: Duration) -> Self {
        Self { max_age: Some(age), ..self }
    }

    pub(crate) const fn most_attempts(&self) -> Option<u32> {
        self.max_attempts
    }

    /// Whether a record of this age is given up on when try number `attempt` has failed.
    pub(crate) fn is_exhausted(&self, attempt: u32, age: Option<Duration>) -> bool {
        let too_old = |most| age.is_some_and(|age| age > most);
        self.max_attempts.is_some_and(|most| attempt >= most) || self.max_age.is_some_and(too_old)
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

    #[test]
    fn attempts_and_age_end_it_and_nothing_does_by_default() {
        let old = Some(Duration::from_secs(61));
        assert!(!Retry::default().is_exhausted(u32::MAX, old));
        let retry = Retry::default().max_attempts(3).max_age(Duration::from_secs(60));
        assert_eq!([2, 3, 4].map(|attempt| retry.is_exhausted(attempt, None)), [false, true, true]);
        assert!(retry.is_exhausted(1, old) && !retry.is_exhausted(1, Some(Duration::from_secs(60))));
        assert!(Retry::default().max_attempts(0).is_exhausted(1, None));
    }
}
