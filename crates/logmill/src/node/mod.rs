//! A node: takes units, reads their records, hands them to the user, and settles them.
//!
//! ```text
//! take ─► read ─► queue ─► slots: handler ─► outcome ─► settle
//!   └───────────── leases renewed, failed records brought back ─────────────┘
//! ```
//!
//! | file | has |
//! |---|---|
//! | `builder`, `settings`, `build` | how a node is set up |
//! | `take` | how much work is taken, and when |
//! | `read` | from units to records |
//! | `queue`, `slot` | from records to handlers |
//! | `in_hand` | one unit: what of it is settled |
//! | `order`, `lane` | records and units that have an order |
//! | `state` | what a node's tasks share |
//! | `finish`, `verdict` | what becomes of records |
//! | `ending`, `letting_go` | what becomes of units |
//! | `asked` | what operators ask of the group |
//! | `drain` | how a node ends |
//! | `about` | what a node says about itself |
//! | `dead`, `dead_topic`, `failures` | records given up on |
//! | `breaker` | holding back while too many records fail |
//! | `quarantine` | units that nodes died with |
//! | `lease` | renewal, and local retries |
//! | `organise` | whether this node organises |
//! | `event`, `events` | what a node tells of itself while it runs |
//! | `metrics` | what it counts |
//! | `admin` | what it answers over HTTP |

mod about;
#[cfg(feature = "admin-http")]
mod admin;
mod asked;
mod breaker;
mod build;
mod builder;
mod dead;
mod dead_topic;
mod delivery;
mod drain;
mod ending;
mod engine;
mod event;
mod events;
mod failures;
mod finish;
mod handler;
mod in_hand;
mod lane;
mod lease;
mod letting_go;
mod metrics;
mod order;
mod organise;
mod quarantine;
mod queue;
mod read;
mod record;
mod retry;
mod settings;
mod slot;
mod state;
mod take;
mod verdict;

use std::future::Future;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) use self::about::About;
pub use self::breaker::Breaker;
pub use self::builder::{Call, NodeBuilder, Pull, Work};
pub use self::delivery::Delivery;
pub use self::event::{Event, Failure, GapCause};
pub use self::events::Events;
pub use self::handler::{FromRecord, Handler, IntoOutcome, Json, Key, Meta, Outcome, Value};
pub use self::metrics::Metrics;
pub(crate) use self::metrics::Place;
pub use self::order::{Blocks, Order};
pub use self::record::Received;
pub use self::retry::Retry;
pub(crate) use self::settings::Settings;
pub use self::settings::{Background, Organise, Start};
pub use self::state::NodeCounts;
pub(crate) use self::state::NodeState;

use self::drain::Drain;
use self::engine::Engine;
use self::metrics::Publisher;
use self::read::Reading;
use self::slot::StartSlots;
use crate::client::Client;
use crate::client::fetch::FetchOptions;
use crate::error::{Error, Result};

/// The longest unit that is planned, in offsets.
pub(crate) const LARGEST_UNIT: i64 = in_hand::MAX_TRACKED as i64;

/// One member of a group. It works from [`NodeBuilder::build`] on.
///
/// Dropping a node without [`Node::drain`] is a crash to everyone else: its units come again when
/// their leases end.
#[derive(Debug)]
pub struct Node {
    state: Arc<NodeState>,
    tasks: Vec<AbortHandle>,
    /// Ends once the node was asked to, and has drained.
    drained: JoinHandle<Result<()>>,
    #[cfg(feature = "admin-http")]
    admin: Option<std::net::SocketAddr>,
    /// Last, so that the tasks' runtime outlives them.
    engine: Engine,
}

