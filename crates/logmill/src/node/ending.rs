//! How a unit ends: closed by its last record, settled in the store, and out of hand. Until then its lease is renewed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logmill_protocol::work::{Progress, Renew, Renewed, Settled};
use tokio::time::Instant;
use tracing::{Instrument as _, debug, error, warn};

use super::in_hand::{InHand, in_one_piece};
use super::lane::LaneInHand;
use super::metrics::Ended;
use super::state::{NodeState, lock};
use crate::spans;

/// How often a store that cannot be reached is asked again.
const STORE_RETRY: Duration = Duration::from_millis(200);

impl NodeState {
    /// `records` of the unit are no longer open. The one who closes the last ends the unit.
    pub(crate) fn close(self: &Arc<Self>, unit: &Arc<InHand>, records: usize) {
        if records > 0 && unit.closed(records) {
            let (state, unit) = (self.clone(), unit.clone());
            self.engine.spawn(async move {
                match unit.lane.clone() {
                    None => state.settle_one(unit).await,
                    Some(lane) => state.settle_in_order(&lane).await,
                }
            });
        }
    }

    /// Ends the units of a lane that are over, in order.
    async fn settle_in_order(self: &Arc<Self>, lane: &LaneInHand) {
        let _turn = lane.settling.lock().await;
        while let Some(first) = lane.first().filter(|first| first.is_over()) {
            self.clone().settle_one(first).await;
        }
    }

    async fn settle_one(self: Arc<Self>, unit: Arc<InHand>) {
        let (partition, range) = (&unit.lease.partition.partition, unit.lease.range);
        let span = spans::settle(&self.settings.group, partition, range.start()..range.end());
        self.settle(unit).instrument(span).await;
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
                    let ended = match request.rest.is_empty() {
                        true if unit.has_dead() => Ended::Dead,
                        true => Ended::Ok,
                        false if unit.is_given_back() => Ended::Released,
                        false => Ended::Retry,
                    };
                    self.meter.unit(&unit.lease.partition.partition, ended, unit.taken.elapsed());
                    break;
                }
                Ok(Settled::Already) => break,
                Ok(Settled::Stale(why)) => {
                    warn!(unit = name, ?why, "unit not settled: another node has it, or the store lost it");
                    self.count_lost(&unit);
                    unit.lane.iter().for_each(|lane| self.lose_lane(lane));
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
                    self.count_lost(&unit);
                    unit.lane.iter().for_each(|lane| self.lose_lane(lane));
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
                        // One that is over may have been settled meanwhile: its settle tells.
                        Renewed::Lost if unit.is_over() && unit.is_within_lease(asked) => {}
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
}
