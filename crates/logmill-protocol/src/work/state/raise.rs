//! **raise**: a store found behind Kafka catches up.

use super::State;
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

        let above = part.units.split_off(&to);
        let below = std::mem::replace(&mut part.units, above);
        for (start, unit) in below {
            queue.remove(&name, start, unit.state);
            if let Some(range) = Range::new(to, unit.range.end()) {
                let state = UnitState::Ready { visible_at_ms: now };
                let cut = Unit {
                    range,
                    position: unit.position.max(to),
                    attempt: unit.attempt,
                    state,
                    ..Unit::fresh(range, now)
                };
                queue.put(&name, to, state);
                part.units.insert(to, cut);
            }
        }

        part.done.remove_below(to);
        part.watermark = part.done.take_at(to).map_or(to, Range::end);
        part.planned = part.planned.max(to);
        Ok(Raised { watermark: part.watermark })
    }
}
