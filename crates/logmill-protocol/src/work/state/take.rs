//! **take**: a node gets units.

use std::sync::Arc;

use super::queue::Queue;
use super::{Part, State};
use crate::ids::Offset;
use crate::work::limits::{LANE_RUN, MAX_RECLAIMED};
use crate::work::{Lease, Refused, Take, Taken, UnitState};

impl State {
    /// Hands out units: see [`Take`].
    pub fn take(&mut self, now_ms: u64, request: &Take) -> Result<Taken, Refused> {
        request.check()?;
        let now = self.clock.tick(now_ms);
        self.reclaim(now);

        let most = request.max_units as usize;
        let mut leases = Vec::new();
        for key in &request.extend {
            let name: Arc<str> = key.to_string().into();
            let Some(part) = self.parts.get_mut(&name) else { continue };
            // Only while nothing came back: what waits lies above all that the node has then.
            if part.turn.as_ref().is_some_and(|turn| turn.holder == request.node) {
                part.lease_run(&name, &mut self.queue, request, now, &mut leases);
            }
        }
        while leases.len() < most
            && let Some((_, name, start)) = Queue::due(&self.queue.ready, now)
        {
            let Some(part) = self.parts.get_mut(&name) else { break };
            part.unplace(&name, &mut self.queue);
            if let Some(turn) = &mut part.turn {
                turn.begin(&request.node, now);
                part.lease_run(&name, &mut self.queue, request, now, &mut leases);
            } else {
                let Some(lease) = part.lease(&name, &mut self.queue, start, request, now) else { break };
                leases.push(lease);
            }
        }

        let next_in_ms = if leases.len() == most { Some(0) } else { self.next_in(now) };
        Ok(Taken { leases, next_in_ms })
    }

    /// Puts a few expired leases back, before units that became visible later.
    fn reclaim(&mut self, now: u64) {
        for _ in 0..MAX_RECLAIMED {
            let Some((deadline, name, start)) = Queue::due(&self.queue.leased, now) else { return };
            let Some(part) = self.parts.get_mut(&name) else { return };
            let state = UnitState::Ready { visible_at_ms: deadline };
            part.change(&name, &mut self.queue, start, |unit| unit.state = state);
            if let Some(turn) = &mut part.turn {
                // More of the lane would go out above what came back.
                turn.holder.clear();
            }
            part.place(&name, &mut self.queue, now);
        }
    }

    /// How long until a unit may be had, if nobody adds any.
    fn next_in(&self, now: u64) -> Option<u64> {
        let first = [&self.queue.ready, &self.queue.leased].into_iter().filter_map(|set| set.first());
        first.map(|(at, _, _)| at.saturating_sub(now)).min()
    }
}

impl Part {
    /// Leases a lane's next units, as they lie in the log: one that is not visible yet stops it.
    fn lease_run(
        &mut self,
        name: &Arc<str>,
        queue: &mut Queue,
        request: &Take,
        now: u64,
        leases: &mut Vec<Lease>,
    ) {
        let room = (request.max_units as usize).saturating_sub(leases.len());
        for _ in 0..room.min(LANE_RUN) {
            let lowest = self.turn.as_ref().and_then(|turn| turn.waiting.first().copied());
            let Some(unit) = lowest.and_then(|start| self.units.get(&start)) else { return };
            if matches!(unit.state, UnitState::Ready { visible_at_ms } if visible_at_ms > now) {
                return;
            }
            leases.extend(self.lease(name, queue, unit.range.start(), request, now));
        }
    }

    fn lease(
        &mut self,
        name: &Arc<str>,
        queue: &mut Queue,
        start: Offset,
        request: &Take,
        now: u64,
    ) -> Option<Lease> {
        let (key, generation, boot) = (self.key.clone(), self.generation, self.boot);
        let unit = self.change(name, queue, start, |unit| {
            unit.attempt = unit.attempt.saturating_add(1);
            unit.nonce = request.nonce;
            unit.node.clone_from(&request.node);
            unit.taken_at_ms = now;
            unit.state = UnitState::Leased { deadline_ms: now + request.lease_ms };
        })?;
        let (range, position, attempt, nonce) = (unit.range, unit.position, unit.attempt, unit.nonce);
        Some(Lease { partition: key, range, position, attempt, nonce, generation, boot })
    }
}
