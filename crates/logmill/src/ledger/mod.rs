//! The ledger: a group's compacted Kafka topic, which keeps what must outlive the store. Partition 0 has what became
//! of records: dead letters, and what was skipped. Partition 1 has what operators ask of the group, which every node
//! follows; so it reads none of the payloads that dead letters keep.
//!
//! | file | has |
//! |---|---|
//! | `name`, `topic` | what the topic is called, and how it has to be |
//! | `entry` | keys and values: the newest value of a key counts, a null value takes it away |
//! | `dead`, `payload` | a dead letter, and how bytes stand in JSON |
//! | `read`, `follow` | the entries there are, and those to come |
//! | `requeue` | a dead letter's record goes back to its topic |

mod dead;
mod entry;
mod follow;
mod name;
mod payload;
mod read;
mod requeue;
mod topic;

use std::sync::{Arc, Mutex, PoisonError};

use logmill_protocol::ids::Partition;

pub use self::dead::{DEAD, DeadLetter, DeadReason, DeadRecord};
pub use self::entry::{Entry, EntryKey, Logged, Shelf};
pub(crate) use self::entry::{PAUSE, REWIND, SKIPPED};
pub use self::follow::{Follow, Followed};
pub use self::payload::Payload;
pub use self::read::Entries;
pub use self::requeue::{ATTEMPT, EDITED_BY, Edit, REQUEUED_FROM};
use crate::client::Client;
use crate::client::producer::{Producer, Record};
use crate::error::Result;

/// A group's ledger. Opening it asks nothing of Kafka: the topic is made when the first entry is
/// written. Cheap to clone; clones write through one producer.
///
/// ```no_run
/// # async fn example(client: logmill::client::Client) -> logmill::Result<()> {
/// use logmill::ledger::{DeadLetter, Ledger};
/// let ledger = Ledger::open(&client, "billing");
/// for logged in ledger.read_all().await? {
///     let letter = DeadLetter::from_entry(&logged.key, &logged.value)?;
///     println!("{}/{}@{}: {}", letter.topic, letter.partition, letter.offset, letter.error);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    topic: String,
    /// Made with the first write; forgotten when a write fails, so that the next one looks at the topic
    /// again.
    writer: Mutex<Option<Producer>>,
}

impl Ledger {
    /// The ledger of a group, in the topic `logmill.ledger.<group>`.
    #[must_use]
    pub fn open(client: &Client, group: &str) -> Self {
        Self::of_topic(client, name::of_group(group))
    }

    /// The ledger in this topic. Each group needs one of its own.
    #[must_use]
    pub fn of_topic(client: &Client, topic: impl Into<String>) -> Self {
        let inner = Inner { client: client.clone(), topic: topic.into(), writer: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The topic it is in.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.inner.topic
    }

    fn place(&self, shelf: Shelf) -> Partition {
        Partition::new(self.topic(), shelf.partition())
    }

    /// Writes an entry, in place of the one with its key. Returns when all in-sync replicas have it.
    ///
    /// # Errors
    /// It is not known to be written, and may be: writing it again does no harm. The topic may be missing
    /// and not permitted to be made, or not be compacted; the text has the command that mends it.
    pub async fn append(&self, entry: &Entry) -> Result<()> {
        let record = Record::to(self.topic()).key(entry.key.as_str()).value(entry.value());
        self.write(record.partition(entry.key.shelf().partition())).await
    }

    /// Takes the entry with this key away. Returns when all in-sync replicas know.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub async fn remove(&self, key: &EntryKey) -> Result<()> {
        let record = Record::to(self.topic()).key(key.as_str());
        self.write(record.partition(key.shelf().partition())).await
    }

    async fn write(&self, record: Record<'_>) -> Result<()> {
        let outcome = match self.writer().await {
            Ok(writer) => writer.send(record).await.map(drop).map_err(Into::into),
            Err(problem) => Err(problem),
        };
        if outcome.is_err() {
            self.locked().take();
        }
        outcome
    }

    /// The producer. Several may be made at a time and one is kept: nothing is locked while Kafka is
    /// asked.
    async fn writer(&self) -> Result<Producer> {
        if let Some(writer) = &*self.locked() {
            return Ok(writer.clone());
        }
        let client = &self.inner.client;
        topic::prepare(client, self.topic()).await?;
        let writer = Producer::builder()
            .over(client)
            // Whatever the node's own settings are for: an entry counts, so it must be kept by all.
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("max.in.flight.requests.per.connection", "5")
            .set("linger.ms", "0")
            .build()
            .await?;
        Ok(self.locked().get_or_insert(writer).clone())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Producer>> {
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
