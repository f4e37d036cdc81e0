//! What a node's tasks share: the units in its hands, the records that wait, and how a unit ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use logmill_protocol::ids::{Nonce, Offset, Partition, PartitionKey};
use logmill_protocol::records::OwnedRecord;
use logmill_protocol::work::Lease;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::asked::Heard;
use super::breaker::Circuit;
use super::dead::DeadLetters;
use super::events::Teller;
use super::failures::FirstFailures;
use super::in_hand::InHand;
use super::lane::LaneInHand;
use super::metrics::Meter;
use super::order::{Blocks, Line};
use super::queue::Queue;
use super::record::Received;
use super::settings::Settings;
use crate::client::membership::Alive;
use crate::store::{Store, Timed};

/// One record, in the count of those to be expected: a lane has a part of the offsets it spans.
const RECORD: u64 = 256;

/// A lane is extended when no more of its records than this are left in hand, or than there are handlers.
const FEW: usize = 100;

/// Others with at most so many times as many left are extended with it.
const SOON: usize = 4;

/// A unit's name among those in hand.
pub(super) type UnitKey = (PartitionKey, Offset);

/// A node's state. It hands out work and takes back outcomes; the tasks around it do the waiting.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Queue,
    /// Where the node's own tasks run, apart from the handlers.
    pub(crate) engine: Handle,
    pub(super) units: Mutex<BTreeMap<UnitKey, Arc<InHand>>>,
    /// The lanes of which units are in hand.
    pub(super) lanes: Mutex<BTreeMap<PartitionKey, Arc<LaneInHand>>>,
    /// A unit ended, or was let go.
    pub(crate) ended: Notify,
    /// Records to be expected in what is in hand and not read yet, each [`RECORD`].
    unread: AtomicU64,
    /// Cancelled: no more units are taken.
    pub(crate) quiet: CancellationToken,
    /// Cancelled: the node ends in good order.
    pub(crate) ending: CancellationToken,
    /// Where the store is this process's own, whatever it holds is so by its membership in the consumer group.
    pub(crate) member: OnceLock<Alive>,
    /// What operators ask of the group.
    pub(crate) asked: Heard,
    /// Whether too many records fail, where that is looked at.
    pub(super) circuit: Option<Circuit>,
    /// Where records go that are given up on.
    pub(crate) dead: DeadLetters,
    pub(super) first_failures: FirstFailures,
    /// Partitions whose units are not worked on for the time being: another process gets them.
    pub(super) letting_go: Mutex<Vec<Partition>>,
    pub(crate) teller: Teller,
    pub(crate) meter: Meter,
    /// The store, where its calls are timed.
    pub(crate) timed: Option<Arc<Timed>>,
    /// Records in the caller's hands, in the pull form.
    pub(crate) delivered: AtomicUsize,
    random: Mutex<StdRng>,
    base: Instant,
    pub(super) counts: Counts,
}

/// What a node has done since it started.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) settled: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dead: AtomicU64,
    pub(super) units: AtomicU64,
    pub(super) lost: AtomicU64,
}

/// What a node has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeCounts {
    /// Records whose handler succeeded.
    pub handled: u64,
    /// Tries that failed and come again.
    pub retried: u64,
    /// Records given up on: they are in the ledger.
    pub dead_letters: u64,
    /// Units ended.
    pub units: u64,
    /// Leases lost to others or with the store.
    pub leases_lost: u64,
}

