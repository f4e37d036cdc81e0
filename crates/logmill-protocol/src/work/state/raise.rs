//! **raise**: a store found behind Kafka catches up.

use std::sync::Arc;

use super::queue::Queue;
use super::{Part, State};
use crate::ids::Offset;
use crate::work::{Raise, Raised, Range, Refused, Unit, UnitState};

impl State {
    /// Lifts a partition's watermark to Kafka's: see [`Raise`]. Asking for less than the store has
    /// changes nothing.
    ///
    /// Units wholly below it go, with their leases. One that straddles it is cut there and is ready
    /// again, at once; a node that held it loses it, so that what lies between watermark and plan is
    /// tiled exactly. Its records above the watermark may be handled twice: this happens only when
    /// the store lost what Kafka knows.
    pub fn raise(&mut self, now_ms: u64, request: &Raise) -> Result<Raised, Refused> {
        request.check()?;
        let now = self.clock.tick(now_ms);
        let to = request.watermark;
        let (name, part, queue) = self.part_in(&request.partition, request.generation, request.boot)?;
        if to <= part.watermark {
            return Ok(Raised { watermark: part.watermark });
        }

        while let Some((&start, _)) = part.units.range(..to).next() {
            let unit = part.pull(&name, queue, start);
            if let Some(unit) = unit.filter(|unit| unit.range.end() > to) {
                part.cut(&name, queue, unit, to, now);
            }
        }

        part.done.remove_below(to);
        part.watermark = part.done.take_at(to).map_or(to, Range::end);
        part.planned = part.planned.max(to);
        part.unplace(&name, queue);
        part.place(&name, queue, now);
        Ok(Raised { watermark: part.watermark })
    }
}

impl Part {
    /// Leaves of a unit what lies from `to` on.
    fn cut(&mut self, name: &Arc<str>, queue: &mut Queue, unit: Unit, to: Offset, now: u64) {
        let Some(range) = Range::new(to, unit.range.end()) else { return };
        let state = UnitState::Ready { visible_at_ms: now };
        let (position, attempt) = (unit.position.max(to), unit.attempt);
        let fresh = Unit { position, attempt, ..Unit::fresh(range, now) };
        let Some(turn) = &mut self.turn else { return self.put(name, queue, fresh) };
        // Nobody can show its new range, so its node has lost it. That it was given still counts: what
        // lies above must not be settled before it is handled again.
        let cut = Unit { range, position, state, ..unit };
        if turn.took_back(&cut) {
            turn.holder.clear();
        }
        self.put(name, queue, cut);
    }
}
