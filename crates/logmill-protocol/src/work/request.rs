//! What each transition is asked, and the checks on it that need no state.
//!
//! Every store runs the same `check` before it does anything, so a request that is wrong in itself
//! is refused in the same words everywhere, and the scripts in Redis look only at what they hold.

mod check;

pub use check::{check_node, check_partition};

use super::{Gap, Range, Rest};
use crate::ids::{Boot, Generation, Nonce, Offset, PartitionKey};

/// Builds a partition's state anew, from what Kafka has: for a store that lost it, for a partition
/// never seen, and to rewind one (with the new generation anchored in Kafka first).
///
/// Refused as [`Stale`](super::Refused::Stale) unless `generation` is above the one stored, if one
/// is. All units are ready at once, and every lease on the old state is void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// The partition.
    pub partition: PartitionKey,
    /// Its generation, already in Kafka.
    pub generation: Generation,
    /// A number drawn at random for this call.
    pub boot: Boot,
    /// The leader epoch of the last record below `planned`, or −1 where unknown.
    pub leader_epoch: i32,
    /// Every offset below it is settled.
    pub watermark: Offset,
    /// Every offset below it is settled or in a unit.
    pub planned: Offset,
    /// The settled ranges above the watermark. With `units` they fill `watermark..planned`, without
    /// hole or overlap. Any order.
    pub done: Vec<Range>,
    /// The units. Any order. At most [`MAX_REBUILT`](super::MAX_REBUILT) ranges in both.
    pub units: Vec<Range>,
}

/// Lifts a partition whose store is found behind Kafka: everything below `watermark` counts as
/// settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    /// The partition.
    pub partition: PartitionKey,
    /// The generation that the store is believed to hold.
    pub generation: Generation,
    /// The boot that the store is believed to hold.
    pub boot: Boot,
    /// The watermark that Kafka has.
    pub watermark: Offset,
}

/// Cuts the next offsets of a partition into units, ready at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The partition.
    pub partition: PartitionKey,
    /// The generation that the store is believed to hold.
    pub generation: Generation,
    /// The boot that the store is believed to hold.
    pub boot: Boot,
    /// Where the first unit begins. It must be what the store has as `planned`: of two organisers
    /// that plan the same offsets, one finds them [`Moved`](super::Planned::Moved).
    pub from: Offset,
    /// Where each unit ends, ascending, each the start of the next. 1 to
    /// [`MAX_PLANNED_PER_CALL`](super::MAX_PLANNED_PER_CALL).
    pub ends: Vec<Offset>,
    /// How many units the partition may hold afterwards, at most
    /// [`MAX_UNITS`](super::MAX_UNITS). What does not fit is left for the next call.
    pub max_units: u32,
}

/// Asks for units. Puts a few expired leases back in the queue first, so no reaper is needed.
///
/// A free lane gives its lowest units, at most [`LANE_RUN`](super::LANE_RUN), to one node, which alone may
/// have more of it while it holds some. In a lane, a unit that is not visible yet holds up those above it.
///
/// Units come in order of the time they became visible, then by partition and offset, so adjacent
/// ones come side by side and one fetch can serve them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// Who asks: a name unique among the group's live nodes.
    pub node: String,
    /// A number drawn at random for this call, not zero.
    pub nonce: Nonce,
    /// For how long, from 1 to [`MAX_LEASE_MS`](super::MAX_LEASE_MS) milliseconds.
    pub lease_ms: u64,
    /// How many, from 1 to [`MAX_TAKEN`](super::MAX_TAKEN).
    pub max_units: u32,
    /// Lanes that the node holds and wants more of, before anything else and in this order, at most
    /// [`MAX_TAKEN`](super::MAX_TAKEN). What is no lane, or not this node's, is passed over.
    pub extend: Vec<PartitionKey>,
}

/// What a node shows to renew or settle a unit. All of it must match, for a failover or a rewind can
/// give an old unit's number, range or attempt to another one, but never its nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Where.
    pub partition: PartitionKey,
    /// Exactly the unit's range.
    pub range: Range,
    /// The nonce of the take.
    pub nonce: Nonce,
    /// The generation at the take.
    pub generation: Generation,
    /// The boot at the take.
    pub boot: Boot,
}

/// A held unit and how far its handling has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The unit.
    pub held: Held,
    /// Every record below it is handled. Within the range, or its end. A later try begins there.
    pub position: Offset,
}

/// Keeps leases, all of a node's at once, and writes down how far they have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renew {
    /// For how long from now, from 1 to [`MAX_LEASE_MS`](super::MAX_LEASE_MS) milliseconds.
    pub lease_ms: u64,
    /// Which, 1 to [`MAX_HELD`](super::MAX_HELD).
    pub held: Vec<Progress>,
}

/// Ends a unit: what of its range is not in `rest` is settled, and each `rest` becomes a unit of its
/// own.
///
/// A node settles the units of a lane from the lowest up. The store lets it settle one before another that
/// it holds, but were it to die then, the records of that other would be handled again, alone.
///
/// With the whole range as one rest it is a release; with one offset as a rest, that record's retry;
/// with several, a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The unit.
    pub held: Held,
    /// What goes back to the queue: ascending, disjoint, inside the range, at most
    /// [`MAX_RESTS`](super::MAX_RESTS).
    pub rest: Vec<Rest>,
    /// What can never be handled, already in the ledger: ascending, disjoint, inside the range and
    /// outside every rest, at most [`MAX_GAPS`](super::MAX_GAPS). It counts as settled.
    pub gaps: Vec<Gap>,
}

/// Puts a unit back in the queue by hand, whoever holds it: a tool's doing, never a node's.
///
/// A lease on it is over. The unit is visible at once, and as if it had not been taken: the try is not counted. What was
/// handled of it stays so. Its nonce is zero again, so whoever had it can neither renew nor settle it any more. A lane is
/// held as one: all that was given of it in this turn goes back too, so nothing can be settled past the unit.
///
/// A unit that waits stays as it is, but for what is asked below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requeue {
    /// The unit as it was seen; if it was given to another since, nothing happens. The nonce is zero where nobody
    /// took it.
    pub seen: Held,
    /// Where it is cut in two, inside its range.
    pub cut: Option<Offset>,
    /// Whether it comes before all that waits. In a lane it comes in its turn, and only its delay ends.
    pub front: bool,
}

/// A node's sign of life, and its request to organise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Its name, 1 to [`MAX_NODE_NAME`](super::MAX_NODE_NAME) bytes.
    pub node: String,
    /// What tools show of it, at most [`MAX_NODE_INFO`](super::MAX_NODE_INFO) bytes.
    pub info: String,
    /// Whether it would join Kafka's consumer group and organise.
    pub wants_organise: bool,
    /// A node silent for longer is forgotten, in milliseconds, from 1 to
    /// [`MAX_LEASE_MS`](super::MAX_LEASE_MS).
    pub ttl_ms: u64,
    /// How many nodes may organise.
    pub max_organisers: u32,
}
