//! A lane in this node's hands: the units of it, in order.
//!
//! A crash repeats what was not settled. For each key that must be the end of what was handled of it, never a part of
//! the middle; so a lane's units are settled in order, and only the first of them has a checkpoint.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logmill_protocol::ids::{Offset, PartitionKey};
use tokio::sync::oneshot;

use super::in_hand::InHand;
use super::order::Line;

/// A lane is not extended while this many of its units are in hand: behind a record that fails for long, so many wait.
const MOST_UNITS: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct LaneInHand {
    pub(crate) key: PartitionKey,
    /// The whole lane as a line.
    pub(crate) line: Line,
    units: Mutex<VecDeque<Arc<InHand>>>,
    /// No more of it is taken: it is given back.
    closing: AtomicBool,
    /// From this offset on all of it is handled again.
    repeated_from: AtomicI64,
    /// Ends when the last reading of it that was begun ends.
    read: Mutex<Option<oneshot::Receiver<()>>>,
    /// Held by whoever settles its units.
    pub(crate) settling: tokio::sync::Mutex<()>,
}

impl LaneInHand {
    pub(crate) fn new(key: PartitionKey, line: Line) -> Self {
        Self {
            key,
            line,
            units: Mutex::default(),
            closing: AtomicBool::new(false),
            repeated_from: AtomicI64::new(Offset::MAX),
            read: Mutex::default(),
            settling: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<InHand>>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, unit: Arc<InHand>) {
        self.lock().push_back(unit);
    }

    /// Takes the unit off. True if it was the last one.
    pub(crate) fn remove(&self, unit: &Arc<InHand>) -> bool {
        let mut units = self.lock();
        units.retain(|held| !Arc::ptr_eq(held, unit));
        units.is_empty()
    }

    /// The unit that is settled next.
    pub(crate) fn first(&self) -> Option<Arc<InHand>> {
        self.lock().front().cloned()
    }

    pub(crate) fn is_first(&self, unit: &InHand) -> bool {
        self.lock().front().is_some_and(|first| std::ptr::eq(&**first, unit))
    }

    pub(crate) fn units(&self) -> Vec<Arc<InHand>> {
        self.lock().iter().cloned().collect()
    }

    /// Those of its units that begin at or above this offset.
    pub(crate) fn units_from(&self, offset: Offset) -> Vec<Arc<InHand>> {
        self.lock().iter().filter(|unit| unit.lease.range.start() >= offset).cloned().collect()
    }

    /// Begins to read it once more, which ends when what is given back is dropped. To be waited for first is the
    /// reading before.
    pub(crate) fn begin_to_read(&self) -> (oneshot::Sender<()>, Option<oneshot::Receiver<()>>) {
        let (ends, ended) = oneshot::channel();
        let before = self.read.lock().unwrap_or_else(PoisonError::into_inner).replace(ended);
        (ends, before)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// How many records of it are left in hand; none if no more of it is to be taken.
    pub(crate) fn left(&self) -> Option<usize> {
        let units = self.lock();
        let may_grow = !self.is_closing() && units.len() < MOST_UNITS;
        may_grow.then(|| units.iter().map(|unit| unit.records()).sum())
    }

    /// The first unit goes back in one piece, records in it that are handled included. So everything above it is
    /// handled again too.
    pub(crate) fn repeats(&self) {
        let from = self.first().map_or(0, |unit| unit.lease.range.start());
        self.repeated_from.fetch_min(from + 1, Ordering::AcqRel);
    }

    /// Whether all of this unit is handled again.
    pub(crate) fn is_repeated(&self, unit: &InHand) -> bool {
        unit.lease.range.start() >= self.repeated_from.load(Ordering::Acquire)
    }
}
