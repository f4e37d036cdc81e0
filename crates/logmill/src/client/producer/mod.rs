//! Sending records: batches per partition, idempotent, with an honest answer for each record.
//!
//! ```text
//! enqueue ─► buffer (encode into the partition's open batch) ─► sender (one task) ─► brokers
//!    │                                                             │
//!    └──────────────── Pending ◄──── one acknowledgement per batch ┘
//! ```
//!
//! A record is encoded once, where it is accepted; nothing is allocated, woken or timed per record.

mod buffer;
mod builder;
mod options;
mod outcome;
mod partitioner;
mod record;
mod sender;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use logmill_protocol::ids::Partition;
use tokio::sync::{SemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use self::buffer::{Append, Shared};
pub use self::builder::ProducerBuilder;
pub use self::outcome::{Ack, Pending, ProduceError};
pub use self::record::{Data, Record};
use crate::error::{Error, Result};
use crate::spans;

/// Sends records to Kafka. Cheap to clone; clones share buffers and connections.
///
/// By default every record is acknowledged by all in-sync replicas, none is stored twice and the order
/// of a partition is the order of acceptance, through retries, lost answers and changes of leader
/// (`acks=all`, `enable.idempotence=true`).
///
/// ```no_run
/// use logmill::{Producer, Record};
/// # async fn example() -> logmill::Result<()> {
/// let producer = Producer::builder().brokers("localhost:9092").build().await?;
/// let ack = producer.send(Record::to("orders").key("1").value("first")).await?;
/// println!("partition {} offset {}", ack.partition, ack.offset);
///
/// let mut pending = Vec::new();
/// for n in 0..1_000 {
///     pending.push(producer.enqueue(Record::to("orders").value(format!("order {n}"))).await?);
/// }
/// for record in pending {
///     record.await?;
/// }
/// producer.close().await
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Producer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    /// Resolves when the sender has ended.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

/// Without [`Producer::close`], what is not sent yet is lost: handles are told, and a warning is logged.
impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.end();
        self.shared.wake.notify_one();
    }
}

impl Producer {
    /// Sets up a producer.
    pub fn builder() -> ProducerBuilder {
        ProducerBuilder::default()
    }

    /// Sends a record and waits until its fate is known: acknowledged, not persisted, or possibly
    /// persisted. It shares its batch with what is sent at the same time, so it takes `linger.ms` longer
    /// than the broker; many tasks may call this at once.
    ///
    /// # Errors
    /// [`ProduceError`], at the latest after `delivery.timeout.ms` (and `max.block.ms` before it, while
    /// there is no room).
    pub async fn send(&self, record: Record<'_>) -> std::result::Result<Ack, ProduceError> {
        let span = spans::send(record.topic);
        let sent = async { self.enqueue(record).await?.await }.instrument(span.clone()).await;
        sent.inspect_err(|problem| {
            spans::failed(&span, problem.reason().code().map_or("not_sent", |code| code.name()))
        })
    }

    /// Accepts a record: returns once it is in the buffer, with a handle that resolves to its fate.
    /// Waits only while `buffer.memory` is full, or while the topic is looked up for the first time.
    ///
    /// # Errors
    /// The record was not accepted, and will not be sent: it is larger than `max.request.size`, its topic or partition
    /// does not exist, there was no room for `max.block.ms`, or the producer is closed.
    pub async fn enqueue(&self, record: Record<'_>) -> std::result::Result<Pending, ProduceError> {
        match self.inner.shared.append(&record, None) {
            Append::Done(pending) => Ok(pending),
            Append::Refused(error) => Err(error),
            first => self.wait(&record, first).await,
        }
    }

    /// Accepts a record once what it lacks is there.
    #[cold]
    async fn wait(&self, record: &Record<'_>, first: Append) -> std::result::Result<Pending, ProduceError> {
        let shared = &self.inner.shared;
        let until = Instant::now() + shared.options.max_block;
        let mut lacking = first;
        loop {
            let room = match lacking {
                Append::Done(pending) => return Ok(pending),
                Append::Refused(error) => return Err(error),
                Append::NoTopic => self.look_up(record.topic, until).await.map(|()| None),
                Append::NoRoom(bytes) => self.reserve(bytes, until).await.map(Some),
            };
            let refused = |reason| {
                ProduceError::new(Partition::new(record.topic, record.partition.unwrap_or(-1)), false, reason)
            };
            lacking = shared.append(record, room.map_err(refused)?);
        }
    }

    async fn look_up(&self, topic: &str, until: Instant) -> Result<()> {
        let shared = &self.inner.shared;
        let (told, answer) = oneshot::channel();
        shared.ask(|inbox| inbox.wanted.push((topic.to_owned(), told)));
        match timeout_at(until, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::Closed { what: "the producer" }),
            Err(_) => Err(self.blocked(format!("looking up topic {topic:?}"))),
        }
    }

    async fn reserve(&self, bytes: usize, until: Instant) -> Result<SemaphorePermit<'_>> {
        let shared = &self.inner.shared;
        let _pressed = Pressed::new(shared);
        match timeout_at(until, shared.memory.acquire_many(bytes as u32)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Error::Closed { what: "the producer" }),
            Err(_) => Err(self.blocked("waiting for room in buffer.memory".to_owned())),
        }
    }

    fn blocked(&self, what: String) -> Error {
        let after = self.inner.shared.options.max_block;
        Error::GaveUp {
            what,
            after,
            last: Box::new(Error::Closed { what: "the time to wait (max.block.ms)" }),
        }
    }

    /// Sends all that was accepted before this call without further linger, and waits until the fate of
    /// every such record is known.
    ///
    /// # Errors
    /// A record accepted since the last flush was not, or possibly not, persisted: the first such error.
    pub async fn flush(&self) -> Result<()> {
        let shared = &self.inner.shared;
        let (told, batches) = oneshot::channel();
        shared.ask(|inbox| inbox.flushes.push(told));
        for batch in batches.await.unwrap_or_default() {
            batch.settled().await;
        }
        let failures = shared.take_failures();
        match failures.first {
            None => Ok(()),
            Some(first) => {
                if failures.records > 1 {
                    tracing::warn!(records = failures.records, %first, "records were not sent since the last flush");
                }
                Err(first.into())
            }
        }
    }

    /// Accepts no more records, sends those that were accepted, and ends. For all clones.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub async fn close(&self) -> Result<()> {
        self.inner.shared.quiet();
        let outcome = self.flush().await;
        self.inner.shared.end();
        self.inner.shared.wake.notify_one();
        let ended = self.inner.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            // An error means that it has ended already.
            let _ = ended.await;
        }
        outcome
    }
}

/// While it lives, open batches are sent without linger: their memory is wanted.
struct Pressed<'a>(&'a Shared);

impl<'a> Pressed<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.pressure.fetch_add(1, Ordering::AcqRel);
        shared.wake.notify_one();
        Self(shared)
    }
}

impl Drop for Pressed<'_> {
    fn drop(&mut self) {
        self.0.pressure.fetch_sub(1, Ordering::AcqRel);
    }
}
