//! What a node's tasks share: the units in its hands, the records that wait, and how a unit ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logmill_protocol::ids::{Nonce, Offset, Partition, PartitionKey};
use logmill_protocol::records::OwnedRecord;
use logmill_protocol::work::{Lease, Progress, Renew, Renewed, Settled};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::dead::{DeadLetters, GivenUp};
use super::failures::{FirstFailures, wall_ms};
use super::handler::Outcome;
use super::in_hand::{InHand, in_one_piece};
use super::lane::LaneInHand;
use super::order::{Blocks, Line};
use super::queue::Queue;
use super::record::Received;
use super::settings::Settings;
use super::verdict::{Ended, Tried, Verdict, verdict};
use crate::ledger::DeadReason;
use crate::store::Store;

/// How often a store that cannot be reached is asked again.
const STORE_RETRY: Duration = Duration::from_millis(200);

/// One record, in the count of those to be expected: a lane has a part of the offsets it spans.
const RECORD: u64 = 256;

/// A lane is extended when no more of its records than this are left in hand, or than there are handlers.
const FEW: usize = 100;

/// A unit's name among those in hand.
type UnitKey = (PartitionKey, Offset);

/// A node's state. It hands out work and takes back outcomes; the tasks around it do the waiting.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queue: Queue,
    /// Where the node's own tasks run, apart from the handlers.
    pub(crate) engine: Handle,
    units: Mutex<BTreeMap<UnitKey, Arc<InHand>>>,
    /// The lanes of which units are in hand.
    lanes: Mutex<BTreeMap<PartitionKey, Arc<LaneInHand>>>,
    /// A unit ended, or was let go.
    pub(crate) ended: Notify,
    /// Records to be expected in what is in hand and not read yet, each [`RECORD`].
    unread: AtomicU64,
    /// Cancelled: no more units are taken.
    pub(crate) quiet: CancellationToken,
    /// Where records go that are given up on.
    pub(crate) dead: DeadLetters,
    first_failures: FirstFailures,
    /// Partitions whose units are not worked on for the time being: another process gets them.
    letting_go: Mutex<Vec<Partition>>,
    random: Mutex<StdRng>,
    base: Instant,
    counts: Counts,
}

