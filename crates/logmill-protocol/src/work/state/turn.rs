//! What the state of a lane has beside its units: whose turn it is, and its place in the queue.
//!
//! Per key, what is handled again after a fault must be a stretch of the log that reaches to where
//! handling had come: never an old record alone, between newer ones. So a lane's units go out in the
//! order of their offsets and to one node at a time. A **turn** begins when a free lane is taken and
//! lasts until it is taken again; every leased unit of a lane is of its latest turn.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Part;
use super::queue::Queue;
use crate::ids::{Nonce, Offset};
use crate::work::{Unit, UnitState};

/// A lane's turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// When it began.
    pub(super) since_ms: u64,
    /// Who may have more of the lane; empty if nobody, for it is free or units of it came back.
    pub(super) holder: String,
    /// Where each waiting unit begins.
    pub(super) waiting: BTreeSet<Offset>,
    /// How many of those were taken back in this turn.
    pub(super) back: usize,
    /// The time of the lane's place in the queue, while it is free and has units.
    pub(super) place_ms: Option<u64>,
}

impl Turn {
    pub(super) fn begin(&mut self, node: &str, now: u64) {
        self.since_ms = now;
        node.clone_into(&mut self.holder);
        self.back = 0;
    }

    /// Whether the unit was taken last in this turn. One of an earlier turn is lost to its node even
    /// while it waits: what lies before it has been handled by another since.
    pub(super) fn gave(&self, unit: &Unit) -> bool {
        unit.taken_at_ms >= self.since_ms
    }

    /// Whether the unit waits since it was taken back in this turn.
    pub(super) fn took_back(&self, unit: &Unit) -> bool {
        waits(unit) && unit.nonce != Nonce::default() && self.gave(unit)
    }
}

fn waits(unit: &Unit) -> bool {
    matches!(unit.state, UnitState::Ready { .. })
}

/// Enters a unit where it waits or is held. In a lane those that wait have one place together.
fn enter(turn: &mut Option<Turn>, name: &Arc<str>, queue: &mut Queue, unit: &Unit) {
    let start = unit.range.start();
    match turn.as_mut().filter(|_| waits(unit)) {
        Some(turn) => {
            turn.waiting.insert(start);
            turn.back += usize::from(turn.took_back(unit));
        }
        None => queue.put(name, start, unit.state),
    }
}

fn leave(turn: &mut Option<Turn>, name: &Arc<str>, queue: &mut Queue, unit: &Unit) {
    let start = unit.range.start();
    match turn.as_mut().filter(|_| waits(unit)) {
        Some(turn) => {
            turn.waiting.remove(&start);
            // One that was cut in the millisecond in which the next turn began is not counted any more.
            turn.back = turn.back.saturating_sub(usize::from(turn.took_back(unit)));
        }
        None => queue.remove(name, start, unit.state),
    }
}

impl Part {
    pub(super) fn put(&mut self, name: &Arc<str>, queue: &mut Queue, unit: Unit) {
        enter(&mut self.turn, name, queue, &unit);
        self.units.insert(unit.range.start(), unit);
    }

    pub(super) fn pull(&mut self, name: &Arc<str>, queue: &mut Queue, start: Offset) -> Option<Unit> {
        let unit = self.units.remove(&start)?;
        leave(&mut self.turn, name, queue, &unit);
        Some(unit)
    }

    /// Changes a unit, but for its range.
    pub(super) fn change(
        &mut self,
        name: &Arc<str>,
        queue: &mut Queue,
        start: Offset,
        change: impl FnOnce(&mut Unit),
    ) -> Option<&Unit> {
        let unit = self.units.get_mut(&start)?;
        leave(&mut self.turn, name, queue, unit);
        change(unit);
        enter(&mut self.turn, name, queue, unit);
        Some(unit)
    }

    /// After the units of a lane have changed: gives it a place in the queue if it has become free, and
    /// takes it away if it is no longer.
    pub(super) fn place(&mut self, name: &Arc<str>, queue: &mut Queue, now: u64) {
        let Some(turn) = &mut self.turn else { return };
        let is_free = turn.waiting.len() == self.units.len();
        if is_free {
            turn.holder.clear();
        }
        let lowest = self.units.first_key_value().filter(|_| is_free);
        match (lowest.map(|(_, unit)| unit.state), turn.place_ms) {
            (Some(UnitState::Ready { visible_at_ms }), None) => {
                let at = visible_at_ms.max(now);
                queue.ready.insert((at, name.clone(), LANE));
                turn.place_ms = Some(at);
            }
            (None, Some(_)) => self.unplace(name, queue),
            _ => {}
        }
    }

    /// Takes a lane's place in the queue away.
    pub(super) fn unplace(&mut self, name: &Arc<str>, queue: &mut Queue) {
        if let Some(at) = self.turn.as_mut().and_then(|turn| turn.place_ms.take()) {
            queue.ready.remove(&(at, name.clone(), LANE));
        }
    }
}

/// Stands in a lane's place for the start of a unit.
pub(super) const LANE: Offset = 0;
