//! **plan**: the next offsets become units.

use super::State;
use crate::work::limits::MAX_UNITS;
use crate::work::{Plan, Planned, Range, Refused, Unit};

impl State {
    /// Cuts the next offsets of a partition into units: see [`Plan`].
    pub fn plan(&mut self, now_ms: u64, request: &Plan) -> Result<Planned, Refused> {
        request.check()?;
        let now = self.clock.tick(now_ms);
        let (name, part, queue) = self.part_in(&request.partition, request.generation, request.boot)?;
        if part.planned != request.from {
            return Ok(Planned::Moved { planned: part.planned });
        }
        let units = part.units.len() as u32;
        let room = request.max_units.min(MAX_UNITS).saturating_sub(units);
        if room == 0 {
            return Ok(Planned::Full { units });
        }
        let mut units_added = 0;
        for &end in request.ends.iter().take(room as usize) {
            // The check made sure that the ends ascend from `from`, which is `planned`.
            let Some(range) = Range::new(part.planned, end) else { break };
            part.put(&name, queue, Unit::fresh(range, now));
            part.planned = range.end();
            units_added += 1;
        }
        part.place(&name, queue, now);
        Ok(Planned::Ok { planned: part.planned, units_added })
    }
}
