//! What a node counts for its metrics. Where they are off it counts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::work::{Overview, PartitionSnapshot};
use tokio::time::Instant;

use super::Metrics;
use crate::node::failures::wall_ms;
use crate::node::state::lock;
use crate::observe::{Count, Histogram};

/// How a unit's time in a node's hands ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Ok,
    Retry,
    Dead,
    Released,
    Expired,
}

impl Ended {
    pub(super) const ALL: [Self; 5] = [Self::Ok, Self::Retry, Self::Dead, Self::Released, Self::Expired];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Retry => "retry",
            Self::Dead => "dead",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// Counts by a label.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    fn add(&self, label: &'static str, count: u64) {
        *lock(&self.0).entry(label).or_default() += count;
    }

    /// Takes out what was added.
    pub(super) fn drain(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut lock(&self.0))
    }
}

/// One topic's counts.
#[derive(Debug)]
pub(super) struct OfTopic {
    pub(super) read: Count,
    pub(super) planned: Count,
    pub(super) lost: Count,
    pub(super) retried: Tally,
    pub(super) dead: Tally,
    pub(super) skipped: Tally,
    pub(super) units: [Histogram; Ended::ALL.len()],
    pub(super) handlers: Histogram,
}

impl OfTopic {
    fn new() -> Self {
        Self {
            read: Count::default(),
            planned: Count::default(),
            lost: Count::default(),
            retried: Tally::default(),
            dead: Tally::default(),
            skipped: Tally::default(),
            units: std::array::from_fn(|_| Histogram::of_durations()),
            handlers: Histogram::of_durations(),
        }
    }
}

/// How far the group is in a partition, as the organiser last saw it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(super) start: Offset,
    pub(super) watermark: Offset,
    pub(super) planned: Offset,
    pub(super) end: Offset,
    /// Ranges settled above the watermark.
    pub(super) ranges: u64,
    /// Offsets in units.
    pub(super) in_units: i64,
}

impl Place {
    pub(crate) fn new(lanes: &[PartitionSnapshot], start: Offset, end: Offset) -> Self {
        let least = |of: fn(&PartitionSnapshot) -> Offset| lanes.iter().map(of).min().unwrap_or(0);
        let (watermark, planned) = (least(|lane| lane.watermark), least(|lane| lane.planned));
        let in_units: i64 = lanes
            .iter()
            .map(|lane| {
                let done: u64 = lane.done.iter().map(|range| range.len()).sum();
                lane.planned - lane.watermark - done as i64
            })
            .sum();
        Self {
            start,
            watermark,
            planned,
            end: end.max(planned),
            ranges: lanes.iter().map(|lane| u64::from(lane.done_ranges)).sum(),
            // Each lane spans all offsets, and has its part of the records.
            in_units: in_units / lanes.len().max(1) as i64,
        }
    }

    pub(super) fn lag(&self) -> i64 {
        self.end - self.watermark
    }
}

/// What has to be asked for.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) overview: Option<Overview>,
    /// The timestamp of the oldest record that is not settled, by topic.
    pub(super) oldest_ms: BTreeMap<Arc<str>, i64>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(super) metrics: Metrics,
    pub(super) topics: BTreeMap<Arc<str>, OfTopic>,
    pub(super) places: Mutex<BTreeMap<Partition, Place>>,
    /// Partitions of which offsets were published.
    pub(super) told: Mutex<BTreeSet<Partition>>,
    pub(super) looked: Mutex<Looked>,
    /// Scopes that were published as paused.
    pub(super) paused: Mutex<BTreeSet<String>>,
    pub(super) rebalances: Count,
    pub(super) announced_ms: AtomicI64,
    pub(super) passed_ms: AtomicI64,
    pub(super) passes: Histogram,
    /// The pass under way is none that succeeds.
    has_failed: AtomicBool,
    pub(super) not_committed: Tally,
}