/// What a node has done since it started.
#[derive(Debug, Default)]
struct Counts {
    settled: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
    units: AtomicU64,
    lost: AtomicU64,
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
    pub(crate) fn new(settings: Settings, store: Arc<dyn Store>, dead: DeadLetters, engine: Handle) -> Self {
        Self {
            queue: Queue::new(settings.max_in_flight, settings.max_in_flight_bytes),
            random: Mutex::new(StdRng::seed_from_u64(settings.seed)),
            settings,
            store,
            engine,
            units: Mutex::default(),
            lanes: Mutex::default(),
            ended: Notify::new(),
            unread: AtomicU64::new(0),
            quiet: CancellationToken::new(),
            dead,
            first_failures: FirstFailures::default(),
            letting_go: Mutex::default(),
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

    fn draw(&self) -> f64 {
        lock(&self.random).random()
    }

    /// Notes a lease that was just given, asked for at `asked`.
    pub(crate) fn take_in(&self, lease: Lease, asked: Instant) -> Arc<InHand> {
        let key = (lease.partition.clone(), lease.range.start());
        let unread = expected(&lease, lease.position, lease.range.end());
        self.unread.fetch_add(unread, Ordering::AcqRel);
        let mut lanes = lock(&self.lanes);
        let lane = (!lease.partition.lane.is_whole()).then(|| {
            let key = &lease.partition;
            let new = || Arc::new(LaneInHand::new(key.clone(), Line::of_lane(key)));
            lanes.entry(key.clone()).or_insert_with(new).clone()
        });
        let unit = Arc::new(InHand::new(lease, lane, self.base, asked + self.settings.lease));
        unit.lane.iter().for_each(|lane| lane.add(unit.clone()));
        drop(lanes);
        lock(&self.units).insert(key, unit.clone());
        unit
    }

    /// The lanes in hand of which more is worth taking, those with the least left first.
    pub(crate) fn lanes_to_extend(&self, most: usize) -> Vec<PartitionKey> {
        let few = self.settings.concurrency.max(FEW);
        let lanes = lock(&self.lanes);
        lanes.values().filter(|lane| lane.wants_more(few)).map(|lane| lane.key.clone()).take(most).collect()
    }

    /// The units in hand.
    pub(crate) fn units(&self) -> Vec<Arc<InHand>> {
        lock(&self.units).values().cloned().collect()
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

    /// What became of a record that was handed out.
    pub(crate) fn finish(self: &Arc<Self>, finished: Finished, ended: Ended) {
        let Finished { record, attempt, unit, .. } = &finished;
        if matches!(ended, Ended::Said(Outcome::Ack)) && *attempt == 1 {
            return self.handled(finished);
        }
        let (partition, offset, now_ms) = (&unit.lease.partition, record.offset, wall_ms());
        let age = now_ms.checked_sub(record.timestamp).filter(|_| record.timestamp >= 0);
        let tried = Tried {
            attempt: *attempt,
            age: age.map(|ms| Duration::from_millis(ms.try_into().unwrap_or(0))),
            draw: self.draw(),
        };
        match verdict(ended, tried, &self.settings) {
            Verdict::Handled => {
                self.first_failures.forget(partition, offset);
                self.handled(finished);
            }
            Verdict::Again { delay, error } => {
                self.first_failures.note(partition, offset, now_ms);
                self.again(finished, delay, &error);
            }
            Verdict::Dead { reason, error } => self.give_up(finished, reason, error, now_ms),
        }
    }

    fn handled(self: &Arc<Self>, Finished { record, unit, line, again, .. }: Finished) {
        unit.settle(record.offset);
        self.counts.settled.fetch_add(1, Ordering::Relaxed);
        self.no_longer_first(&unit, line, again);
        self.close(&unit, 1);
    }

    fn again(self: &Arc<Self>, finished: Finished, delay: Duration, error: &str) {
        let Finished { record, attempt, unit, line, again } = finished;
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        let place = &unit.lease.partition.partition;
        warn!(partition = %place, offset = record.offset, attempt, ?delay, error, "a record failed and will be retried");
        let line = match (self.settings.blocks, unit.lane_line()) {
            (Blocks::Nothing, Some(_)) => {
                self.no_longer_first(&unit, line, again);
                None
            }
            (Blocks::Lane, Some(lane)) if !again => {
                self.queue.hold_up(lane);
                line
            }
            _ => line,
        };
        if unit.fail(record, attempt, line, Instant::now() + delay) {
            self.close(&unit, 1);
        }
    }

    /// The record is not tried again. It stays open until the ledger has it.
    pub(crate) fn give_up(
        self: &Arc<Self>,
        finished: Finished,
        reason: DeadReason,
        error: String,
        now_ms: i64,
    ) {
        let Finished { record, attempt, unit, .. } = &finished;
        let place = &unit.lease.partition.partition;
        warn!(partition = %place, offset = record.offset, attempt, reason = reason.name(), error,
            "a record is given up on: a dead letter");
        let Some(place) = self.dead.place() else {
            let error = format!("{error} (too many dead letters wait for the ledger)");
            return self.again(finished, self.settings.retry.delay(u32::MAX, 1.0), &error);
        };
        let first_failure_ms = self.first_failures.note(&unit.lease.partition, record.offset, now_ms);
        self.first_failures.forget(&unit.lease.partition, record.offset);
        unit.give_up(record.clone(), *attempt, Instant::now());
        let given_up = GivenUp { finished, reason, error, first_failure_ms, now_ms, place };
        self.engine.spawn(self.clone().bury(given_up));
    }

    pub(crate) fn counted_dead(&self) {
        self.counts.dead.fetch_add(1, Ordering::Relaxed);
    }

    /// A record that was handed out comes back untried.
    pub(crate) fn put_back(self: &Arc<Self>, received: Finished) {
        let Finished { record, attempt, unit, line, .. } = received;
        if unit.fail(record, attempt.saturating_sub(1), line, Instant::now()) {
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

    /// `records` of the unit are no longer open. The one who closes the last ends the unit.
    pub(crate) fn close(self: &Arc<Self>, unit: &Arc<InHand>, records: usize) {
        if records > 0 && unit.closed(records) {
            let (state, unit) = (self.clone(), unit.clone());
            self.engine.spawn(async move {
                match unit.lane.clone() {
                    None => state.settle(unit).await,
                    Some(lane) => state.settle_in_order(&lane).await,
                }
            });
        }
    }

    /// Ends the units of a lane that are over, in order.
    async fn settle_in_order(self: &Arc<Self>, lane: &LaneInHand) {
        let _turn = lane.settling.lock().await;
        while let Some(first) = lane.first().filter(|first| first.is_over()) {
            self.clone().settle(first).await;
        }
    }

    /// Ends a unit in the store. It stays in hand, and its lease is renewed, until the store has
    /// answered.
    async fn settle(self: Arc<Self>, unit: Arc<InHand>) {
        let mut request = unit.settlement(Instant::now());
        let name = format!("{} {}", unit.lease.partition.partition, unit.lease.range);
        while !unit.is_lost() {
            if !unit.is_within_lease(Instant::now()) && !self.renew(std::slice::from_ref(&unit)).await {
                tokio::time::sleep(STORE_RETRY).await;
                continue;
            }
            match self.store.settle(request.clone()).await {
                Ok(Settled::Done { watermark }) => {
                    debug!(unit = name, watermark, rests = request.rest.len(), "unit settled");
                    self.counts.units.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Ok(Settled::Already) => break,
                Ok(Settled::Stale(why)) => {
                    warn!(unit = name, ?why, "unit not settled: another node has it, or the store lost it");
                    self.counts.lost.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Ok(Settled::Full { units }) => {
                    warn!(
                        unit = name,
                        units, "the partition holds too many units: failed records return as one"
                    );
                    request.rest = in_one_piece(&request.rest).into_iter().collect();
                    unit.lane.iter().for_each(|lane| lane.repeats());
                    tokio::time::sleep(STORE_RETRY).await;
                }
                Err(problem) if problem.is_retriable() => {
                    debug!(unit = name, %problem, "settling again");
                    tokio::time::sleep(STORE_RETRY).await;
                }
                Err(problem) => {
                    warn!(unit = name, %problem, "unit not settled: its records come again");
                    self.counts.lost.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
        self.let_out(&unit);
    }

    fn let_out(&self, unit: &Arc<InHand>) {
        let mut units = lock(&self.units);
        let key = (unit.lease.partition.clone(), unit.lease.range.start());
        // The same unit may have been taken again after its lease was lost: that one stays.
        if units.get(&key).is_some_and(|held| Arc::ptr_eq(held, unit)) {
            units.remove(&key);
        }
        drop(units);
        if let Some(lane) = &unit.lane {
            let mut lanes = lock(&self.lanes);
            let last = lane.remove(unit);
            if last && lanes.get(&lane.key).is_some_and(|held| Arc::ptr_eq(held, lane)) {
                lanes.remove(&lane.key);
            }
        }
        self.ended.notify_waiters();
        self.queue.drained.notify_one();
    }

    /// Renews the leases of these units. False if the store did not answer.
    pub(crate) async fn renew(self: &Arc<Self>, units: &[Arc<InHand>]) -> bool {
        let held: Vec<Progress> = units.iter().map(|unit| unit.progress()).collect();
        let asked = Instant::now();
        let request = Renew { lease_ms: self.settings.lease_ms(), held };
        match self.store.renew(request).await {
            Ok(answers) if answers.len() == units.len() => {
                for (unit, answer) in units.iter().zip(answers) {
                    match answer {
                        Renewed::Kept => unit.extend(asked + self.settings.lease),
                        Renewed::Lost => self.lose(unit),
                    }
                }
                true
            }
            Ok(answers) => {
                error!(asked = units.len(), answered = answers.len(), "the store answered a renewal wrongly");
                false
            }
            Err(problem) => {
                debug!(%problem, "leases not renewed");
                false
            }
        }
    }

    fn lose(self: &Arc<Self>, unit: &Arc<InHand>) {
        if unit.is_lost() {
            return;
        }
        warn!(partition = %unit.lease.partition, range = %unit.lease.range, "lease lost");
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
        let Some(lane) = &unit.lane else {
            let _ = unit.lose();
            return self.drop_waiting_of(unit);
        };
        // Whoever has this one has the lane, from here on.
        lock(&self.lanes).remove(&lane.key);
        lane.close();
        for unit in lane.units() {
            let failed = unit.lose();
            self.drop_waiting_of(&unit);
            self.close(&unit, failed);
        }
    }

    /// Gives back a unit that cannot be read now, and in a lane all that follow it.
    pub(crate) fn give_back_from(self: &Arc<Self>, unit: &Arc<InHand>, delay_ms: u64) {
        let Some(lane) = &unit.lane else {
            unit.give_back(delay_ms);
            return self.drop_waiting_of(unit);
        };
        lane.close();
        for unit in lane.units_from(unit.lease.range.start()) {
            unit.give_back(delay_ms);
            self.drop_waiting_of(&unit);
            self.close(&unit, unit.let_failed_go());
        }
    }

    /// Takes records that wait out of the queue.
    fn drop_waiting(self: &Arc<Self>, which: impl Fn(&Received) -> bool) {
        for received in self.queue.take_out(|received| !which(received)) {
            self.close(&received.unit, 1);
        }
    }

    /// Takes the unit's records that no handler has begun out of the queue.
    pub(crate) fn drop_waiting_of(self: &Arc<Self>, unit: &Arc<InHand>) {
        self.drop_waiting(|received| Arc::ptr_eq(&received.unit, unit));
    }

    /// Stops work on units for which `which` holds: what no handler has begun goes back to the queue,
    /// what one has is waited for until `deadline`, and then given up.
    pub(crate) async fn give_back(self: &Arc<Self>, which: impl Fn(&InHand) -> bool, deadline: Instant) {
        let mine = |state: &Self| state.units().into_iter().filter(|unit| which(unit)).collect::<Vec<_>>();
        for unit in mine(self) {
            unit.lane.iter().for_each(|lane| lane.close());
            unit.give_back(0);
        }
        self.drop_waiting(|received| which(&received.unit));
        for unit in mine(self) {
            self.close(&unit, unit.let_failed_go());
        }
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let left = mine(self);
            if left.is_empty() {
                return;
            }
            if tokio::time::timeout_at(deadline, ended).await.is_err() {
                return self.abandon(left).await;
            }
        }
    }

    /// Handlers that did not end in time: their records come again, elsewhere.
    async fn abandon(self: &Arc<Self>, units: Vec<Arc<InHand>>) {
        for unit in units {
            warn!(partition = %unit.lease.partition.partition, range = %unit.lease.range,
                "handlers did not end in time: the records in their hands will be handled again");
            let request = unit.settlement(Instant::now());
            let _ = unit.lose();
            if let Err(problem) = self.store.settle(request).await {
                warn!(%problem, "unit not given back: it returns when its lease ends");
            }
            self.let_out(&unit);
        }
    }

    /// Gives up the units of these partitions and takes no more of them, until [`NodeState::resume`].
    pub(crate) async fn let_go(self: &Arc<Self>, partitions: &[Partition], deadline: Instant) {
        lock(&self.letting_go).extend_from_slice(partitions);
        self.give_back(|unit| partitions.contains(&unit.lease.partition.partition), deadline).await;
    }

    /// Works on these partitions again.
    pub(crate) fn resume(&self, partitions: &[Partition]) {
        lock(&self.letting_go).retain(|partition| !partitions.contains(partition));
    }

    /// Everything in hand is forgotten, as if the process had died.
    pub(crate) fn forget_all(&self) {
        self.quiet.cancel();
        for unit in std::mem::take(&mut *lock(&self.units)).into_values() {
            let _ = unit.lose();
        }
        lock(&self.lanes).clear();
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
