//! How a node is set up.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::LARGEST_UNIT;
use super::breaker::Breaker;
use super::handler::Handler;
use super::metrics::Metrics;
use super::order::{Blocks, Order};
use super::retry::Retry;
use super::settings::{Background, Organise, Settings, Start};
use super::slot::{NoSlots, Slots, StartSlots};
use super::state::NodeState;
use crate::client::transport::Transport;
use crate::client::{Client, ClientBuilder};
use crate::store::Store;

/// What handles a node's records: a handler, or the caller of [`Node::recv`](super::Node::recv).
pub trait Work {
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn slots(self, state: &Arc<NodeState>) -> Arc<dyn StartSlots>;
}

/// Nothing is called: the caller takes records with [`Node::recv`](super::Node::recv).
#[derive(Clone, Copy, Debug)]
pub struct Pull;

impl Work for Pull {
    #[allow(private_interfaces)]
    fn slots(self, _state: &Arc<NodeState>) -> Arc<dyn StartSlots> {
        Arc::new(NoSlots)
    }
}

/// A handler is called with each record.
#[derive(Clone, Copy, Debug)]
pub struct Call<H, A> {
    handler: H,
    arguments: PhantomData<fn(A)>,
}

impl<H: Handler<A>, A: 'static> Work for Call<H, A> {
    #[allow(private_interfaces)]
    fn slots(self, state: &Arc<NodeState>) -> Arc<dyn StartSlots> {
        Arc::new(Slots {
            state: state.clone(),
            handler: Arc::new(self.handler),
            runtime: Handle::current(),
            arguments: PhantomData,
        })
    }
}

/// Where the group's state is to live.
#[derive(Debug)]
pub(super) enum StoreChoice {
    /// In this process: partitions are shared out, units are not.
    Memory,
    Redis(String),
    Given(Arc<dyn Store>),
}

/// Sets up a [`Node`](super::Node).
#[derive(Debug)]
#[must_use = "a builder does nothing until build is called"]
pub struct NodeBuilder<W = Pull> {
    pub(super) settings: Settings,
    pub(super) client: ClientBuilder,
    pub(super) store: StoreChoice,
    pub(super) background: Background,
    #[cfg(feature = "admin-http")]
    pub(super) admin_http: Option<String>,
    pub(super) work: W,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        let settings = Settings {
            group: String::new(),
            topics: Vec::new(),
            node: String::new(),
            concurrency: 64,
            max_in_flight: 50_000,
            max_in_flight_bytes: 64 << 20,
            retry: Retry::default(),
            breaker: None,
            order: Order::default(),
            blocks: Blocks::default(),
            handler_timeout: None,
            dead_letter_undecodable: true,
            dead_letter_topic: None,
            ledger_topic: None,
            ledger_payload_bytes: 256 << 10,
            max_unit_attempts: 5,
            lease: Duration::from_secs(30),
            start: Start::default(),
            organise: Organise::default(),
            commit_interval: Duration::from_secs(5),
            session_timeout: Duration::from_secs(45),
            drain_timeout: Duration::from_secs(30),
            unit_records: 1_000,
            max_units: 1_000,
            metrics: Metrics::Off,
            seed: rand::random(),
        };
        Self {
            settings,
            client: Client::builder(),
            store: StoreChoice::Memory,
            background: Background::default(),
            #[cfg(feature = "admin-http")]
            admin_http: None,
            work: Pull,
        }
    }
}

