//! Units that leave this node before they are handled: lost to others, given back, or abandoned.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use logmill_protocol::ids::Partition;
use logmill_protocol::work::Lease;
use tokio::time::Instant;
use tracing::warn;

use super::event::Event;
use super::in_hand::{InHand, LetGo};
use super::lane::LaneInHand;
use super::metrics::Ended;
use super::record::Received;
use super::state::{NodeState, lock};

impl NodeState {
    pub(super) fn lose(self: &Arc<Self>, unit: &Arc<InHand>) {
        if unit.is_lost() {
            return;
        }
        warn!(partition = %unit.lease.partition, range = %unit.lease.range, "lease lost");
        self.count_lost(unit);
        let Some(lane) = &unit.lane else {
            let _ = unit.lose();
            return self.drop_waiting_of(unit);
        };
        self.lose_lane(lane);
    }

    /// What is given again was not this node's any more, before it could learn that by a renewal: the store lost its
    /// memory, or counted faster. Else the older lease would be lost to sight in the place of the newer one, and in a
    /// lane the newer one would wait for it, for ever if a record of it waits to be tried again.
    pub(crate) fn lose_older(self: &Arc<Self>, lease: &Lease) {
        let of_lane = lock(&self.lanes).get(&lease.partition).map(|lane| lane.units());
        let key = (lease.partition.clone(), lease.range.start());
        let held = of_lane.unwrap_or_else(|| lock(&self.units).get(&key).cloned().into_iter().collect());
        let is_older = |unit: &&Arc<InHand>| {
            let incarnation = |lease: &Lease| (lease.generation, lease.boot);
            let again =
                unit.lease.range.start() < lease.range.end() && lease.range.start() < unit.lease.range.end();
            again || incarnation(&unit.lease) != incarnation(lease)
        };
        for unit in held.iter().filter(is_older) {
            match &unit.lane {
                // Its settle is under way, and tells whether it was lost.
                Some(lane) if unit.is_over() => lane.close(),
                None if unit.is_over() => {}
                _ => self.lose(unit),
            }
        }
    }

    /// A unit is no longer this node's. Its settle may hear of it while its renewal does: it is counted once.
    pub(super) fn count_lost(&self, unit: &InHand) {
        if !unit.note_lost() {
            return;
        }
        self.counts.lost.fetch_add(1, Ordering::Relaxed);
        let (partition, range) = (&unit.lease.partition.partition, unit.lease.range);
        self.meter.unit(partition, Ended::Expired, unit.taken.elapsed());
        let range = range.start()..range.end();
        self.teller.tell(|| Event::LeaseLost { partition: partition.clone(), range });
    }

    /// Whoever has one of its units has the lane, from there on.
    pub(super) fn lose_lane(self: &Arc<Self>, lane: &LaneInHand) {
        lane.close();
        for unit in lane.units() {
            let failed = unit.lose();
            self.drop_waiting_of(&unit);
            self.let_go_of(&unit, failed);
        }
    }

    /// Failed records of a unit that are not tried again here.
    fn let_go_of(self: &Arc<Self>, unit: &Arc<InHand>, LetGo { open, lines }: LetGo) {
        for line in lines {
            self.no_longer_first(unit, Some(line), true);
        }
        self.close(unit, open);
    }

    /// A record whose unit may be somebody else's by now is not handled. In a lane, nothing after it is either.
    pub(crate) fn discard(self: &Arc<Self>, received: &Received) {
        if received.unit.lane.is_some() && !received.unit.is_lost() {
            self.give_back_from(&received.unit, 0);
        }
        self.no_longer_first(&received.unit, received.line, received.again);
        self.close(&received.unit, 1);
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
            self.let_go_of(&unit, unit.let_failed_go());
        }
    }

    /// Takes records that wait out of the queue.
    fn drop_waiting(self: &Arc<Self>, which: impl Fn(&Received) -> bool) {
        for received in self.queue.take_out(|received| !which(received)) {
            if let Some(lane) = received.unit.lane_line().filter(|_| received.again) {
                self.queue.go_on(lane);
            }
            self.close(&received.unit, 1);
        }
    }

    /// Takes the unit's records that no handler has begun out of the queue.
    pub(crate) fn drop_waiting_of(self: &Arc<Self>, unit: &Arc<InHand>) {
        self.drop_waiting(|received| Arc::ptr_eq(&received.unit, unit));
    }

    /// Begins nothing more of the units for which `which` holds: what no handler has begun goes back to the queue.
    pub(crate) fn let_rest(self: &Arc<Self>, which: impl Fn(&InHand) -> bool) {
        for unit in self.units().into_iter().filter(|unit| which(unit)) {
            unit.lane.iter().for_each(|lane| lane.close());
            unit.give_back(0);
        }
        self.drop_waiting(|received| which(&received.unit));
        for unit in self.units().into_iter().filter(|unit| which(unit)) {
            self.let_go_of(&unit, unit.let_failed_go());
        }
    }

    /// Stops work on units for which `which` holds: what no handler has begun goes back to the queue,
    /// what one has is waited for until `deadline`, and then given up.
    pub(crate) async fn give_back(self: &Arc<Self>, which: impl Fn(&InHand) -> bool, deadline: Instant) {
        self.let_rest(&which);
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let left: Vec<_> = self.units().into_iter().filter(|unit| which(unit)).collect();
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
