//! Where records wait: one open batch per partition, in which a record is encoded when it is accepted.
//!
//! Accepting a record takes a partition's lock for as long as it takes to encode it, and nothing else:
//! memory is reserved, the clock is read and the sender is woken once per batch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use logmill_protocol::ids::Partition;
use logmill_protocol::records::BatchBuilder;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};
use tokio::time::Instant;

use super::options::Options;
use super::outcome::{BatchAck, Pending, ProduceError};
use super::partitioner::{self, Sticky};
use super::record::Record;
use crate::client::traffic::Buffers;
use crate::error::{Error, Result};

/// How many empty buffers are kept for the next batches.
const POOL: usize = 64;

/// Where record timestamps come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wall {
    System,
    /// The runtime's clock, counted from this moment and time: for simulations.
    From(Instant, i64),
}

impl Wall {
    /// Milliseconds since 1970.
    fn now(self) -> i64 {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                since.map_or(0, |since| since.as_millis() as i64)
            }
            Self::From(start, at) => at + start.elapsed().as_millis() as i64,
        }
    }
}

/// A batch that records are added to.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) builder: BatchBuilder,
    pub(super) ack: Arc<BatchAck>,
    pub(super) serial: u64,
    pub(super) opened: Instant,
    /// The bytes of `buffer.memory` that it holds.
    pub(super) charged: usize,
    /// The time of records without one.
    time: i64,
}

/// One partition of one topic.
#[derive(Debug)]
pub(super) struct PartitionQueue {
    /// The sender's number for it.
    pub(super) slot: usize,
    pub(super) partition: Partition,
    open: Mutex<Option<OpenBatch>>,
    /// Batches that are closed and not settled.
    pub(super) waiting: AtomicUsize,
}

impl PartitionQueue {
    pub(super) fn new(slot: usize, partition: Partition) -> Self {
        Self { slot, partition, open: Mutex::default(), waiting: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<OpenBatch>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A topic as far as the producer uses it.
#[derive(Debug)]
pub(super) struct TopicQueue {
    pub(super) name: Arc<str>,
    pub(super) partitions: Vec<Arc<PartitionQueue>>,
    pub(super) sticky: Arc<Sticky>,
}

impl TopicQueue {
    fn advance(&self) {
        let waiting = |index: usize| self.partitions[index].waiting.load(Ordering::Relaxed);
        self.sticky.advance(self.partitions.len(), waiting);
    }
}

/// What the sender finds when it wakes.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Batches that were opened, whose linger runs.
    pub(super) opened: Vec<(Instant, Arc<TopicQueue>, usize, u64)>,
    /// Batches that are full, in the order of each partition.
    pub(super) closed: Vec<(usize, OpenBatch)>,
    /// Topics to be looked up.
    pub(super) wanted: Vec<(String, oneshot::Sender<Result<()>>)>,
    /// Who wants to know of all that was accepted so far.
    pub(super) flushes: Vec<oneshot::Sender<Vec<Arc<BatchAck>>>>,
}

/// Records that were not sent since the last flush.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub(super) records: u64,
    pub(super) first: Option<ProduceError>,
}

/// What becomes of a record that is to be accepted.
pub(super) enum Append {
    Done(Pending),
    /// The topic has to be looked up first.
    NoTopic,
    /// So many bytes of `buffer.memory` are needed first.
    NoRoom(usize),
    Refused(ProduceError),
}

const OPEN: u8 = 0;
const CLOSING: u8 = 1;
const ENDED: u8 = 2;

/// What the producer's users and its sender share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) memory: Semaphore,
    /// Users that wait for memory: open batches are sent without linger then.
    pub(super) pressure: AtomicUsize,
    pub(super) wake: Notify,
    pub(super) inbox: Mutex<Inbox>,
    pub(super) failures: Mutex<Failures>,
    /// The sender will wake within the linger without being told.
    pub(super) armed: AtomicBool,
    topics: RwLock<BTreeMap<Arc<str>, Arc<TopicQueue>>>,
    pool: Mutex<Vec<Vec<u8>>>,
    state: AtomicU8,
    serial: AtomicU64,
    wall: Wall,
}

