//! The cluster as one thing: which brokers there are, who leads what, and how to reach the right one.

pub(crate) mod backoff;
mod builder;
mod call;
mod fan_out;
mod metadata;
mod pool;
mod refresh;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use logmill_protocol::ids::Partition;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use builder::ClientBuilder;
pub use call::Target;
pub(crate) use call::{Ask, Retry};
pub(crate) use fan_out::{Item, by_topic};
pub(crate) use metadata::describe as describe_topic;
pub use metadata::{BrokerId, Leader, PartitionInfo, TopicInfo};
pub use pool::Purpose;

use self::backoff::{Backoff, Chance};
use self::metadata::Metadata;
use self::pool::Pool;
use super::connection::Connection;
use super::fetch::Sizing;
use super::traffic::Traffic;
use super::transport::Address;
use crate::config::Settings;
use crate::error::{Error, Result};

/// A Kafka cluster to talk to. Cheap to clone; clones share connections and what is known of the
/// cluster. Connections close when the last clone, and whatever was made from it, is gone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// The addresses given by the user.
    bootstrap: Vec<Address>,
    pool: Pool,
    backoff: Backoff,
    chance: Chance,
    metadata: Mutex<Metadata>,
    /// One question about metadata at a time.
    refreshing: tokio::sync::Mutex<()>,
    /// Counts changes of the sets of topics and partitions.
    changes: watch::Sender<u64>,
    coordinators: Mutex<BTreeMap<String, BrokerId>>,
    /// What readers have learnt about the size of records.
    sizing: Sizing,
    traffic: Arc<Traffic>,
    background: OnceLock<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(task) = self.background.get() {
            task.abort();
        }
    }
}

impl Client {
    /// Starts from the brokers at these addresses, with defaults for all else.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The addresses it was given, separated by commas.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let list: Vec<_> = self.inner.bootstrap.iter().map(ToString::to_string).collect();
        list.join(",")
    }

    /// What is known of a topic: its id, its partitions, their leaders. From memory if it is there,
    /// else asked for; a topic that the cluster does not know is asked for again for
    /// `topic.metadata.propagation.max.ms`.
    ///
    /// # Errors
    /// The topic does not exist, may not be seen, or no broker answers.
    pub async fn topic(&self, name: &str) -> Result<Arc<TopicInfo>> {
        self.topic_until(name, self.api_deadline()).await
    }

    /// Who leads a partition. Waits while nobody does, as happens during an election.
    ///
    /// # Errors
    /// The topic or the partition does not exist, or has no leader for `default.api.timeout.ms`.
    pub async fn leader(&self, partition: &Partition) -> Result<Leader> {
        self.leader_until(partition, self.api_deadline()).await
    }

    /// Tells that this leader refused a request because it is not the leader, or cannot be reached.
    /// The next [`Client::leader`] asks the cluster again, unless somebody else's failure already
    /// made it ask.
    pub fn leader_failed(&self, partition: &Partition, leader: &Leader) {
        self.metadata().leader_failed(partition, leader);
    }

    /// Tells of a newer leader that a broker named in an answer (KIP-951), and where it listens if the
    /// answer says so. Returns whether it is news; if it is, no question to the cluster is needed.
    pub fn leader_moved(
        &self,
        partition: &Partition,
        leader: &Leader,
        endpoint: Option<(&str, i32)>,
    ) -> bool {
        let mut metadata = self.metadata();
        if let Some((host, port)) = endpoint {
            metadata.note_broker(leader.broker, host, port);
        }
        metadata.leader_moved(partition, leader)
    }

    /// Tells that what is known of a topic has proved wrong.
    pub fn invalidate(&self, topic: &str) {
        self.metadata().invalidate(topic);
    }

    /// Resolves each time the set of known topics or partitions has changed. What is known is asked
    /// for again every `metadata.max.age.ms`, and when something fails.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// A connection to that broker for that purpose; made if there is none.
    ///
    /// # Errors
    /// The broker is not in the cluster, or cannot be reached before the deadline.
    pub async fn connection(
        &self,
        broker: BrokerId,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Connection> {
        let address = self.metadata().address(broker).cloned();
        let Some(address) = address else {
            // It may have left, or have come since: whoever asks again gets a newer picture.
            self.refresh(&[], deadline).await?;
            let address = self.metadata().address(broker).cloned();
            let missing = || Error::UnknownBroker { broker: broker.0, brokers: self.bootstrap() };
            return self.inner.pool.get(&address.ok_or_else(missing)?, purpose, deadline).await;
        };
        self.inner.pool.get(&address, purpose, deadline).await
    }

    /// The brokers known now.
    #[must_use]
    pub fn brokers(&self) -> Vec<(BrokerId, Address)> {
        self.metadata().brokers().map(|(id, address)| (id, address.clone())).collect()
    }

    /// Ends all connections. What waits for an answer fails.
    pub fn close(&self) {
        self.inner.pool.close();
    }

    fn metadata(&self) -> MutexGuard<'_, Metadata> {
        self.inner.metadata.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chance, from the client's seed.
    pub(crate) fn chance(&self) -> &Chance {
        &self.inner.chance
    }

    /// How long to pause after so many failures in a row.
    pub(crate) fn retry_pause(&self, failures: u32) -> Duration {
        self.inner.backoff.pause(failures)
    }

    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.inner.traffic
    }

    /// How many connections are open to each broker's address.
    pub(crate) fn connections(&self) -> BTreeMap<Address, usize> {
        self.inner.pool.open()
    }

    pub(crate) fn sizing(&self) -> &Sizing {
        &self.inner.sizing
    }

    /// By when an operation that starts now must have succeeded: `default.api.timeout.ms`.
    pub(crate) fn api_deadline(&self) -> Instant {
        Instant::now() + self.inner.settings.duration("default.api.timeout.ms")
    }

    /// By when a request that is sent now must be answered: `request.timeout.ms`, and not after `deadline`.
    pub(crate) fn request_deadline(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.request_timeout())
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.inner.settings.duration("request.timeout.ms")
    }

    /// Lets go of the connections of a membership that has ended.
    pub(crate) fn forget_group(&self, membership: u64) {
        self.inner.pool.retain(|_, purpose| purpose != Purpose::Group(membership));
    }
}
