//! A work unit, the lease a node holds on it, and what may come of it.

use super::{Held, PartitionSnapshot, Range};
use crate::ids::{Boot, Generation, Nonce, Offset, PartitionKey};

/// A range of one partition that some node has to handle. Partition and `range.start()` identify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The offsets to handle.
    pub range: Range,
    /// Every record below it is handled: where the next try begins. Within the range, or its end.
    pub position: Offset,
    /// How often it was taken.
    pub attempt: u32,
    /// The nonce of the last take; zero if none, or if it came back from a settle.
    pub nonce: Nonce,
    /// The node that took it last; empty if none, or if it came back from a settle.
    pub node: String,
    /// When it was taken last, in the store's milliseconds; 0 as above.
    pub taken_at_ms: u64,
    /// Whether it waits or is held.
    pub state: UnitState,
}

impl Unit {
    /// What a [`Requeue`](super::Requeue) shows: the unit as it was seen, of the partition as it was then.
    #[must_use]
    pub fn seen(&self, of: &PartitionSnapshot) -> Held {
        Held {
            partition: of.partition.clone(),
            range: self.range,
            nonce: self.nonce,
            generation: of.generation,
            boot: of.boot,
        }
    }

    /// A unit that nobody took yet, ready at once.
    #[must_use]
    pub(super) fn fresh(range: Range, now_ms: u64) -> Self {
        Self {
            range,
            position: range.start(),
            attempt: 0,
            nonce: Nonce::default(),
            node: String::new(),
            taken_at_ms: 0,
            state: UnitState::Ready { visible_at_ms: now_ms },
        }
    }
}

/// Whether a unit waits for a node or is held by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitState {
    /// In the queue.
    Ready {
        /// It may be taken from then on, in the store's milliseconds.
        visible_at_ms: u64,
    },
    /// Held by a node.
    Leased {
        /// From then on any take may give it to another node, in the store's milliseconds.
        deadline_ms: u64,
    },
}

/// A node's time-bounded right to one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Where its records are.
    pub partition: PartitionKey,
    /// Which offsets.
    pub range: Range,
    /// Where to begin: what lies before it in the range was handled in an earlier try.
    pub position: Offset,
    /// The number of this try, from 1.
    pub attempt: u32,
    /// The nonce of the take that gave it.
    pub nonce: Nonce,
    /// The incarnation of the partition.
    pub generation: Generation,
    /// The incarnation of the store's state of it.
    pub boot: Boot,
}

impl Lease {
    /// What a renew or a settle shows to prove the right.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            partition: self.partition.clone(),
            range: self.range,
            nonce: self.nonce,
            generation: self.generation,
            boot: self.boot,
        }
    }
}

/// A part of a unit that is not settled and goes back to the queue as a unit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The part, inside the unit's range.
    pub range: Range,
    /// It may be taken after so many milliseconds.
    pub delay_ms: u64,
    /// How many tries it has had. The next take gives it as try number `attempt + 1`.
    pub attempt: u32,
}

/// Offsets that can never be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The offsets.
    pub range: Range,
    /// Why.
    pub cause: GapCause,
}

/// Why offsets can never be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GapCause {
    /// Retention or an operator deleted the records.
    Retention,
    /// The log was cut: an unclean leader election lost the records.
    Truncation,
    /// The records are there and no replica has them in a readable form.
    Unreadable,
}

impl GapCause {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::Retention, Self::Truncation, Self::Unreadable];

    /// Its name, as stores and the ledger write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Truncation => "truncation",
            Self::Unreadable => "unreadable",
        }
    }

    /// The cause of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}
