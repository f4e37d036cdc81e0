//! The checks that need no state.

use super::{Announce, Held, Plan, Raise, Rebuild, Renew, Requeue, Settle, Take};
use crate::ids::{Boot, Generation, Lane, MAX_OFFSET, Nonce, Offset, PartitionKey};
use crate::work::limits::{
    MAX_DELAY_MS, MAX_GAPS, MAX_HELD, MAX_LEASE_MS, MAX_NODE_INFO, MAX_NODE_NAME, MAX_PLANNED_PER_CALL,
    MAX_REBUILT, MAX_RESTS, MAX_TAKEN, MAX_TOPIC_NAME,
};
use crate::work::{Invalid, Range, RangeSet};

/// The largest generation and boot, exact in Redis' Lua numbers like [`MAX_OFFSET`].
const MAX_TOKEN: u64 = MAX_OFFSET as u64;

impl Rebuild {
    /// Whether the request is well-formed.
    pub fn check(&self) -> Result<(), Invalid> {
        self.settled().map(|_| ())
    }

    /// The watermark and the settled ranges above it, merged: a settled range that begins at the
    /// given watermark moves it.
    pub fn settled(&self) -> Result<(Offset, RangeSet), Invalid> {
        check_partition(&self.partition)?;
        incarnation(self.generation, self.boot)?;
        count("ranges of a rebuild", self.done.len() + self.units.len(), MAX_REBUILT)?;
        offset(self.watermark)?;
        offset(self.planned)?;
        let mut tiles: Vec<Range> = self.done.iter().chain(&self.units).copied().collect();
        tiles.sort_unstable();
        let mut at = self.watermark;
        for tile in tiles {
            if tile.start() != at {
                return Err(Invalid::NotTiled { at });
            }
            at = tile.end();
        }
        if at != self.planned {
            return Err(Invalid::NotTiled { at });
        }
        let mut done: RangeSet = self.done.iter().copied().collect();
        let watermark = done.take_at(self.watermark).map_or(self.watermark, Range::end);
        Ok((watermark, done))
    }
}

impl Raise {
    /// Whether the request is well-formed.
    pub fn check(&self) -> Result<(), Invalid> {
        check_partition(&self.partition)?;
        incarnation(self.generation, self.boot)?;
        offset(self.watermark)
    }
}

impl Plan {
    /// Whether the request is well-formed.
    pub fn check(&self) -> Result<(), Invalid> {
        check_partition(&self.partition)?;
        incarnation(self.generation, self.boot)?;
        between("ends of a plan", self.ends.len() as u64, MAX_PLANNED_PER_CALL as u64)?;
        offset(self.from)?;
        let mut at = self.from;
        for &end in &self.ends {
            at = Range::new(at, end).ok_or(Invalid::NotAscending { at: end })?.end();
        }
        Ok(())
    }
}

impl Take {
    /// Whether the request is well-formed.
    pub fn check(&self) -> Result<(), Invalid> {
        check_node(&self.node)?;
        drawn(self.nonce)?;
        between("lease in milliseconds", self.lease_ms, MAX_LEASE_MS)?;
        between("units to take", self.max_units.into(), MAX_TAKEN.into())?;
        count("lanes to extend", self.extend.len(), MAX_TAKEN as usize)?;
        self.extend.iter().try_for_each(check_partition)
    }
}

impl Held {
    fn check(&self) -> Result<(), Invalid> {
        check_partition(&self.partition)?;
        incarnation(self.generation, self.boot)?;
        drawn(self.nonce)
    }
}

impl Renew {
    /// Whether the request is well-formed.
    pub fn check(&self) -> Result<(), Invalid> {
        between("lease in milliseconds", self.lease_ms, MAX_LEASE_MS)?;
        between("leases to renew", self.held.len() as u64, MAX_HELD as u64)?;
        self.held.iter().try_for_each(|progress| {
            progress.held.check()?;
            let range = progress.held.range;
            let inside = range.start() <= progress.position && progress.position <= range.end();
            if inside { Ok(()) } else { Err(Invalid::OutsideRange { at: progress.position }) }
        })
    }
}

