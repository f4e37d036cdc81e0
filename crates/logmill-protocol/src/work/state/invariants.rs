//! What holds after every transition, checked in full: slow, for tests.

use super::turn::LANE;
use super::{Part, Queue, State};
use crate::ids::MAX_OFFSET;
use crate::work::limits::{MAX_GAPS_KEPT, MAX_NODES, MAX_TIME_MS, MAX_UNITS};
use crate::work::{Range, Unit, UnitState};

impl State {
    /// Checks that settled ranges and units tile each partition, that each unit is in exactly one
    /// queue, that lanes are in order, and that the bounds hold. Says what is broken.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut queue = Queue::default();
        for (name, part) in &self.parts {
            part.check_tiling().map_err(|what| format!("{name}: {what}"))?;
            if **name != *part.key.to_string() {
                return Err(format!("{name} holds {}", part.key));
            }
            part.check_turn().map_err(|what| format!("{name}: {what}"))?;
            for (&start, unit) in &part.units {
                match unit.state {
                    UnitState::Ready { .. } if part.turn.is_some() => {}
                    state => queue.put(name, start, state),
                }
            }
            if let Some(at) = part.turn.as_ref().and_then(|turn| turn.place_ms) {
                queue.ready.insert((at, name.clone(), LANE));
            }
        }
        if queue != self.queue {
            return Err(format!("the queues are {:?}, the units say {queue:?}", self.queue));
        }
        let seen = self.nodes.iter().map(|(name, node)| (node.seen_ms, name.clone()));
        let bounds = [
            (seen.collect::<std::collections::BTreeSet<_>>() == self.silent, "nodes and their times agree"),
            (self.nodes.len() <= MAX_NODES as usize, "at most MAX_NODES nodes"),
            (self.gaps.len() <= MAX_GAPS_KEPT, "at most MAX_GAPS_KEPT gaps"),
            (self.lost_offsets <= MAX_OFFSET as u64, "lost offsets are bounded"),
            (self.clock.now_ms <= MAX_TIME_MS, "the clock is bounded"),
        ];
        bounds
            .iter()
            .try_for_each(|(holds, what)| if *holds { Ok(()) } else { Err(format!("not so: {what}")) })
    }
}

impl Part {
    /// What a lane's turn says of its units is so, one node at most holds them, and what is still to come
    /// from the lane lies above.
    fn check_turn(&self) -> Result<(), String> {
        let Some(turn) = &self.turn else {
            return if self.key.lane.is_whole() { Ok(()) } else { Err("a lane without a turn".into()) };
        };
        let waits = |unit: &&Unit| matches!(unit.state, UnitState::Ready { .. });
        let waiting: Vec<_> = self.units.values().filter(waits).collect();
        let leased: Vec<_> = self.units.values().filter(|unit| !waits(unit)).collect();
        let starts = waiting.iter().map(|unit| unit.range.start());
        let came_back = waiting.iter().filter(|unit| turn.took_back(unit)).count();
        let below = |unit: &&Unit| turn.waiting.first().is_none_or(|&first| unit.range.start() < first);
        let has_all_below = !leased.is_empty() && leased.iter().all(below);
        let holds = [
            (!self.key.lane.is_whole(), "a whole partition has no turn"),
            (starts.eq(turn.waiting.iter().copied()), "the units that wait are those noted"),
            (came_back == turn.back, "those that came back are counted"),
            (leased.iter().all(|unit| turn.gave(unit)), "what is leased is of this turn"),
            (leased.iter().all(|unit| unit.node == leased[0].node), "one node holds it"),
            (turn.holder.is_empty() || has_all_below, "its holder has all below what waits"),
            (turn.place_ms.is_some() == (leased.is_empty() && !waiting.is_empty()), "it has a place if free"),
        ];
        holds.iter().try_for_each(
            |(holds, what)| if *holds { Ok(()) } else { Err(format!("not so: {what}: {self:?}")) },
        )
    }

    /// {done} ∪ {units} = [watermark, planned), without overlap; `done` is merged and above the
    /// watermark.
    fn check_tiling(&self) -> Result<(), String> {
        let mut tiles: Vec<Range> = self.done.iter().collect();
        for (&start, unit) in &self.units {
            let fresh = unit.nonce.0 == 0;
            let (low, high) = (unit.range.start(), unit.range.end());
            if start != low || unit.position < low || unit.position > high {
                return Err(format!("unit {unit:?} at {start}"));
            }
            if fresh != unit.node.is_empty() || (fresh && matches!(unit.state, UnitState::Leased { .. })) {
                return Err(format!("{unit:?} has a holder without a nonce, or the other way round"));
            }
            tiles.push(unit.range);
        }
        tiles.sort_unstable();
        let mut at = self.watermark;
        for tile in &tiles {
            if tile.start() != at {
                return Err(format!("{tile} follows {at} in {tiles:?}"));
            }
            at = tile.end();
        }
        if at != self.planned {
            return Err(format!("planned is {}, the tiles end at {at}", self.planned));
        }
        if self.done.contains(self.watermark) {
            return Err(format!("{} is settled and the watermark stands there", self.watermark));
        }
        if self.units.len() > MAX_UNITS as usize {
            return Err(format!("{} units", self.units.len()));
        }
        Ok(())
    }
}
