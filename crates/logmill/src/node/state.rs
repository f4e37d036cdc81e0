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

use super::dead::DeadLetters;
use super::failures::FirstFailures;
use super::in_hand::{InHand, in_one_piece};
use super::queue::Queue;
use super::record::Received;
use super::settings::Settings;
use crate::store::Store;

/// How often a store that cannot be reached is asked again.
const STORE_RETRY: Duration = Duration::from_millis(200);

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
    /// A unit ended, or was let go.
    pub(crate) ended: Notify,
    /// Offsets of units in hand that are not read yet.
    pub(crate) unread: AtomicU64,
    /// Cancelled: no more units are taken.
    pub(crate) quiet: CancellationToken,
    /// Where records go that are given up on.
    pub(crate) dead: DeadLetters,
    pub(super) first_failures: FirstFailures,
    /// Partitions whose units are not worked on for the time being: another process gets them.
    letting_go: Mutex<Vec<Partition>>,
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

    pub(super) fn draw(&self) -> f64 {
        lock(&self.random).random()
    }

    /// Notes a lease that was just given, asked for at `asked`.
    pub(crate) fn take_in(&self, lease: Lease, asked: Instant) -> Arc<InHand> {
        let key = (lease.partition.clone(), lease.range.start());
        self.unread.fetch_add((lease.range.end() - lease.position) as u64, Ordering::AcqRel);
        let unit = Arc::new(InHand::new(lease, self.base, asked + self.settings.lease));
        lock(&self.units).insert(key, unit.clone());
        unit
    }

    /// The units in hand.
    pub(crate) fn units(&self) -> Vec<Arc<InHand>> {
        lock(&self.units).values().cloned().collect()
    }

    /// Reading has come from `from` to `to`.
    pub(crate) fn read(&self, from: Offset, to: Offset) {
        self.unread.fetch_sub((to - from).max(0) as u64, Ordering::AcqRel);
    }

    /// Whether units of this partition are to be left alone now.
    pub(crate) fn is_letting_go(&self, partition: &Partition) -> bool {
        lock(&self.letting_go).contains(partition)
    }

    /// A record that was handed out comes back untried.
    pub(crate) fn put_back(self: &Arc<Self>, received: Finished) {
        let Finished { record, attempt, unit } = received;
        unit.fail(record, attempt.saturating_sub(1), Instant::now());
        self.close(&unit, 1);
    }

    /// `records` of the unit are no longer open. The one who closes the last ends the unit.
    pub(crate) fn close(self: &Arc<Self>, unit: &Arc<InHand>, records: usize) {
        if unit.closed(records) {
            let (state, unit) = (self.clone(), unit.clone());
            self.engine.spawn(async move { state.settle(unit).await });
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

    pub(crate) fn let_out(&self, unit: &Arc<InHand>) {
        let mut units = lock(&self.units);
        let key = (unit.lease.partition.clone(), unit.lease.range.start());
        // The same unit may have been taken again after its lease was lost: that one stays.
        if units.get(&key).is_some_and(|held| Arc::ptr_eq(held, unit)) {
            units.remove(&key);
        }
        drop(units);
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
        warn!(partition = %unit.lease.partition.partition, range = %unit.lease.range, "lease lost");
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
        unit.lose();
        self.drop_waiting_of(unit);
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
            unit.give_back(0);
        }
        self.drop_waiting(|received| which(&received.unit));
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
            unit.lose();
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
            unit.lose();
        }
    }
}

/// A record that left its handler.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) record: OwnedRecord,
    pub(crate) attempt: u32,
    pub(crate) unit: Arc<InHand>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
