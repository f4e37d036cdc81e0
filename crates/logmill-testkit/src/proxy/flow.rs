//! How bytes flow in one direction.

use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// From the client to the server: requests.
    Server,
    /// From the server to the client: replies.
    Client,
}

impl Toward {
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Server => 0,
            Self::Client => 1,
        }
    }
}

/// What happens to the bytes of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flow {
    /// They arrive.
    Pass,
    /// They arrive later by `by` and a part of `jitter` drawn from the proxy's seed, in order. Up to 1 MiB is
    /// on the way at once.
    Delay {
        /// How much later at least.
        by: Duration,
        /// How much more at most.
        jitter: Duration,
    },
    /// They wait in the proxy and arrive when the flow is set anew. The connection stays open; once 1 MiB
    /// waits, the sender is held up as a full network holds it up.
    Stall,
    /// The next `after` bytes of each connection arrive, the rest never does; the connection stays open.
    Swallow {
        /// Bytes that still arrive.
        after: u64,
    },
    /// The next `count` whole frames of each connection never arrive, what follows does: a reply lost while
    /// its connection lives. Frames are Kafka's, four bytes of length before each; a frame that has begun to
    /// arrive arrives whole.
    SwallowFrames {
        /// Frames to lose.
        count: u64,
    },
}
