//! The store's time.

use crate::work::limits::{MAX_DELAY_MS, MAX_TIME_MS};

/// A clock that never runs backwards and never stands still for long.
///
/// It adds up how far the given time moves forward between calls and leaves out moves backward. The
/// plain maximum of all times seen would stand still for an hour after the server's clock was set
/// back by one, and no lease would end meanwhile. One step forward is at most [`MAX_DELAY_MS`], all
/// that anything ever waits for, so a server that is set centuries ahead does not use the clock up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) now_ms: u64,
    /// The time given last, or `None` before the first.
    pub(super) seen_ms: Option<u64>,
}

impl Clock {
    /// The store's time when the server's is `server_ms`.
    pub(super) fn read(self, server_ms: u64) -> u64 {
        let passed = match self.seen_ms {
            Some(seen) => server_ms.saturating_sub(seen).min(MAX_DELAY_MS),
            None => server_ms,
        };
        self.now_ms.saturating_add(passed).min(MAX_TIME_MS)
    }

    /// Moves the clock on, and reads it.
    pub(super) fn tick(&mut self, server_ms: u64) -> u64 {
        let server_ms = server_ms.min(MAX_TIME_MS);
        *self = Self { now_ms: self.read(server_ms), seen_ms: Some(server_ms) };
        self.now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_after_the_server_was_set_back() {
        let mut clock = Clock::default();
        assert_eq!(clock.tick(1_000_000), 1_000_000);
        assert_eq!(clock.tick(1_000_010), 1_000_010);
        assert_eq!(clock.tick(400_000), 1_000_010);
        assert_eq!(clock.tick(400_007), 1_000_017);
        assert_eq!(clock.tick(1_000_000), 1_600_010);
    }

    #[test]
    fn it_is_not_used_up_by_a_jump_of_centuries() {
        let mut clock = Clock::default();
        clock.tick(7);
        assert_eq!(clock.tick(u64::MAX), 7 + MAX_DELAY_MS);
        assert_eq!(Clock::default().tick(u64::MAX), MAX_TIME_MS);
    }
}
