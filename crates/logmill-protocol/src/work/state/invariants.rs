//! What holds after every transition, checked in full: slow, for tests.

use super::{Part, Queue, State};
use crate::ids::MAX_OFFSET;
use crate::work::limits::{MAX_GAPS_KEPT, MAX_NODES, MAX_TIME_MS, MAX_UNITS};
use crate::work::{Range, UnitState};

impl State {
    /// Checks that settled ranges and units tile each partition, that each unit is in exactly one
    /// queue, and that the bounds hold. Says what is broken.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut queue = Queue::default();
        for (name, part) in &self.parts {
            part.check_tiling().map_err(|what| format!("{name}: {what}"))?;
            if **name != *part.key.to_string() {
                return Err(format!("{name} holds {}", part.key));
            }
            for (&start, unit) in &part.units {
                queue.put(name, start, unit.state);
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
