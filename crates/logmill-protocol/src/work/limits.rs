//! The bounds of the store: no request and no reply grows past them, so no transition can keep a
//! store busy for long or fill its memory.

/// Units that one plan may add.
pub const MAX_PLANNED_PER_CALL: usize = 100;

/// Units that one partition may hold. A plan stops here whatever it asks for, and a settle that
/// would split its unit past it is refused as [`Full`](super::Settled::Full).
pub const MAX_UNITS: u32 = 100_000;

/// Units that one take may hand out.
pub const MAX_TAKEN: u32 = 64;

/// Units of one lane that a take hands out in a run. The lanes that wait get their turn then.
pub const LANE_RUN: usize = 4;

/// Expired leases that one take puts back in the queue.
pub const MAX_RECLAIMED: usize = 16;

/// Leases that one renew may carry.
pub const MAX_HELD: usize = 1_000;

/// Parts that one settle may put back in the queue. A node with more to put back joins neighbours.
pub const MAX_RESTS: usize = 1_000;

/// Gaps that one settle may report.
pub const MAX_GAPS: usize = 1_000;

/// Gaps of a group that the store keeps, the newest ones. The ledger in Kafka has them all.
pub const MAX_GAPS_KEPT: usize = 1_000;

/// Ranges, settled and not, that one rebuild may carry.
pub const MAX_REBUILT: usize = 4_000;

/// Settled ranges that a [`PartitionSnapshot`](super::PartitionSnapshot) shows, the lowest ones.
/// More would not fit the metadata of a commit to Kafka.
pub const MAX_DONE_SHOWN: usize = 500;

/// Nodes of a group that the store lists.
pub const MAX_NODES: u32 = 10_000;

/// Silent nodes that one announce removes.
pub const MAX_NODES_DROPPED: usize = 100;

/// Bytes in a node's name.
pub const MAX_NODE_NAME: usize = 255;

/// Bytes in the text that a node announces about itself.
pub const MAX_NODE_INFO: usize = 1_024;

/// Bytes in a topic's name, as in Kafka.
pub const MAX_TOPIC_NAME: usize = 249;

/// The longest lease, in milliseconds: a day.
pub const MAX_LEASE_MS: u64 = 24 * 60 * 60 * 1_000;

/// The longest delay before a part is visible again, in milliseconds: a year.
pub const MAX_DELAY_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// The latest time that a store's clock shows, in milliseconds: far enough below 2^53 that adding a
/// lease or a delay is exact in Redis' Lua numbers. A clock that gets there stands still.
pub const MAX_TIME_MS: u64 = 1 << 52;

/// Items on one page of a listing for tools. A page may hold a few more: see
/// [`Page`](super::Page).
pub const PAGE: usize = 500;