impl NodeState {
    pub(crate) fn new(
        settings: Settings,
        store: Arc<dyn Store>,
        timed: Option<Arc<Timed>>,
        dead: DeadLetters,
        engine: Handle,
    ) -> Self {
        let meter = Meter::new(settings.metrics, &settings.topics);
        Self {
            queue: Queue::new(settings.max_in_flight, settings.max_in_flight_bytes),
            circuit: settings.breaker.map(|breaker| Circuit::new(breaker, Instant::now())),
            random: Mutex::new(StdRng::seed_from_u64(settings.seed)),
            settings,
            store,
            engine,
            units: Mutex::default(),
            lanes: Mutex::default(),
            ended: Notify::new(),
            unread: AtomicU64::new(0),
            quiet: CancellationToken::new(),
            ending: CancellationToken::new(),
            member: OnceLock::new(),
            asked: Heard::default(),
            dead,
            first_failures: FirstFailures::default(),
            letting_go: Mutex::default(),
            teller: Teller::default(),
            meter,
            timed,
            delivered: AtomicUsize::new(0),
            base: Instant::now(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> NodeCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        NodeCounts {
            handled: read(&self.counts.settled),
            retried: read(&self.counts.failed),
            dead_letters: read(&self.counts.dead),
            units: read(&self.counts.units),
            leases_lost: read(&self.counts.lost),
        }
    }

    /// A number that no other lease will have.
    pub(crate) fn nonce(&self) -> Nonce {
        Nonce(lock(&self.random).random_range(1..=u128::MAX))
    }

    pub(super) fn draw(&self) -> f64 {
        lock(&self.random).random()
    }

    /// Notes a lease that was just given, asked for at `asked`.
    pub(crate) fn take_in(self: &Arc<Self>, lease: Lease, asked: Instant) -> Arc<InHand> {
        self.lose_older(&lease);
        let key = (lease.partition.clone(), lease.range.start());
        let unread = expected(&lease, lease.position, lease.range.end());
        self.unread.fetch_add(unread, Ordering::AcqRel);
        let mut lanes = lock(&self.lanes);
        let lane = (!lease.partition.lane.is_whole()).then(|| {
            let key = &lease.partition;
            let held = lanes.get(key).filter(|lane| !lane.is_closing()).cloned();
            let lane = held.unwrap_or_else(|| Arc::new(LaneInHand::new(key.clone(), Line::of_lane(key))));
            lanes.insert(key.clone(), lane.clone());
            lane
        });
        let unit = Arc::new(InHand::new(lease, lane, self.base, asked, self.settings.lease));
        unit.lane.iter().for_each(|lane| lane.add(unit.clone()));
        drop(lanes);
        lock(&self.units).insert(key, unit.clone());
        unit
    }

    /// The lanes in hand of which more is worth taking, at most so many, those with the least left first. As soon as
    /// one is, so are others with a little more left: lanes that are taken together are fetched and decoded once.
    pub(crate) fn lanes_to_extend(&self, most: usize) -> Vec<PartitionKey> {
        let few = self.settings.concurrency.max(FEW);
        let lanes = lock(&self.lanes);
        let mut left: Vec<_> = lanes.values().filter_map(|lane| Some((lane.left()?, &lane.key))).collect();
        left.sort_unstable();
        if left.first().is_none_or(|(least, _)| *least > few) {
            return Vec::new();
        }
        let soon = left.into_iter().take_while(|(left, _)| *left <= SOON * few);
        soon.map(|(_, lane)| lane.clone()).take(most).collect()
    }

    /// The units in hand.
    pub(crate) fn units(&self) -> Vec<Arc<InHand>> {
        lock(&self.units).values().cloned().collect()
    }

    /// These lanes are not extended any more. What is in hand of them is handled.
    pub(crate) fn no_more_of(&self, lanes: &[PartitionKey]) {
        let held = lock(&self.lanes);
        lanes.iter().filter_map(|lane| held.get(lane)).for_each(|lane| lane.close());
    }

    /// Whether a lane that was to be extended is still in hand.
    pub(crate) fn holds(&self, lane: &PartitionKey) -> bool {
        lock(&self.lanes).get(lane).is_some_and(|lane| !lane.is_closing())
    }

    /// Reading of the unit has come from `from` to `to`.
    pub(crate) fn read(&self, unit: &InHand, from: Offset, to: Offset) {
        self.unread.fetch_sub(expected(&unit.lease, from, to), Ordering::AcqRel);
    }

    /// How many records are to be expected in what is in hand and not read yet.
    pub(crate) fn unread(&self) -> u64 {
        self.unread.load(Ordering::Acquire) / RECORD
    }

    /// Whether units of this partition are to be left alone now.
    pub(crate) fn is_letting_go(&self, partition: &Partition) -> bool {
        lock(&self.letting_go).contains(partition)
    }

    /// Whether nobody else can have been given what this node's membership gave it.
    pub(crate) fn is_sure_of_its_own(&self, now: Instant) -> bool {
        self.member.get().is_none_or(|member| member.is_sure(now))
    }

    /// Whether a handler may begin a record of the unit now.
    pub(crate) fn may_begin(&self, unit: &InHand) -> bool {
        let now = Instant::now();
        unit.is_live(now) && self.is_sure_of_its_own(now)
    }

    /// A record that was handed out comes back untried.
    pub(crate) fn put_back(self: &Arc<Self>, received: Finished) {
        let Finished { record, attempt, unit, line, again } = received;
        if unit.fail(record, attempt.saturating_sub(1), line, Instant::now()) {
            self.no_longer_first(&unit, line, again);
            self.close(&unit, 1);
        }
    }

    /// A record no longer holds up those behind it.
    pub(crate) fn no_longer_first(&self, unit: &InHand, line: Option<Line>, again: bool) {
        if let Some(line) = line {
            self.queue.next_in_line(line);
        }
        if let Some(lane) = unit.lane_line().filter(|_| again && self.settings.blocks == Blocks::Lane) {
            self.queue.go_on(lane);
        }
    }
}

/// A record that left its handler.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) record: OwnedRecord,
    pub(crate) attempt: u32,
    pub(crate) unit: Arc<InHand>,
    pub(crate) line: Option<Line>,
    pub(crate) again: bool,
}

impl Finished {
    /// What is kept of a record while its handler has it.
    pub(crate) fn of(received: &Received) -> Self {
        let Received { record, attempt, unit, line, again } = received.clone();
        Self { record, attempt, unit, line, again }
    }
}

/// How many records, each [`RECORD`], are to be expected between two offsets of a lease.
fn expected(lease: &Lease, from: Offset, to: Offset) -> u64 {
    (to - from).max(0) as u64 * (RECORD / u64::from(lease.partition.lane.of.max(1)))
}

/// A panic while one of these locks was held cannot leave what it guards half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
