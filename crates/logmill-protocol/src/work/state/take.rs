//! **take**: a node gets units.

use super::State;
use super::queue::Queue;
use crate::work::limits::MAX_RECLAIMED;
use crate::work::{Lease, Refused, Take, Taken, UnitState};

impl State {
    /// Hands out units: see [`Take`].
    pub fn take(&mut self, now_ms: u64, request: &Take) -> Result<Taken, Refused> {
        request.check()?;
        let now = self.clock.tick(now_ms);
        self.reclaim(now);

        let mut leases = Vec::new();
        while leases.len() < request.max_units as usize
            && let Some(place) = Queue::due(&self.queue.ready, now)
        {
            self.queue.ready.remove(&place);
            let (_, name, start) = place;
            let Some(part) = self.parts.get_mut(&name) else { continue };
            let Some(unit) = part.units.get_mut(&start) else { continue };
            unit.attempt = unit.attempt.saturating_add(1);
            unit.nonce = request.nonce;
            unit.node.clone_from(&request.node);
            unit.taken_at_ms = now;
            unit.state = UnitState::Leased { deadline_ms: now + request.lease_ms };
            leases.push(Lease {
                partition: part.key.clone(),
                range: unit.range,
                position: unit.position,
                attempt: unit.attempt,
                nonce: unit.nonce,
                generation: part.generation,
                boot: part.boot,
            });
            self.queue.put(&name, start, unit.state);
        }

        let next_in_ms = if leases.len() == request.max_units as usize { Some(0) } else { self.next_in(now) };
        Ok(Taken { leases, next_in_ms })
    }

    /// Puts a few expired leases back, before units that became visible later.
    fn reclaim(&mut self, now: u64) {
        for _ in 0..MAX_RECLAIMED {
            let Some(place) = Queue::due(&self.queue.leased, now) else { return };
            self.queue.leased.remove(&place);
            let (deadline, name, start) = place;
            let Some(part) = self.parts.get_mut(&name) else { continue };
            let Some(unit) = part.units.get_mut(&start) else { continue };
            unit.state = UnitState::Ready { visible_at_ms: deadline };
            self.queue.put(&name, start, unit.state);
        }
    }

    /// How long until a unit may be had, if nobody adds any.
    fn next_in(&self, now: u64) -> Option<u64> {
        let first = [&self.queue.ready, &self.queue.leased].into_iter().filter_map(|set| set.first());
        first.map(|(at, _, _)| at.saturating_sub(now)).min()
    }
}
