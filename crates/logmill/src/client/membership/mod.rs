//! Membership in a consumer group, by Kafka's newer protocol (KIP-848) or the classic one (KIP-62, KIP-394, KIP-429):
//! which partitions this process is responsible for, and commits that only their holder can make.
//!
//! ```text
//! join ─► sync ─► Assigned ─► heartbeats ─► (someone came or went) ─► join …
//!                 Revoked ─► the owner lets go, commits, releases ──┘
//! ```
//!
//! In the newer protocol there are no rounds: heartbeats say what is held, and answers what is to be.
//!
//! A broker checks a commit's member and generation, not whether the partition is that member's. So a
//! commit carries the [`MembershipToken`] under which the partition was held when its offset was read.

mod alive;
mod assignor;
mod choice;
mod commit;
mod driver;
pub(super) mod protocol;
mod reconcile;
mod round;

use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::ids::Partition;
use logmill_protocol::wire::Str;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Client;

pub(crate) use alive::Alive;
pub use choice::GroupProtocol;
pub(crate) use choice::node_of;
pub use commit::Commit;
pub(crate) use protocol::ASSIGNOR;

/// Events that wait for the owner. A driver that finds it full waits: the owner sets the pace.
const EVENTS: usize = 16;

/// How a member takes part. The defaults are those of Kafka's own consumer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MembershipOptions {
    /// The topics to share out.
    pub topics: Vec<String>,
    /// Which group protocol it speaks. The newer one where it can.
    pub protocol: GroupProtocol,
    /// A member silent for this long is taken for dead; in the newer protocol the broker decides that. 45 s.
    pub session_timeout: Duration,
    /// How long members may take to let go of partitions. 60 s.
    pub rebalance_timeout: Duration,
    /// How often a member shows that it lives. 3 s; at most a third of the session timeout.
    pub heartbeat_interval: Duration,
    /// What whoever describes the consumer group is told of this member, in the classic protocol. Nothing.
    pub about: Bytes,
    /// Its name, which is part of the id that it draws in the newer protocol. None.
    pub name: String,
}

impl MembershipOptions {
    /// A member that shares out these topics.
    pub fn new(topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            topics: topics.into_iter().map(Into::into).collect(),
            protocol: GroupProtocol::default(),
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(3),
            about: Bytes::new(),
            name: String::new(),
        }
    }
}

/// Under which membership something was assigned. Goes stale with the next rebalance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipToken {
    generation: i32,
    member_id: Str,
}

impl MembershipToken {
    /// The consumer group's generation; in the newer protocol the member's epoch.
    #[must_use]
    pub fn generation(&self) -> i32 {
        self.generation
    }
}

/// What the owner of a membership has to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A rebalance ended. Sent after each, since what was held before is held under a new token now.
    Assigned {
        /// What came in addition. May be empty.
        partitions: Vec<Partition>,
        /// The token for these and for everything that is still held.
        token: MembershipToken,
    },
    /// These go to somebody else. They are still held: nobody gets them before the owner has let go
    /// of them, or has had its time.
    Revoked {
        /// Which.
        partitions: Vec<Partition>,
        /// To be told when they are at rest and committed.
        release: Release,
    },
    /// These were lost without notice: the coordinator took this member for dead. A commit of them
    /// would be refused.
    Lost {
        /// Which.
        partitions: Vec<Partition>,
    },
}

/// The duty to say that revoked partitions have been let go. Dropping it says so too.
#[derive(Debug)]
pub struct Release {
    partitions: Vec<Partition>,
    deadline: Instant,
    /// Dropped with the release, which is what the driver waits for.
    _held: oneshot::Sender<()>,
}

impl Release {
    /// Which partitions.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Until when there is time; afterwards others get them regardless.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// They are at rest, and committed.
    pub fn done(self) {}
}

/// A membership. Dropping it ends it without a word, as a crash would; see [`Membership::leave`].
#[derive(Debug)]
pub struct Membership {
    client: Client,
    group: String,
    events: mpsc::Receiver<Event>,
    stop: CancellationToken,
    driver: JoinHandle<()>,
    alive: Alive,
}

impl Membership {
    /// Begins to take part in a consumer group. Joining itself happens in the background, and is tried
    /// again until it succeeds; the log says why it does not.
    #[must_use]
    pub fn join(client: &Client, group: &str, options: MembershipOptions) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let stop = CancellationToken::new();
        let driver = driver::Driver::new(client.clone(), group.to_owned(), options, sender, stop.clone());
        let alive = driver.alive.clone();
        let driver = tokio::spawn(driver.run());
        Self { client: client.clone(), group: group.to_owned(), events, stop, driver, alive }
    }

    /// Until when this member can be sure of what it holds.
    pub(crate) fn alive(&self) -> Alive {
        self.alive.clone()
    }

    /// The next event; `None` when the membership has ended. May be dropped while it waits.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Leaves the consumer group, so that others get its partitions at once.
    pub async fn leave(mut self) {
        self.stop.cancel();
        // Releases that nobody will look at any more must not hold up the driver.
        self.events.close();
        while self.events.recv().await.is_some() {}
        let _ = (&mut self.driver).await;
    }
}
