//! **settle**: a unit ends. This is the line that P1, no loss, stands on: offsets become settled
//! here and in a raise to what Kafka has, and nowhere else.

use super::queue::Queue;
use super::{Part, State};
use crate::ids::MAX_OFFSET;
use crate::work::limits::{MAX_GAPS_KEPT, MAX_UNITS};
use crate::work::{Held, LostRange, Range, Refused, Settle, Settled, StaleReason, Unit};

impl State {
    /// Ends a unit: see [`Settle`]. A late settle is accepted while nobody else took the unit, and in a
    /// lane while no unit of the node's turn was taken back.
    pub fn settle(&mut self, now_ms: u64, request: &Settle) -> Result<Settled, Refused> {
        request.check()?;
        let now = self.clock.tick(now_ms);
        let held = &request.held;
        let (name, part, queue) = match self.part_in(&held.partition, held.generation, held.boot) {
            Ok(found) => found,
            Err(Refused::Stale { generation, .. }) => {
                let reason =
                    if generation == held.generation { StaleReason::Boot } else { StaleReason::Generation };
                return Ok(Settled::Stale(reason));
            }
            Err(refused) => return Err(refused),
        };
        if let Err(reason) = part.matches(held) {
            let already =
                request.settled().next().is_some() && request.settled().all(|range| part.is_settled(range));
            return Ok(if already { Settled::Already } else { Settled::Stale(reason) });
        }
        let units = part.units.len() as u32;
        if request.rest.len() > 1 && units + request.rest.len() as u32 - 1 > MAX_UNITS {
            return Ok(Settled::Full { units });
        }

        part.replace(&name, queue, request, now);
        let watermark = part.watermark;
        self.write_down_gaps(request);
        Ok(Settled::Done { watermark })
    }

    fn write_down_gaps(&mut self, request: &Settle) {
        let Settle { held, gaps, .. } = request;
        for &gap in gaps {
            let (partition, generation) = (held.partition.clone(), held.generation);
            self.gaps.push_back(LostRange { partition, generation, gap });
            self.lost_offsets = (self.lost_offsets + gap.range.len()).min(MAX_OFFSET as u64);
        }
        let surplus = self.gaps.len().saturating_sub(MAX_GAPS_KEPT);
        self.gaps.drain(..surplus);
    }
}

impl Part {
    /// Whether the unit is the one held. Nonce and explicit range must both match: identity by start
    /// or by a counter gives one unit's settle to another after a failover that lost writes.
    fn matches(&self, held: &Held) -> Result<(), StaleReason> {
        match self.units.get(&held.range.start()) {
            Some(unit) if unit.range != held.range => Err(StaleReason::Range),
            None => Err(StaleReason::Range),
            Some(unit) if unit.nonce != held.nonce => Err(StaleReason::Nonce),
            Some(unit) => self.in_order(unit),
        }
    }

    /// In a lane, nothing is settled past what was taken back, nor itself once it was: somebody handles
    /// that again, and what lies above it must be handled after it. A renew that keeps it mends that.
    fn in_order(&self, unit: &Unit) -> Result<(), StaleReason> {
        match &self.turn {
            Some(turn) if turn.back > 0 || turn.waiting.contains(&unit.range.start()) => {
                Err(StaleReason::Nonce)
            }
            _ => Ok(()),
        }
    }

    fn is_settled(&self, range: Range) -> bool {
        range.end() <= self.watermark || self.done.covers(range)
    }

    /// Puts what the settle leaves in the place of the unit it ends.
    fn replace(&mut self, name: &std::sync::Arc<str>, queue: &mut Queue, request: &Settle, now: u64) {
        let start = request.held.range.start();
        self.pull(name, queue, start);
        for rest in &request.rest {
            let fresh = Unit::fresh(rest.range, now + rest.delay_ms);
            self.put(name, queue, Unit { attempt: rest.attempt, ..fresh });
        }
        if let Some(turn) = self.turn.as_mut().filter(|_| !request.rest.is_empty()) {
            // More of the lane would go out above the rests.
            turn.holder.clear();
        }
        self.place(name, queue, now);
        self.done.extend(request.settled());
        // Only contiguous settled offsets move it: above a hole they wait in `done`.
        if let Some(range) = self.done.take_at(self.watermark) {
            self.watermark = range.end();
        }
    }
}
