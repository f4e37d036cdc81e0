//! What each transition answers.

use super::Lease;
use crate::ids::{Boot, Generation, Lane, Offset};

/// Why a store did not do what it was asked. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The request is wrong in itself: a mistake of the caller, and trying again is in vain.
    #[error("the request is not valid: {0}")]
    Invalid(#[from] Invalid),
    /// The store does not hold the partition: it is new, or the store lost its memory. The
    /// partition's organiser rebuilds it from Kafka.
    #[error("the store holds no state of the partition; its organiser will rebuild it from Kafka")]
    NoState,
    /// The store holds another incarnation of the partition than the request was made for.
    #[error("the store holds generation {generation}, boot {boot} of the partition")]
    Stale {
        /// The generation it holds.
        generation: Generation,
        /// The boot it holds.
        boot: Boot,
    },
    /// The group already lists as many nodes as it may.
    #[error("the group already has {nodes} nodes")]
    TooManyNodes {
        /// How many it lists.
        nodes: u32,
    },
}

/// What is wrong in a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Kafka has no topic of such a name.
    #[error("a topic's name has 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'")]
    Topic,
    /// A partition's index is negative.
    #[error("{index} is not a partition")]
    Index {
        /// The index.
        index: i32,
    },
    /// A partition has no such lane.
    #[error("{lane} is not a lane: at most 256, counted from 0")]
    Lane {
        /// The lane.
        lane: Lane,
    },
    /// An offset is negative, or above [`MAX_OFFSET`](crate::ids::MAX_OFFSET).
    #[error("offset {at} is outside 0..=2^53-1")]
    Offset {
        /// The offset.
        at: Offset,
    },
    /// The ranges of a rebuild leave a hole, overlap, or do not end where they should.
    #[error("the ranges do not lie side by side at offset {at}")]
    NotTiled {
        /// Where.
        at: Offset,
    },
    /// The ends of a plan do not ascend, or leave the offsets that a store can hold.
    #[error("the ends are not ascending at offset {at}")]
    NotAscending {
        /// Where.
        at: Offset,
    },
    /// A position, rest or gap does not lie in the unit, or they overlap.
    #[error("offset {at} lies outside the unit or in two parts of it")]
    OutsideRange {
        /// Where.
        at: Offset,
    },
    /// A nonce is zero.
    #[error("a nonce of zero: it must be drawn at random")]
    ZeroNonce,
    /// A number is zero where it may not be, or too large.
    #[error("{what}: {given} given, at most {largest} allowed")]
    Limit {
        /// Of what.
        what: &'static str,
        /// What the request has.
        given: u64,
        /// The most that is allowed.
        largest: u64,
    },
}

/// What a raise did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The partition's watermark now; above the one asked for if the store was further.
    pub watermark: Offset,
}

/// What a plan did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// Units were added.
    Ok {
        /// Every offset below it is settled or in a unit.
        planned: Offset,
        /// How many: fewer than asked if the partition is full now.
        units_added: u32,
    },
    /// Nothing was added: the store's plan ends elsewhere than the request begins. Another organiser
    /// was here, or an answer was lost.
    Moved {
        /// Where it ends.
        planned: Offset,
    },
    /// Nothing was added: the partition holds as many units as it may.
    Full {
        /// How many it holds.
        units: u32,
    },
}

/// What a take gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The leases, in the order to work on them.
    pub leases: Vec<Lease>,
    /// In how many milliseconds it is worth asking again, if nobody adds units: 0 if as many were
    /// given as asked, else when the next unit becomes visible or the next lease ends. `None` if
    /// nothing waits.
    pub next_in_ms: Option<u64>,
}

/// What became of a lease in a renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The node holds it until the new deadline, also if it had expired and nobody took it.
    Kept,
    /// The node no longer holds it: another took it, it is settled, or the partition was rebuilt.
    Lost,
}

/// What a settle did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The unit is settled, but for its rests.
    Done {
        /// The partition's watermark now.
        watermark: Offset,
    },
    /// All that the request settles is settled already; nothing changed. An answer was lost, or
    /// another node did the work.
    Already,
    /// The node does not hold the unit; nothing changed. Others handle its records, or have.
    Stale(StaleReason),
    /// Nothing changed: so many rests do not fit the partition. Settle again with at most one.
    Full {
        /// How many units the partition holds.
        units: u32,
    },
}

/// What a requeue did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeued {
    /// The unit waits as asked.
    Done {
        /// How many leases are over for it.
        released: u32,
    },
    /// There is no such unit any more, or it was given to another since; nothing changed.
    Stale(StaleReason),
    /// Nothing changed: the partition has no room for one unit more.
    Full {
        /// How many units the partition holds.
        units: u32,
    },
}

/// Why a settle or a requeue did not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StaleReason {
    /// The partition is at another generation.
    Generation,
    /// The partition was rebuilt in the same generation: the store had lost it.
    Boot,
    /// There is no unit of this range.
    Range,
    /// The unit was given to another take, or it came back from a settle.
    Nonce,
}

/// What an announce found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Whether the node is to organise.
    pub organise: bool,
    /// How many nodes the group has, this one included.
    pub live_nodes: u32,
}
