//! The store's time.

use crate::work::limits::MAX_TIME_MS;

/// A clock that never runs backwards and never stands still for long.
///
/// It adds up how far the given time moves forward between calls and leaves out moves backward. The
/// plain maximum of all times seen would stand still for an hour after the server's clock was set
/// back by one, and no lease would end meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) now_ms: u64,
    /// The time given last, or `None` before the first.
    pub(super) seen_ms: Option<u64>,
}

impl Clock {
    /// The store's time when the server's is `server_ms`.
    pub(super) fn read(self, server_ms: u64) -> u64 {
        let passed = self.seen_ms.map_or(server_ms, |seen| server_ms.saturating_sub(seen));
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
        assert_eq!(clock.tick(u64::MAX), MAX_TIME_MS);
        assert_eq!(clock.tick(5), MAX_TIME_MS);
        assert_eq!(clock.tick(u64::MAX), MAX_TIME_MS);
    }
}
