//! Waiting for units: a word on the group's channel wakes at once; where none can be heard, the
//! store is asked again after a pause that grows.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::PushKind;
use tokio::sync::watch;
use tokio::time::timeout;

/// The pauses between asking when the channel cannot be heard: the first, and the longest.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The longest pause when it can: a word may be lost without a trace.
const DOUBT: Duration = Duration::from_secs(1);

/// What is heard, and how long to wait.
#[derive(Debug)]
pub(super) struct Wake {
    version: watch::Sender<u64>,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    /// Whether the channel can be heard.
    hears: bool,
    poll: Duration,
    /// The state of the jitter.
    seed: u64,
}

impl Wake {
    pub(super) fn new(seed: u64) -> Self {
        let pace = Pace { hears: false, poll: POLL.0, seed };
        Self { version: watch::Sender::new(0), pace: Mutex::new(pace) }
    }

    fn pace<T>(&self, act: impl FnOnce(&mut Pace) -> T) -> T {
        act(&mut self.pace.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in what the connection pushes. Also after it broke or was mended units may be there:
    /// words were missed.
    pub(super) fn heard(&self, kind: &PushKind) {
        match kind {
            PushKind::Message => {}
            PushKind::Subscribe => self.pace(|pace| pace.hears = true),
            PushKind::Disconnection => self.pace(|pace| pace.hears = false),
            _ => return,
        }
        self.version.send_modify(|version| *version += 1);
    }

    /// Units were found: while there are some, waits are short.
    pub(super) fn found_units(&self) {
        self.pace(|pace| pace.poll = POLL.0);
    }

    pub(super) fn version(&self) -> u64 {
        *self.version.borrow()
    }

    pub(super) async fn changed(&self, seen: u64, wait: Duration) {
        let wait = self.pace(Pace::next).min(wait);
        let mut version = self.version.subscribe();
        // Late or not: the caller asks the store again.
        let _ = timeout(wait, version.wait_for(|version| *version != seen)).await;
    }
}

impl Pace {
    /// The longest wait now, less up to a half, so that idle nodes do not ask in step.
    fn next(&mut self) -> Duration {
        let longest = if self.hears { DOUBT } else { self.poll };
        if !self.hears {
            self.poll = (self.poll * 2).min(POLL.1);
        }
        // SplitMix64.
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 33;
        longest.mul_f64(1.0 - mixed as f64 / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_word_between_the_look_and_the_wait_is_not_lost() {
        let wake = Wake::new(1);
        let seen = wake.version();
        wake.heard(&PushKind::Message);
        let start = Instant::now();
        wake.changed(seen, Duration::from_secs(9)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn deaf_it_asks_seldomer_until_units_are_found() {
        let wake = Wake::new(1);
        let wait = async || {
            let start = Instant::now();
            wake.changed(wake.version(), Duration::from_secs(60)).await;
            start.elapsed()
        };
        assert!(wait().await <= Duration::from_millis(21));
        for _ in 0..8 {
            wait().await;
        }
        assert!(wait().await >= Duration::from_millis(400));
        wake.found_units();
        assert!(wait().await <= Duration::from_millis(21));
    }
}
