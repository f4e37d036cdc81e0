//! The records a node has read and not yet handled, and how many handlers are at work on them.
//!
//! Records that have an order stand in lines: the first of a line waits for a handler like any other, those behind
//! it are parked until it is done.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::order::Line;
use super::record::Received;

/// A bounded queue: whoever reads from Kafka waits for room before it reads on. A handler that is done
/// takes the next record itself, so no record costs a wake-up.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    most_records: usize,
    most_bytes: usize,
    /// How many records wait for a handler, to be looked at without the lock.
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
    /// Every line whose first record waits, is in a handler, or has failed and comes again; and those behind it.
    lines: HashMap<Line, VecDeque<Received>>,
    /// Lanes that a failed record holds up: how many of those there are, and what came to its turn meanwhile.
    held_up: BTreeMap<Line, (usize, VecDeque<Received>)>,
    /// Records in `lines` and `held_up`.
    parked: usize,
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

    /// Records that wait for a handler.
    pub(crate) fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Whether a record waits for a handler.
    pub(crate) fn waits(&self) -> bool {
        self.length.load(Ordering::Acquire) > 0
    }

    /// Whether no record waits, for a handler or in a line.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().records() == 0
    }

    /// Handlers at work, or about to look for it.
    pub(crate) fn busy(&self) -> usize {
        self.lock().busy
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
                if inner.records() < self.most_records && inner.bytes < self.most_bytes {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Appends records, and answers how many handlers more are to be started, `slots` being the most
    /// there may be.
    pub(crate) fn push(&self, records: impl IntoIterator<Item = Received>, slots: usize) -> usize {
        let mut inner = self.lock();
        for record in records {
            inner.bytes += record.size();
            match record.line.map(|line| inner.lines.entry(line)) {
                Some(Entry::Occupied(mut line)) => {
                    line.get_mut().push_back(record);
                    inner.parked += 1;
                }
                Some(Entry::Vacant(line)) => {
                    line.insert(VecDeque::new());
                    inner.waiting.push_back(record);
                }
                None => inner.waiting.push_back(record),
            }
        }
        self.pushed(inner, slots)
    }

    /// Puts back records that failed and are due: each is still the first of its line.
    pub(crate) fn push_again(&self, records: impl IntoIterator<Item = Received>, slots: usize) -> usize {
        let mut inner = self.lock();
        for record in records {
            inner.bytes += record.size();
            inner.waiting.push_front(record);
        }
        self.pushed(inner, slots)
    }

    /// How many handlers more are to be started for records that came to their turn while none was done.
    pub(crate) fn left_over(&self, slots: usize) -> usize {
        self.pushed(self.lock(), slots)
    }

    fn pushed(&self, mut inner: MutexGuard<'_, Inner>, slots: usize) -> usize {
        self.length.store(inner.waiting.len(), Ordering::Release);
        let start = inner.waiting.len().min(slots.saturating_sub(inner.busy));
        inner.busy += start;
        drop(inner);
        self.arrived.notify_one();
        start
    }

    /// The first record of a line is done, or no longer holds it up: the one behind it comes to its turn. It is left
    /// to the handler that is done.
    pub(crate) fn next_in_line(&self, line: Line) {
        let mut inner = self.lock();
        inner.next_in_line(line);
        self.length.store(inner.waiting.len(), Ordering::Release);
        drop(inner);
        self.arrived.notify_one();
    }

    /// A record of this lane failed that holds up all of it.
    pub(crate) fn hold_up(&self, lane: Line) {
        self.lock().held_up.entry(lane).or_default().0 += 1;
    }

    /// One that held up this lane is done. The records that came to their turn meanwhile wait again.
    pub(crate) fn go_on(&self, lane: Line) {
        let mut inner = self.lock();
        let Some((failed, _)) = inner.held_up.get_mut(&lane) else { return };
        *failed = failed.saturating_sub(1);
        if *failed > 0 {
            return;
        }
        for record in inner.held_up.remove(&lane).into_iter().flat_map(|(_, records)| records).rev() {
            inner.parked -= 1;
            inner.waiting.push_front(record);
        }
        self.length.store(inner.waiting.len(), Ordering::Release);
        drop(inner);
        self.arrived.notify_one();
    }

    /// Takes the next record. `None` means that the handler that asked is no longer counted as at
    /// work: it ends, and a later push starts another.
    pub(crate) fn pop(&self) -> Option<Received> {
        let mut inner = self.lock();
        let record = inner.first();
        match &record {
            Some(record) => self.took(inner, record),
            None => {
                inner.busy = inner.busy.saturating_sub(1);
                self.length.store(0, Ordering::Release);
            }
        }
        record
    }

    /// Takes the next record without being counted as a handler, if there is one.
    fn pull(&self) -> Option<Received> {
        let mut inner = self.lock();
        let record = inner.first()?;
        if !inner.waiting.is_empty() {
            self.arrived.notify_one();
        }
        self.took(inner, &record);
        Some(record)
    }

    fn took(&self, mut inner: MutexGuard<'_, Inner>, record: &Received) {
        let was_full = inner.records() + 1 >= self.most_records || inner.bytes >= self.most_bytes;
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
    pub(crate) fn take_out(&self, keep: impl Fn(&Received) -> bool) -> Vec<Received> {
        let mut inner = self.lock();
        let mut out = Vec::new();
        let Inner { waiting, lines, held_up, .. } = &mut *inner;
        lines.values_mut().for_each(|behind| sift(behind, &keep, &mut out));
        let first = out.len();
        held_up.values_mut().for_each(|(_, records)| sift(records, &keep, &mut out));
        sift(waiting, &keep, &mut out);
        // These were the first of their lines, which go on without them.
        let lines: Vec<Line> = out[first..].iter().filter_map(|record| record.line).collect();
        lines.into_iter().for_each(|line| inner.next_in_line(line));
        let Inner { lines, held_up, .. } = &*inner;
        inner.parked = lines.values().map(VecDeque::len).sum::<usize>()
            + held_up.values().map(|(_, records)| records.len()).sum::<usize>();
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

impl Inner {
    fn records(&self) -> usize {
        self.waiting.len() + self.parked
    }

    /// The next record whose lane is not held up; one that failed before passes.
    fn first(&mut self) -> Option<Received> {
        loop {
            let record = self.waiting.pop_front()?;
            let lane = if self.held_up.is_empty() || record.again { None } else { record.unit.lane_line() };
            match lane.and_then(|lane| self.held_up.get_mut(&lane)) {
                Some((_, records)) => {
                    records.push_back(record);
                    self.parked += 1;
                }
                None => return Some(record),
            }
        }
    }

    fn next_in_line(&mut self, line: Line) {
        let Entry::Occupied(mut behind) = self.lines.entry(line) else { return };
        match behind.get_mut().pop_front() {
            Some(next) => {
                self.parked -= 1;
                self.waiting.push_back(next);
            }
            None => drop(behind.remove()),
        }
    }
}

/// Moves the records for which `keep` is false to `out`.
fn sift(records: &mut VecDeque<Received>, keep: impl Fn(&Received) -> bool, out: &mut Vec<Received>) {
    for record in std::mem::take(records) {
        if keep(&record) { records.push_back(record) } else { out.push(record) }
    }
}