impl Buffers for Shared {
    fn buffered(&self) -> usize {
        self.options.buffer_memory.saturating_sub(self.memory.available_permits())
    }
}

impl Shared {
    pub(super) fn new(options: Options, wall: Wall) -> Self {
        Self {
            memory: Semaphore::new(options.buffer_memory),
            options,
            pressure: AtomicUsize::new(0),
            wake: Notify::new(),
            inbox: Mutex::default(),
            failures: Mutex::default(),
            armed: AtomicBool::new(false),
            topics: RwLock::default(),
            pool: Mutex::default(),
            state: AtomicU8::new(OPEN),
            serial: AtomicU64::new(0),
            wall,
        }
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more records; what was taken is still sent.
    pub(super) fn quiet(&self) {
        let _ = self.state.compare_exchange(OPEN, CLOSING, Ordering::AcqRel, Ordering::Acquire);
        self.wake.notify_one();
    }

    /// Nothing will be sent any more.
    pub(super) fn end(&self) {
        self.state.store(ENDED, Ordering::Release);
        self.memory.close();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == ENDED
    }

    /// Puts a question into the inbox. The sender answers it, or drops it when it ends.
    pub(super) fn ask(&self, put: impl FnOnce(&mut Inbox)) {
        put(&mut self.inbox());
        if self.has_ended() {
            // Nobody will look any more, unless it happens right now.
            *self.inbox() = Inbox::default();
        }
        self.wake.notify_one();
    }

    pub(super) fn topic(&self, name: &str) -> Option<Arc<TopicQueue>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn topics(&self) -> Vec<Arc<TopicQueue>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn install(&self, topic: TopicQueue) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(Arc::clone(&topic.name), Arc::new(topic));
    }

    /// Accepts a record, if its topic is known and there is room for it. `room` was reserved by an
    /// earlier attempt.
    pub(super) fn append(&self, record: &Record<'_>, mut room: Option<SemaphorePermit<'_>>) -> Append {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = topics.get(record.topic) else {
            return if self.state.load(Ordering::Acquire) == OPEN {
                Append::NoTopic
            } else {
                self.closed(record)
            };
        };
        loop {
            let partitions = topic.partitions.len();
            let (index, sticky) = match (record.partition, record.key_bytes()) {
                (Some(index), _) => (usize::try_from(index).unwrap_or(usize::MAX), false),
                (None, Some(key)) => (partitioner::of_key(key, partitions), false),
                (None, None) => (topic.sticky.current(partitions), true),
            };
            let Some(queue) = topic.partitions.get(index) else {
                let partition = Partition::new(Arc::clone(&topic.name), record.partition.unwrap_or(-1));
                let reason = Error::UnknownPartition { partition: partition.clone(), partitions };
                return Append::Refused(ProduceError::new(partition, false, reason));
            };
            let mut open = queue.lock();
            // Under the lock: whoever ends the producer takes every lock after it has said so.
            if self.state.load(Ordering::Acquire) != OPEN {
                return self.closed(record);
            }
            if let Some(batch) = open.as_mut() {
                let time = record.timestamp.unwrap_or_else(|| self.time_in(batch));
                if let Ok(place) = batch.builder.append(&record.encode(time), self.options.batch_size) {
                    return Append::Done(handle(batch, place, time));
                }
                if let Some(full) = open.take() {
                    self.hand_over(queue, full);
                }
                if sticky && partitions > 1 {
                    topic.advance();
                    continue;
                }
            }
            return self.open(topic, index, &mut open, record, room.take());
        }
    }

    fn closed(&self, record: &Record<'_>) -> Append {
        let partition = Partition::new(record.topic, record.partition.unwrap_or(-1));
        Append::Refused(ProduceError::new(partition, false, Error::Closed { what: "the producer" }))
    }