impl Node {
    /// Sets up a node.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    fn start(
        engine: Engine,
        client: Client,
        state: Arc<NodeState>,
        slots: Arc<dyn StartSlots>,
        private_store: bool,
    ) -> Self {
        let mut options = FetchOptions::from_settings(client.settings());
        // A unit that this node cannot read for a whole lease goes back to the queue.
        options.patience = state.settings.lease;
        let reading = Reading { state: state.clone(), client: client.clone(), options, slots: slots.clone() };
        let stop_organising = CancellationToken::new();
        let organise = organise::run(client, state.clone(), private_store, stop_organising.clone());
        let drain = Drain {
            state: state.clone(),
            take: engine.spawn(take::run(state.clone(), reading)),
            organise: engine.spawn(organise),
            stop_organising,
        };
        let tasks = vec![
            drain.take.abort_handle(),
            drain.organise.abort_handle(),
            engine.spawn(asked::follow(state.clone())).abort_handle(),
            engine.spawn(lease::renew(state.clone())).abort_handle(),
            engine.spawn(lease::retry(state.clone(), slots)).abort_handle(),
        ];
        Self {
            tasks,
            drained: engine.spawn(drain.when_asked()),
            #[cfg(feature = "admin-http")]
            admin: None,
            state,
            engine,
        }
    }

    /// Publishes its metrics while it runs.
    fn publish(&mut self, publisher: Publisher) {
        self.tasks.push(self.engine.spawn(publisher.run()).abort_handle());
    }

    /// Answers over HTTP while it runs.
    #[cfg(feature = "admin-http")]
    fn serve(&mut self, bound: admin::Bound, publisher: Publisher) {
        tracing::info!(node = self.name(), address = %bound.address, "answers over HTTP");
        self.admin = Some(bound.address);
        let needed = self.tasks.clone();
        self.tasks.push(self.engine.spawn(bound.serve(publisher, needed)).abort_handle());
    }

    /// Where it answers over HTTP, if it does: the port that the system chose, where none was given.
    #[cfg(feature = "admin-http")]
    #[must_use]
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.admin
    }

    /// This node's name in its group.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.settings.node
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> NodeCounts {
        self.state.counts()
    }

    /// What happens at this node from now on, beginning with what is assigned to it. A listener that does not keep up
    /// holds up nobody: it misses some, and is [told how many](Event::Missed). What nobody listens to costs nothing.
    ///
    /// ```no_run
    /// # async fn example(node: logmill::Node) {
    /// use logmill::node::Event;
    /// let mut events = node.events();
    /// while let Some(event) = events.next().await {
    ///     if let Event::DeadLetter { partition, offset, reason, .. } = event {
    ///         println!("{partition}@{offset}: {}", reason.name());
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        self.state.teller.listen()
    }

    /// The next record, in the pull form; `None` once the node drains, or is [quiet](Self::quiet) and none waits any more.
    ///
    /// # Errors
    /// None at present: failures of Kafka and the store are retried.
    pub async fn recv(&self) -> Result<Option<Delivery>> {
        loop {
            let received = tokio::select! {
                biased;
                () = self.state.ending.cancelled() => return Ok(None),
                received = self.state.queue.next() => received,
                () = self.at_rest() => return Ok(None),
            };
            if self.state.may_begin(&received.unit) {
                return Ok(Some(Delivery::new(received, self.state.clone())));
            }
            self.state.discard(&received);
        }
    }

    /// Quiet, and nothing waits or is still being read.
    async fn at_rest(&self) {
        self.state.quiet.cancelled().await;
        loop {
            let ended = self.state.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.state.queue.is_empty() && self.state.unread() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Takes no more units. What is in hand is handled. Goes on renewing leases and organising.
    pub fn quiet(&self) {
        self.state.be_quiet();
    }

    /// Ends in good order: takes no more units, gives back what no handler has begun, waits for the
    /// others up to `drain_timeout`, settles, commits, and leaves the consumer group. Without a fault,
    /// no record is handled twice for it.
    ///
    /// # Errors
    /// Kafka or the store could not be told in time. Nothing is lost: what was not told comes again.
    pub async fn drain(mut self) -> Result<()> {
        self.state.ending.cancel();
        let drained = (&mut self.drained).await;
        drained.unwrap_or(Err(Error::Closed { what: "the node" }))
    }

    /// Returns once an operator has asked this node to drain, which it then does by itself. Whoever runs it has nothing
    /// more to do than to wait for that with [`Node::drain`], and to end.
    pub async fn asked_to_drain(&self) {
        self.state.ending.cancelled().await;
    }

    /// Works until `stop` is ready or an operator asks this node to drain, and [drains](Node::drain).
    ///
    /// # Errors
    /// As [`Node::drain`].
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            () = stop => {}
            () = self.asked_to_drain() => {}
        }
        self.drain().await
    }

    /// Works until the process is asked to end (SIGTERM, SIGINT, Ctrl-C) or an operator asks this node to drain, and
    /// [drains](Node::drain).
    ///
    /// # Errors
    /// As [`Node::drain`]; or the signals cannot be listened for.
    pub async fn run_until_signal(self) -> Result<()> {
        let cannot =
            |error: std::io::Error| Error::config("signals", format!("cannot be listened for: {error}"));
        #[cfg(unix)]
        let signalled = {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
            async move {
                tokio::select! {
                    biased;
                    _ = terminate.recv() => Ok(()),
                    interrupted = tokio::signal::ctrl_c() => interrupted.map_err(cannot),
                }
            }
        };
        #[cfg(not(unix))]
        let signalled = async { tokio::signal::ctrl_c().await.map_err(cannot) };
        tokio::select! {
            signalled = signalled => signalled?,
            () = self.asked_to_drain() => {}
        }
        self.drain().await
    }

    /// Ends without a word to anyone, as a crash would. For tests.
    pub fn kill(self) {
        self.state.forget_all();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.state.forget_all();
        self.state.teller.end();
        self.drained.abort();
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
