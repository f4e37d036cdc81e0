//! Ports for servers that must be told theirs before they start.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// From here on, and below 32,768 where Linux begins to draw the ports of outgoing connections: else some
/// connection could take a server's port while the server is down for a restart.
const FIRST: u32 = 18_000;
const COUNT: u32 = 14_000;

/// A port of 127.0.0.1 that nobody listens on, not given out before by this process. Another process may
/// still take it first; whoever starts a server on it tries again with another.
pub(super) fn free_port() -> Option<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes begin at different places.
    let start = std::process::id().wrapping_mul(977);
    (0..COUNT)
        .filter_map(|_| {
            let at = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            u16::try_from(FIRST + at).ok()
        })
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_not_given_out_twice() {
        let (first, second) = (free_port(), free_port());
        assert!(first.is_some());
        assert_ne!(first, second);
    }
}