impl Settle {
    /// Whether the request is well-formed.
    pub fn check(&self) -> Result<(), Invalid> {
        self.held.check()?;
        count("rests of a settle", self.rest.len(), MAX_RESTS)?;
        count("gaps of a settle", self.gaps.len(), MAX_GAPS)?;
        let rests = || self.rest.iter().map(|rest| rest.range);
        inside(self.held.range, rests())?;
        inside(self.held.range, self.gaps.iter().map(|gap| gap.range))?;
        let back: RangeSet = rests().collect();
        for gap in &self.gaps {
            if back.holes(gap.range).map(Range::len).sum::<u64>() != gap.range.len() {
                return Err(Invalid::OutsideRange { at: gap.range.start() });
            }
        }
        for rest in &self.rest {
            if rest.delay_ms > MAX_DELAY_MS {
                return Err(limit("delay in milliseconds", rest.delay_ms, MAX_DELAY_MS));
            }
        }
        Ok(())
    }

    /// What of the unit is settled: its range without the rests, ascending.
    pub fn settled(&self) -> impl Iterator<Item = Range> + '_ {
        self.held.range.without(self.rest.iter().map(|rest| rest.range))
    }
}

impl Requeue {
    /// Whether the request is well-formed.
    pub fn check(&self) -> Result<(), Invalid> {
        let Held { partition, range, generation, boot, .. } = &self.seen;
        check_partition(partition)?;
        incarnation(*generation, *boot)?;
        match self.cut {
            Some(at) if at <= range.start() || at >= range.end() => Err(Invalid::OutsideRange { at }),
            _ => Ok(()),
        }
    }
}

impl Announce {
    /// Whether the request is well-formed.
    pub fn check(&self) -> Result<(), Invalid> {
        check_node(&self.node)?;
        count("bytes of a node's info", self.info.len(), MAX_NODE_INFO)?;
        between("time to live in milliseconds", self.ttl_ms, MAX_LEASE_MS)
    }
}

/// Checks that a partition's name is one that a store can write down and read back.
pub fn check_partition(key: &PartitionKey) -> Result<(), Invalid> {
    let topic = &*key.partition.topic;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.is_empty() || topic.len() > MAX_TOPIC_NAME || !topic.bytes().all(legal) {
        return Err(Invalid::Topic);
    }
    if key.partition.index < 0 {
        return Err(Invalid::Index { index: key.partition.index });
    }
    let lane = key.lane;
    let is_lane = lane == Lane::WHOLE || Lane::new(lane.index, lane.of).is_some();
    if is_lane { Ok(()) } else { Err(Invalid::Lane { lane }) }
}

/// Checks a node's name: 1 to [`MAX_NODE_NAME`] bytes.
pub fn check_node(node: &str) -> Result<(), Invalid> {
    between("bytes of a node's name", node.len() as u64, MAX_NODE_NAME as u64)
}

fn incarnation(generation: Generation, boot: Boot) -> Result<(), Invalid> {
    let largest = generation.0.max(boot.0);
    if largest > MAX_TOKEN { Err(limit("generation or boot", largest, MAX_TOKEN)) } else { Ok(()) }
}

/// Zero stands for "nobody took it".
fn drawn(nonce: Nonce) -> Result<(), Invalid> {
    if nonce == Nonce::default() { Err(Invalid::ZeroNonce) } else { Ok(()) }
}

fn offset(at: Offset) -> Result<(), Invalid> {
    if (0..=MAX_OFFSET).contains(&at) { Ok(()) } else { Err(Invalid::Offset { at }) }
}

fn inside(range: Range, parts: impl Iterator<Item = Range>) -> Result<(), Invalid> {
    let mut at = range.start();
    for part in parts {
        if part.start() < at || part.end() > range.end() {
            return Err(Invalid::OutsideRange { at: part.start() });
        }
        at = part.end();
    }
    Ok(())
}

fn count(what: &'static str, given: usize, largest: usize) -> Result<(), Invalid> {
    if given > largest { Err(limit(what, given as u64, largest as u64)) } else { Ok(()) }
}

fn between(what: &'static str, given: u64, largest: u64) -> Result<(), Invalid> {
    if given == 0 || given > largest { Err(limit(what, given, largest)) } else { Ok(()) }
}

fn limit(what: &'static str, given: u64, largest: u64) -> Invalid {
    Invalid::Limit { what, given, largest }
}
