//! Read-only snapshots: for the organiser's commits, and for tools.

use super::{Gap, Range};
use crate::ids::{Boot, Generation, Offset, PartitionKey};

/// One partition's state, as an organiser commits it to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSnapshot {
    /// The partition.
    pub partition: PartitionKey,
    /// Its generation.
    pub generation: Generation,
    /// Its boot.
    pub boot: Boot,
    /// The leader epoch it was built with, or −1.
    pub leader_epoch: i32,
    /// Every offset below it is settled.
    pub watermark: Offset,
    /// Every offset below it is settled or in a unit.
    pub planned: Offset,
    /// The settled ranges above the watermark, the lowest
    /// [`MAX_DONE_SHOWN`](super::MAX_DONE_SHOWN), ascending, merged.
    pub done: Vec<Range>,
    /// How many there are.
    pub done_ranges: u32,
    /// How many units it has, ready and leased.
    pub units: u32,
}

impl PartitionSnapshot {
    /// Whether the store lost some of this partition's keys but not all: offsets are planned, not
    /// settled, and in no unit. Its organiser raises the generation and rebuilds it.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.units == 0 && self.watermark < self.planned
    }
}

/// A group at a glance, for tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The store's time, in milliseconds: what the other times here are to be compared with. It is
    /// no wall clock.
    pub now_ms: u64,
    /// How many partitions it has.
    pub partitions: u64,
    /// How many units may be taken now, expired leases not included. A lane whose turn it is counts as
    /// one, here and in `delayed`, and one that a node holds as none: its units that wait cannot be taken
    /// one by one.
    pub ready: u64,
    /// How many units wait for their time.
    pub delayed: u64,
    /// How many units are leased, expired leases included.
    pub leased: u64,
    /// When the oldest unit that is not leased became or becomes visible.
    pub next_visible_ms: Option<u64>,
    /// The earliest deadline of a lease; below `now_ms` if it has expired.
    pub next_deadline_ms: Option<u64>,
    /// Its nodes, the one seen last first, at most [`PAGE`](super::PAGE).
    pub nodes: Vec<NodeView>,
    /// The newest gaps, oldest first, at most [`MAX_GAPS_KEPT`](super::MAX_GAPS_KEPT).
    pub gaps: Vec<LostRange>,
    /// How many offsets have been lost to gaps since the store was last empty. It stands at
    /// 2^53 − 1.
    pub lost_offsets: u64,
}

/// A gap and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRange {
    /// The partition.
    pub partition: PartitionKey,
    /// Its generation then.
    pub generation: Generation,
    /// What was lost.
    pub gap: Gap,
}

/// One node of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub node: String,
    /// What it says of itself.
    pub info: String,
    /// When it announced itself last, in the store's milliseconds.
    pub seen_ms: u64,
    /// Whether it organises.
    pub organises: bool,
}

/// One page of a listing.
///
/// A listing taken while the store changes shows every item that was there throughout at least once;
/// order is not promised, and a page may hold somewhat more than [`PAGE`](super::PAGE) items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins, `None` after the last.
    pub next: Option<Cursor>,
}

/// A place in a listing. Only the store that gave it can tell what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub u64);

impl Cursor {
    /// The first page.
    pub const START: Self = Self(0);
}