impl Meter {
    pub(crate) fn new(metrics: Metrics, topics: &[String]) -> Self {
        let topics = if metrics == Metrics::Off { &[] } else { topics };
        Self {
            metrics,
            topics: topics.iter().map(|topic| (Arc::from(&**topic), OfTopic::new())).collect(),
            places: Mutex::default(),
            told: Mutex::default(),
            looked: Mutex::default(),
            paused: Mutex::default(),
            rebalances: Count::default(),
            announced_ms: AtomicI64::new(0),
            passed_ms: AtomicI64::new(0),
            passes: Histogram::of_durations(),
            has_failed: AtomicBool::new(false),
            not_committed: Tally::default(),
        }
    }

    fn is_on(&self) -> bool {
        self.metrics != Metrics::Off
    }

    fn of(&self, partition: &Partition) -> Option<&OfTopic> {
        if self.topics.is_empty() { None } else { self.topics.get(&partition.topic) }
    }

    /// Records came from Kafka.
    pub(crate) fn read(&self, partition: &Partition, records: usize) {
        if let Some(of) = self.of(partition) {
            of.read.add(records as u64);
        }
    }

    /// Units were planned.
    pub(crate) fn planned(&self, partition: &Partition, units: u32) {
        if let Some(of) = self.of(partition) {
            of.planned.add(u64::from(units));
        }
    }

    /// A record comes again.
    pub(crate) fn retried(&self, partition: &Partition, failure: &'static str) {
        if let Some(of) = self.of(partition) {
            of.retried.add(failure, 1);
        }
    }

    /// The ledger has a record.
    pub(crate) fn dead(&self, partition: &Partition, reason: &'static str) {
        if let Some(of) = self.of(partition) {
            of.dead.add(reason, 1);
        }
    }

    /// Offsets are passed over.
    pub(crate) fn skipped(&self, partition: &Partition, reason: &'static str, offsets: u64) {
        if let Some(of) = self.of(partition) {
            of.skipped.add(reason, offsets);
        }
    }

    /// A unit was in hand for so long.
    pub(crate) fn unit(&self, partition: &Partition, ended: Ended, after: Duration) {
        if let Some(of) = self.of(partition) {
            of.units[ended as usize].took(after);
            if ended == Ended::Expired {
                of.lost.add(1);
            }
        }
    }

    /// When the handler that begins now does so, if anybody wants to know.
    pub(crate) fn begin(&self) -> Option<Instant> {
        self.is_on().then(Instant::now)
    }

    /// A handler that began then has ended.
    pub(crate) fn handled(&self, partition: &Partition, since: Instant) {
        if let Some(of) = self.of(partition) {
            of.handlers.took(since.elapsed());
        }
    }

    /// The organiser looked at a partition that it has; none once it no longer has it.
    pub(crate) fn place(&self, partition: &Partition, place: impl FnOnce() -> Option<Place>) {
        if self.is_on() {
            match place() {
                Some(place) => drop(lock(&self.places).insert(partition.clone(), place)),
                None => drop(lock(&self.places).remove(partition)),
            }
        }
    }

    /// Partitions were assigned anew.
    pub(crate) fn rebalanced(&self) {
        self.rebalances.add(1);
    }

    /// The group knows that this node lives.
    pub(crate) fn announced(&self) {
        self.announced_ms.store(wall_ms(), Ordering::Relaxed);
    }

    /// The organiser went through its partitions.
    pub(crate) fn passed(&self, since: Instant) {
        if self.is_on() {
            self.passes.took(since.elapsed());
            if !self.has_failed.swap(false, Ordering::Relaxed) {
                self.passed_ms.store(wall_ms(), Ordering::Relaxed);
            }
        }
    }

    /// A partition could not be committed.
    pub(crate) fn not_committed(&self, why: &'static str) {
        self.not_committed.add(why, 1);
        self.has_failed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_in_which_something_failed_is_none_that_succeeded() {
        let meter = Meter::new(Metrics::ByTopic, &["orders".to_owned()]);
        meter.not_committed("store");
        meter.passed(Instant::now());
        assert_eq!(meter.passed_ms.load(Ordering::Relaxed), 0);
        meter.passed(Instant::now());
        assert!(meter.passed_ms.load(Ordering::Relaxed) > 0);
    }
}
