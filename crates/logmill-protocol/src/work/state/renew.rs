//! **renew**: a node keeps what it holds, and writes down how far it has come.

use super::State;
use crate::work::{Progress, Refused, Renew, Renewed, UnitState};

impl State {
    /// Keeps leases: see [`Renew`]. Answers one outcome for each, in the order asked.
    ///
    /// A lease that ended is kept too while nobody else took the unit, or a turn of its lane. A position
    /// never falls.
    pub fn renew(&mut self, now_ms: u64, request: &Renew) -> Result<Vec<Renewed>, Refused> {
        request.check()?;
        let deadline_ms = self.clock.tick(now_ms) + request.lease_ms;
        Ok(request.held.iter().map(|progress| self.keep(progress, deadline_ms)).collect())
    }

    fn keep(&mut self, Progress { held, position }: &Progress, deadline_ms: u64) -> Renewed {
        let part = self.part_in(&held.partition, held.generation, held.boot);
        let Ok((name, part, queue)) = part else { return Renewed::Lost };
        let unit = part.units.get(&held.range.start());
        let Some(unit) = unit.filter(|unit| unit.range == held.range && unit.nonce == held.nonce) else {
            return Renewed::Lost;
        };
        // A node whose lane another had since must not go on in it, also when that one is done: the
        // records before the unit have been handled again, and the unit's own have to follow.
        if part.turn.as_ref().is_some_and(|turn| !turn.gave(unit)) {
            return Renewed::Lost;
        }
        part.change(&name, queue, held.range.start(), |unit| {
            unit.state = UnitState::Leased { deadline_ms };
            unit.position = unit.position.max(*position);
        });
        // It is held again, so not free for others.
        part.unplace(&name, queue);
        Renewed::Kept
    }
}
