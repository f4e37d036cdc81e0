//! The records a node has read and not yet handled, and how many handlers are at work on them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::Received;

/// A bounded queue: whoever reads from Kafka waits for room before it reads on. A handler that is done
/// takes the next record itself, so no record costs a wake-up.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    most_records: usize,
    most_bytes: usize,
    /// How many records wait, to be looked at without the lock.
    length: AtomicUsize,
    /// Records handed out since the start.
    handed: AtomicU64,
    /// When the queue shrinks to this length, more is worth taking.
    low: AtomicUsize,
    /// The queue fell below `low`.
    pub(crate) drained: Notify,
    /// Readers wait here for room.
    room: Notify,
    /// Receivers of the pull form wait here for records.
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Received>,
    bytes: usize,
    /// Handlers at work, or about to look for it.
    busy: usize,
}

impl Queue {
    pub(crate) fn new(most_records: usize, most_bytes: usize) -> Self {
        Self {
            inner: Mutex::default(),
            most_records,
            most_bytes,
            length: AtomicUsize::new(0),
            handed: AtomicU64::new(0),
            low: AtomicUsize::new(0),
            drained: Notify::new(),
            room: Notify::new(),
            arrived: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that wait.
    pub(crate) fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Records handed out since the start.
    pub(crate) fn handed(&self) -> u64 {
        self.handed.load(Ordering::Relaxed)
    }

    /// Wakes [`Queue::drained`] when the queue falls to this length.
    pub(crate) fn set_low(&self, low: usize) {
        self.low.store(low, Ordering::Release);
    }

    /// Returns when another batch may be pushed. One that is larger than the whole bound still gets
    /// its turn, alone.
    pub(crate) async fn room(&self) {
        loop {
            let notified = self.room.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            {
                let inner = self.lock();
                if inner.waiting.len() < self.most_records && inner.bytes < self.most_bytes {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Appends records, and answers how many handlers more are to be started, `slots` being the most
    /// there may be.
    pub(crate) fn push(&self, records: impl IntoIterator<Item = Received>, slots: usize) -> usize {
        let start = {
            let mut inner = self.lock();
            for record in records {
                inner.bytes += record.size();
                inner.waiting.push_back(record);
            }
            self.length.store(inner.waiting.len(), Ordering::Release);
            let start = inner.waiting.len().min(slots.saturating_sub(inner.busy));
            inner.busy += start;
            start
        };
        self.arrived.notify_one();
        start
    }

    /// Takes the next record. `None` means that the handler that asked is no longer counted as at
    /// work: it ends, and a later push starts another.
    pub(crate) fn pop(&self) -> Option<Received> {
        let mut inner = self.lock();
        let record = inner.waiting.pop_front();
        match &record {
            Some(record) => self.took(inner, record),
            None => inner.busy = inner.busy.saturating_sub(1),
        }
        record
    }

    /// Takes the next record without being counted as a handler, if there is one.
    fn pull(&self) -> Option<Received> {
        let mut inner = self.lock();
        let record = inner.waiting.pop_front()?;
        if !inner.waiting.is_empty() {
            self.arrived.notify_one();
        }
        self.took(inner, &record);
        Some(record)
    }

    fn took(&self, mut inner: MutexGuard<'_, Inner>, record: &Received) {
        let was_full = inner.waiting.len() + 1 >= self.most_records || inner.bytes >= self.most_bytes;
        inner.bytes = inner.bytes.saturating_sub(record.size());
        let length = inner.waiting.len();
        self.length.store(length, Ordering::Release);
        drop(inner);
        self.handed.fetch_add(1, Ordering::Relaxed);
        if was_full {
            self.room.notify_waiters();
        }
        if length == self.low.load(Ordering::Acquire) {
            self.drained.notify_one();
        }
    }

    /// Waits for the next record, for the pull form.
    pub(crate) async fn next(&self) -> Received {
        loop {
            let arrived = self.arrived.notified();
            if let Some(record) = self.pull() {
                return record;
            }
            arrived.await;
        }
    }

    /// Takes out the records for which `keep` is false.
    pub(crate) fn take_out(&self, mut keep: impl FnMut(&Received) -> bool) -> Vec<Received> {
        let mut inner = self.lock();
        let all = std::mem::take(&mut inner.waiting);
        let (kept, out): (VecDeque<_>, Vec<_>) = {
            let mut kept = VecDeque::with_capacity(all.len());
            let mut out = Vec::new();
            for record in all {
                if keep(&record) { kept.push_back(record) } else { out.push(record) }
            }
            (kept, out)
        };
        inner.waiting = kept;
        let freed: usize = out.iter().map(Received::size).sum();
        inner.bytes = inner.bytes.saturating_sub(freed);
        self.length.store(inner.waiting.len(), Ordering::Release);
        drop(inner);
        if !out.is_empty() {
            self.room.notify_waiters();
            self.drained.notify_one();
        }
        out
    }
}