impl<W> NodeBuilder<W> {
    /// The brokers to start from: `host:port`, separated by commas.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.client = self.client.brokers(brokers);
        self
    }

    /// Any setting of Kafka's client by its name; see [`PROPERTIES`](crate::config::PROPERTIES).
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.client = self.client.set(name, value);
        self
    }

    /// How streams to brokers are opened. TCP unless told otherwise.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.client = self.client.transport(transport);
        self
    }

    /// Keeps the group's state in Redis or Valkey: units are shared by all nodes of the group. Without
    /// it the state is in this process's memory, and processes share partitions.
    pub fn redis(mut self, url: impl Into<String>) -> Self {
        self.store = StoreChoice::Redis(url.into());
        self
    }

    /// Keeps the group's state in this store, which other nodes may share.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = StoreChoice::Given(store);
        self
    }

    /// The group: nodes of the same group share the work. It is also the name of Kafka's consumer
    /// group under which watermarks are committed.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.settings.group = group.into();
        self
    }

    /// The topics to read.
    pub fn topics(mut self, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.settings.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// This node's name, unique among the live nodes of its group. Made from host and process unless
    /// given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.node = name.into();
        self
    }

    /// How many records are handled at once, whatever the number of partitions. 64.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.settings.concurrency = handlers;
        self
    }

    /// How many records may have been read and not yet handed out. 50,000.
    pub fn max_in_flight(mut self, records: usize) -> Self {
        self.settings.max_in_flight = records;
        self
    }

    /// How many bytes of records may have been read and not yet handed out. 64 MiB.
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_in_flight_bytes = bytes;
        self
    }

    /// How long failed records wait, and when they are given up on. From 1 s to 60 s, and never.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Holds back while too many records fail, instead of giving up on one record after the other. It does not, unless
    /// told so.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.settings.breaker = Some(breaker);
        self
    }

    /// In which order records are handled. Any, unless told otherwise. All nodes of a group need the same.
    pub fn order(mut self, order: Order) -> Self {
        self.settings.order = order;
        self
    }

    /// What a record that failed holds up, where records have an order. The later records of its key.
    pub fn failed_record_blocks(mut self, blocks: Blocks) -> Self {
        self.settings.blocks = blocks;
        self
    }

    /// A handler that has not ended after this time is cancelled, which counts as a failed try. It can only
    /// be cancelled where it awaits something. Not limited unless given; the pull form has no such limit.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.settings.handler_timeout = Some(timeout);
        self
    }

    /// Whether a record that the handler's arguments cannot be made from is a dead letter at once, or
    /// retried like any other failure. It is.
    pub fn dead_letter_undecodable(mut self, at_once: bool) -> Self {
        self.settings.dead_letter_undecodable = at_once;
        self
    }

    /// Where [`Retry::max_attempts`] is set: after so many tries more, of which nobody ever told how they
    /// ended, a unit is cut up and worked on alone until the record is found that its nodes die of, which
    /// then is a dead letter. 5.
    pub fn max_unit_attempts(mut self, tries: u32) -> Self {
        self.settings.max_unit_attempts = tries.max(2);
        self
    }

    /// A topic that gets each record that is given up on as it is, with headers that say where it comes from
    /// and why, before the ledger gets its entry. None unless given.
    pub fn dead_letter_topic(mut self, topic: impl Into<String>) -> Self {
        self.settings.dead_letter_topic = Some(topic.into());
        self
    }

    /// The topic of the group's ledger, the same at all its nodes and of no other group.
    /// `logmill.ledger.<group>`.
    pub fn ledger_topic(mut self, topic: impl Into<String>) -> Self {
        self.settings.ledger_topic = Some(topic.into());
        self
    }

    /// Up to this size, key, value and headers together, a dead letter keeps a copy of its record; a larger
    /// one must be read from its topic while that still has it. 256 KiB.
    pub fn ledger_payload_bytes(mut self, bytes: usize) -> Self {
        self.settings.ledger_payload_bytes = bytes;
        self
    }

    /// How long a unit is this node's without a sign of life; renewed three times in that. After a
    /// crash, others get it when the lease ends. 30 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Where a new group begins. At the first record.
    pub fn start(mut self, start: Start) -> Self {
        self.settings.start = start;
        self
    }

    /// Whether this node may organise. As needed.
    pub fn organise(mut self, organise: Organise) -> Self {
        self.settings.organise = organise;
        self
    }

    /// How often watermarks are committed to Kafka. 5 s.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.settings.commit_interval = interval;
        self
    }

    /// After this time without a sign of life, at the latest, Kafka gives an organiser's partitions to another. 45 s.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.session_timeout = timeout;
        self
    }

    /// How long handlers have to end when the node drains. 30 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.settings.drain_timeout = timeout;
        self
    }

    /// The most records that a unit planned by this node spans. 1,000.
    pub fn unit_records(mut self, records: u32) -> Self {
        self.settings.unit_records = records.min(LARGEST_UNIT as u32);
        self
    }

    /// How many units of one partition may be planned and unsettled. 1,000.
    pub fn max_units(mut self, units: u32) -> Self {
        self.settings.max_units = units;
        self
    }

    /// Publishes metrics to the recorder that the program installed for the `metrics` crate, and how finely. It does not.
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.settings.metrics = metrics;
        self
    }

    /// Answers over HTTP at this address, `host:port`: `/livez`, `/readyz` with reasons, `/metrics` for Prometheus, from a
    /// recorder of its own. It only tells, and to anybody: choose an address that is not the world's. It does not.
    #[cfg(feature = "admin-http")]
    pub fn admin_http(mut self, address: impl Into<String>) -> Self {
        self.admin_http = Some(address.into());
        self
    }

    /// Where the node's own tasks run. On a thread of their own.
    pub fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// Where chance comes from. Two nodes with one seed draw the same. From the system unless given.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self.client = self.client.seed(seed);
        self
    }

    /// Calls this handler with each record: an async function whose arguments are
    /// [`FromRecord`](super::FromRecord) and whose result is [`IntoOutcome`](super::IntoOutcome).
    pub fn handler<A, H: Handler<A>>(self, handler: H) -> NodeBuilder<Call<H, A>> {
        NodeBuilder {
            settings: self.settings,
            client: self.client,
            store: self.store,
            background: self.background,
            #[cfg(feature = "admin-http")]
            admin_http: self.admin_http,
            work: Call { handler, arguments: PhantomData },
        }
    }
}
