//! **renew**: a node keeps what it holds, and writes down how far it has come.

use super::State;
use crate::work::{Progress, Refused, Renew, Renewed, UnitState};

impl State {
    /// Keeps leases: see [`Renew`]. Answers one outcome for each, in the order asked.
    ///
    /// A lease that ended is kept too while nobody else took the unit. A position never falls.
    pub fn renew(&mut self, now_ms: u64, request: &Renew) -> Result<Vec<Renewed>, Refused> {
        request.check()?;
        let deadline_ms = self.clock.tick(now_ms) + request.lease_ms;
        Ok(request.held.iter().map(|progress| self.keep(progress, deadline_ms)).collect())
    }

    fn keep(&mut self, Progress { held, position }: &Progress, deadline_ms: u64) -> Renewed {
        let part = self.part_in(&held.partition, held.generation, held.boot);
        let Ok((name, part, queue)) = part else { return Renewed::Lost };
        let unit = part.units.get_mut(&held.range.start());
        let Some(unit) = unit.filter(|unit| unit.range == held.range && unit.nonce == held.nonce) else {
            return Renewed::Lost;
        };
        queue.remove(&name, held.range.start(), unit.state);
        unit.state = UnitState::Leased { deadline_ms };
        unit.position = unit.position.max(*position);
        queue.put(&name, held.range.start(), unit.state);
        Renewed::Kept
    }
}
