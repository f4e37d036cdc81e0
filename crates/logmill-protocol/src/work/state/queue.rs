//! Which units wait and which are held, each in order of time. A unit is in exactly one of the two, but
//! for those of a lane that wait: the lane has one place for them while it is free.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ids::Offset;
use crate::work::UnitState;

/// A unit's place: time, then partition, then start; or a lane's, with 0 for the start. Its order is the
/// order of taking.
pub(super) type Place = (u64, Arc<str>, Offset);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// By the time from which a unit may be taken.
    pub(super) ready: BTreeSet<Place>,
    /// By deadline.
    pub(super) leased: BTreeSet<Place>,
}

impl Queue {
    pub(super) fn put(&mut self, part: &Arc<str>, start: Offset, state: UnitState) {
        match state {
            UnitState::Ready { visible_at_ms } => self.ready.insert((visible_at_ms, part.clone(), start)),
            UnitState::Leased { deadline_ms } => self.leased.insert((deadline_ms, part.clone(), start)),
        };
    }

    pub(super) fn remove(&mut self, part: &Arc<str>, start: Offset, state: UnitState) {
        match state {
            UnitState::Ready { visible_at_ms } => self.ready.remove(&(visible_at_ms, part.clone(), start)),
            UnitState::Leased { deadline_ms } => self.leased.remove(&(deadline_ms, part.clone(), start)),
        };
    }

    /// The time of a unit that is to come before all that waits.
    pub(super) fn front(&self, now: u64) -> u64 {
        self.ready.first().map_or(now, |(at, _, _)| at.saturating_sub(1)).min(now)
    }

    /// The first unit of `set` whose time has come.
    pub(super) fn due(set: &BTreeSet<Place>, now: u64) -> Option<Place> {
        set.first().filter(|(at, _, _)| *at <= now).cloned()
    }
}