    /// Starts a batch with this record.
    #[cold]
    fn open(
        &self,
        topic: &Arc<TopicQueue>,
        index: usize,
        open: &mut Option<OpenBatch>,
        record: &Record<'_>,
        room: Option<SemaphorePermit<'_>>,
    ) -> Append {
        let now = self.wall.now();
        let partition = topic.partitions[index].partition.clone();
        let time = record.timestamp.unwrap_or(now);
        let record = record.encode(time);
        let size = usize::try_from(BatchBuilder::size_alone(&record)).unwrap_or(usize::MAX);
        let limit = self.options.max_request;
        if size > limit {
            return Append::Refused(ProduceError::new(
                partition,
                false,
                Error::RecordTooLarge { size, limit },
            ));
        }
        let charged = size.max(self.options.batch_size);
        match room {
            Some(room) if room.num_permits() >= charged => room.forget(),
            _ => match self.memory.try_acquire_many(charged as u32) {
                Ok(permit) => permit.forget(),
                Err(_) => return Append::NoRoom(charged),
            },
        }
        let mut builder = BatchBuilder::new(self.buffer(charged));
        let Ok(place) = builder.append(&record, charged) else {
            // It was measured a moment ago; the sizes cannot differ.
            self.memory.add_permits(charged);
            return Append::Refused(ProduceError::new(
                partition,
                false,
                Error::RecordTooLarge { size, limit },
            ));
        };
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let opened = Instant::now();
        let batch = OpenBatch { builder, ack: BatchAck::new(partition), serial, opened, charged, time: now };
        let pending = handle(&batch, place, time);
        *open = Some(batch);
        self.inbox().opened.push((opened, Arc::clone(topic), index, serial));
        if !self.armed.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
        Append::Done(pending)
    }

    #[inline]
    fn time_in(&self, batch: &OpenBatch) -> i64 {
        if self.options.coarse_time { batch.time } else { self.wall.now() }
    }

    /// The lock on the partition is held, so that its batches stay in order.
    fn hand_over(&self, queue: &PartitionQueue, batch: OpenBatch) {
        queue.waiting.fetch_add(1, Ordering::Relaxed);
        self.inbox().closed.push((queue.slot, batch));
        self.wake.notify_one();
    }

    /// Closes a partition's open batch, if it is the one of that serial number or if `serial` is
    /// `None`. The batch is in the inbox then.
    pub(super) fn close_batch(&self, topic: &TopicQueue, index: usize, serial: Option<u64>) {
        let queue = &topic.partitions[index];
        let mut open = queue.lock();
        if let Some(batch) = open.take_if(|batch| serial.is_none_or(|serial| serial == batch.serial)) {
            self.hand_over(queue, batch);
            drop(open);
            if topic.sticky.current(topic.partitions.len()) == index {
                topic.advance();
            }
        }
    }

    fn buffer(&self, size: usize) -> Vec<u8> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        match pool.pop() {
            Some(buffer) if buffer.capacity() >= size => buffer,
            _ => Vec::with_capacity(size),
        }
    }

    /// Takes back what a settled batch held.
    pub(super) fn give_back(&self, charged: usize, buffer: Vec<u8>) {
        if (1..=self.options.batch_size * 2).contains(&buffer.capacity()) {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            if pool.len() < POOL {
                pool.push(buffer);
            }
        }
        self.memory.add_permits(charged);
    }

    /// Tells a batch's handles that its records were not sent, and remembers it for the next flush.
    pub(super) fn fail(&self, ack: &BatchAck, records: u32, doubtful: bool, reason: Error) {
        let error = ProduceError::new(ack.partition.clone(), doubtful, reason);
        if ack.complete(Err(error.clone())) {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.records += u64::from(records);
            failures.first.get_or_insert(error);
        }
    }

    pub(super) fn take_failures(&self) -> Failures {
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[inline]
fn handle(batch: &OpenBatch, index: u32, timestamp: i64) -> Pending {
    Pending { ack: Arc::clone(&batch.ack), index, timestamp, place: None }
}
