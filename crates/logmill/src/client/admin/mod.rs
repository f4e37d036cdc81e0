//! Asking the cluster about topics, offsets and consumer groups, and changing them.

mod commits;
mod groups;
mod offsets;
mod topics;

pub use commits::Committed;
pub use groups::{DescribedGroup, DescribedMember, ListedGroup};
pub use offsets::{ListedOffset, OffsetAt};
pub use topics::NewTopic;

use super::cluster::Client;

impl Client {
    /// Administration through this client.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin { client: self.clone() }
    }
}

/// Administration: topics, offsets, consumer groups. Each call is tried again until it succeeds, is
/// refused for good, or `default.api.timeout.ms` is over.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

impl Admin {
    /// How long the brokers may take to carry out a change.
    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.client.request_timeout().as_millis() * 3 / 4).unwrap_or(i32::MAX)
    }
}
