//! **requeue**: an operator puts a unit back in the queue.

use std::sync::Arc;

use super::queue::Queue;
use super::{Part, State};
use crate::ids::{Nonce, Offset};
use crate::work::limits::MAX_UNITS;
use crate::work::{Held, Range, Refused, Requeue, Requeued, StaleReason, Unit, UnitState};

impl State {
    /// Puts a unit back in the queue, whoever holds it: see [`Requeue`].
    pub fn requeue(&mut self, now_ms: u64, request: &Requeue) -> Result<Requeued, Refused> {
        request.check()?;
        let now = self.clock.tick(now_ms);
        let front = self.queue.front(now);
        let seen = &request.seen;
        let (name, part, queue) = self.part_in(&seen.partition, seen.generation, seen.boot)?;
        if let Err(reason) = part.has(seen) {
            return Ok(Requeued::Stale(reason));
        }
        let units = part.units.len() as u32;
        if request.cut.is_some() && units >= MAX_UNITS {
            return Ok(Requeued::Full { units });
        }

        let start = seen.range.start();
        let released = part.take_back(&name, queue, start, now);
        part.change(&name, queue, start, |unit| match &mut unit.state {
            UnitState::Ready { visible_at_ms } if request.front => {
                *visible_at_ms = front.min(*visible_at_ms);
            }
            _ => {}
        });
        if let Some(at) = request.cut {
            part.halve(&name, queue, start, at);
        }
        if part.turn.as_ref().and_then(|turn| turn.place_ms).is_some_and(|place| place > now) {
            part.unplace(&name, queue);
        }
        part.place(&name, queue, now);
        Ok(Requeued::Done { released })
    }
}

impl Part {
    fn has(&self, seen: &Held) -> Result<(), StaleReason> {
        match self.units.get(&seen.range.start()) {
            Some(unit) if unit.range != seen.range => Err(StaleReason::Range),
            None => Err(StaleReason::Range),
            Some(unit) if unit.nonce != seen.nonce => Err(StaleReason::Nonce),
            Some(_) => Ok(()),
        }
    }

    /// What was given of the unit is given no longer, and in a lane all that was in this turn. Answers how many leases
    /// are over.
    fn take_back(&mut self, name: &Arc<str>, queue: &mut Queue, start: Offset, now: u64) -> u32 {
        let is_given = |unit: &Unit| match &self.turn {
            Some(turn) => is_leased(unit) || turn.took_back(unit),
            None => unit.range.start() == start,
        };
        let given: Vec<_> = match self.units.get(&start) {
            Some(unit) if is_given(unit) => {
                self.units.iter().filter(|(_, unit)| is_given(unit)).map(|(&start, _)| start).collect()
            }
            // Of an earlier turn, or never taken.
            _ => return 0,
        };
        let mut released = 0;
        for &start in &given {
            self.change(name, queue, start, |unit| {
                if is_leased(unit) {
                    released += 1;
                    unit.attempt = unit.attempt.saturating_sub(1);
                    unit.state = UnitState::Ready { visible_at_ms: now };
                }
                (unit.nonce, unit.taken_at_ms) = (Nonce::default(), 0);
                unit.node.clear();
            });
        }
        if let Some(turn) = &mut self.turn {
            // More of the lane would go out above what came back.
            turn.holder.clear();
        }
        released
    }

    /// Makes two of a unit that waits; what was handled of it stays so.
    fn halve(&mut self, name: &Arc<str>, queue: &mut Queue, start: Offset, at: Offset) {
        let Some(unit) = self.pull(name, queue, start) else { return };
        for range in [Range::new(start, at), Range::new(at, unit.range.end())].into_iter().flatten() {
            let position = unit.position.clamp(range.start(), range.end());
            self.put(name, queue, Unit { range, position, ..unit.clone() });
        }
    }
}

fn is_leased(unit: &Unit) -> bool {
    matches!(unit.state, UnitState::Leased { .. })
}
