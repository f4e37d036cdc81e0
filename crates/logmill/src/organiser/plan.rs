//! Cuts what is new in the logs into units.

use std::time::Duration;

use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::work::{Plan, Planned, Refused};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Organiser;
use super::cut::cut;
use super::held::HeldPartition;
use crate::client::fetch::Grown;
use crate::error::{Error, Result};
use crate::store::StoreError;

/// While records keep coming, the logs are looked at this often.
const BUSY: Duration = Duration::from_millis(10);

/// Each lane is a plan of its own, so partitions in lanes are looked at less often: at most so many times less.
const MOST_BUSY: u16 = 5;

/// A partition that has as many units as it may is planned again after this long.
const FULL: Duration = Duration::from_millis(50);

/// After a look that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// What a log holds that can be planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogEnds {
    /// The first offset that it still has.
    pub(super) log_start: Offset,
    /// Its last stable offset: beyond it, nobody knows yet which records of open transactions will be
    /// visible.
    pub(super) last_stable: Offset,
}

impl Organiser {
    /// A log has grown, or cannot be watched.
    pub(super) async fn grown(&mut self, grown: Result<Grown>) {
        self.look_at = Instant::now() + BUSY * u32::from(self.settings.order.lanes().clamp(1, MOST_BUSY));
        let (partition, ends) = match grown {
            Ok(grown) => {
                (grown.partition, LogEnds { log_start: grown.log_start, last_stable: grown.last_stable })
            }
            // Retention overtook the plan: what is gone is planned too, and ends as a gap.
            Err(Error::Deleted { partition, log_start, .. }) => {
                let planned = self.held.get(&partition).map_or(log_start, HeldPartition::planned);
                self.watch.set(partition.clone(), planned.max(log_start));
                (partition, LogEnds { log_start, last_stable: log_start })
            }
            Err(problem) => {
                warn!(%problem, "cannot see where a log ends; trying again");
                self.look_at = Instant::now() + PAUSE;
                let watched: Vec<_> = self.watch.partitions().cloned().collect();
                let lost: Vec<_> = self.held.keys().filter(|held| !watched.contains(held)).cloned().collect();
                for partition in lost {
                    self.doubt(&partition);
                }
                return;
            }
        };
        if let Some(held) = self.held.get_mut(&partition) {
            held.ends = ends;
        }
        self.plan(&partition).await;
    }

    /// The store lost its last plans in a failover. The watch is set back with it, for it tells only of what is new.
    pub(super) fn plan_again(&mut self, partition: &Partition, lane: usize, planned: Offset) {
        if let Some(lane) = self.held.get_mut(partition).and_then(|held| held.lanes.get_mut(lane)) {
            debug!(lane = %lane.key, planned, known = lane.planned, "the store went back: planning again");
            lane.planned = planned;
            self.watch.set(partition.clone(), planned);
        }
    }

    /// Plans what had no room before.
    pub(super) async fn plan_full(&mut self) {
        self.full_at = None;
        let full: Vec<_> =
            self.held.iter().filter(|(_, held)| held.full).map(|(partition, _)| partition.clone()).collect();
        for partition in full {
            self.plan(&partition).await;
        }
    }

    /// Plans one partition as far as its log is known.
    async fn plan(&mut self, partition: &Partition) {
        let Some(held) = self.held.get_mut(partition) else { return };
        held.full = false;
        for lane in 0..held.lanes.len() {
            self.plan_lane(partition, lane).await;
        }
    }

    async fn plan_lane(&mut self, partition: &Partition, index: usize) {
        while let Some(held) = self.held.get_mut(partition)
            && let Some(lane) = held.lanes.get_mut(index)
        {
            let LogEnds { log_start, last_stable } = held.ends;
            let cuts = cut(lane.planned, log_start, last_stable, self.settings.unit_records);
            if cuts.is_empty() {
                return;
            }
            let request = Plan {
                partition: lane.key.clone(),
                generation: held.generation,
                boot: held.boot,
                from: lane.planned,
                ends: cuts,
                max_units: self.settings.max_units,
            };
            match self.store.plan(request).await {
                Ok(Planned::Ok { planned, units_added }) => {
                    debug!(lane = %lane.key, planned, units_added, "planned");
                    lane.planned = planned;
                    self.node.meter.planned(partition, units_added);
                }
                Ok(Planned::Moved { planned }) => lane.planned = planned,
                Ok(Planned::Full { units }) => {
                    debug!(lane = %lane.key, units, "planning waits until units end");
                    held.full = true;
                    self.full_at = Some(Instant::now() + FULL);
                    return;
                }
                Err(StoreError::Refused(Refused::NoState | Refused::Stale { .. })) => {
                    self.doubt(partition);
                    return;
                }
                Err(problem) => {
                    warn!(%partition, %problem, "not planned; trying again");
                    held.full = true;
                    self.full_at = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
    }
}
