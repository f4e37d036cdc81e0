//! What can keep a group from moving.

use std::ops::Range;
use std::time::Duration;

use logmill_protocol::ids::{Offset, Partition};

use crate::control::Scope;

/// Why a group does not move, or soon will not. Its text says what is the case; what to do about it is for who shows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// Something could not be looked at.
    #[error("{what} cannot be seen: {problem}")]
    Unseen {
        /// What.
        what: &'static str,
        /// Why not.
        problem: String,
    },
    /// A topic that the group is to read does not exist.
    #[error("topic {topic} does not exist")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// Nobody leads a partition, so nobody reads it.
    #[error("{partition} has no leader: all brokers with a complete copy are down")]
    NoLeader {
        /// The partition.
        partition: Partition,
    },
    /// The group has never begun.
    #[error("the group has committed nothing: none of its nodes has organised a partition yet")]
    NeverBegan,
    /// No node lives.
    #[error("no node of the group lives")]
    NoNode,
    /// Nodes live, and none of them is in the consumer group: nothing is planned.
    #[error(
        "{nodes} nodes live and none of them organises: what is planned is worked off, nothing more is planned"
    )]
    NoOrganiser {
        /// How many.
        nodes: usize,
    },
    /// The consumer group's members are no nodes of logmill.
    #[error("its members are another client's (assignor {assignor})")]
    OtherClient {
        /// How they share out partitions.
        assignor: String,
    },
    /// The members are agreeing on who gets what.
    #[error("its members share the partitions out anew ({state}): nothing is planned until they agree")]
    Rebalancing {
        /// The consumer group's state, as Kafka names it.
        state: String,
    },
    /// None of the members got the partition.
    #[error("{partition} is assigned to none of its members")]
    Unassigned {
        /// The partition.
        partition: Partition,
    },
    /// An operator paused it.
    #[error("{scope} is paused by {by}{}", why(.reason))]
    Paused {
        /// What is.
        scope: Scope,
        /// Why, in the operator's words.
        reason: String,
        /// Who.
        by: String,
    },
    /// The ledger's topic would forget entries, so none is written: dead letters keep their units open.
    #[error(
        "topic {topic}, the ledger, has cleanup.policy {policy:?} and would forget entries: dead letters wait"
    )]
    LedgerForgets {
        /// The ledger's topic.
        topic: String,
        /// Its `cleanup.policy`.
        policy: String,
    },
    /// The ledger cannot be written: dead letters keep their units open.
    #[error(
        "{partition}, of the ledger, has {in_sync} complete copies and must have {needed} to be written: dead letters wait"
    )]
    LedgerReadOnly {
        /// The ledger's partition.
        partition: Partition,
        /// How many copies are complete.
        in_sync: usize,
        /// The topic's `min.insync.replicas`.
        needed: usize,
    },
    /// Records were deleted before they were handled.
    #[error(
        "{partition} begins at {log_start} by now, and the group is at {watermark}: retention overtook it"
    )]
    Overtaken {
        /// The partition.
        partition: Partition,
        /// Where the group is.
        watermark: Offset,
        /// Where the log begins.
        log_start: Offset,
    },
    /// A transaction that does not end hides the records after its first.
    #[error("{partition} has a transaction open at {at} since {} s, which hides the offsets up to {end}", .since.as_secs())]
    OpenTransaction {
        /// The partition.
        partition: Partition,
        /// The transaction's first offset.
        at: Offset,
        /// Where the log ends.
        end: Offset,
        /// How old its first record is.
        since: Duration,
    },
    /// One record is not settled, while many after it are.
    #[error("{partition}@{offset} is not settled, {} s after it was written; {settled_above} records after it are", .age.as_secs())]
    HeldUp {
        /// The partition.
        partition: Partition,
        /// The record's offset, or one just before it.
        offset: Offset,
        /// How old it is.
        age: Duration,
        /// How many offsets above are settled.
        settled_above: u64,
    },
    /// Members organise, and none of them is known to the store that was looked at.
    #[error("its members organise, and none of them is known to this store: do they use another, or none?")]
    OtherStore,
    /// The store lost what it had of a partition, or never had it; its organiser builds it anew from Kafka.
    #[error("the store has nothing, or not all, of {partition}: its organiser has to build it anew")]
    StoreEmpty {
        /// The partition.
        partition: Partition,
    },
    /// The store has an older state than Kafka: it was restored from a backup, or failed over.
    #[error(
        "the store has generation {stored} of {partition}, Kafka has {committed}: its organiser has to build it anew"
    )]
    StoreBehind {
        /// The partition.
        partition: Partition,
        /// What the store has.
        stored: u64,
        /// What Kafka has.
        committed: u64,
    },
    /// A node holds a unit for long.
    #[error("node {node} holds {partition} {}..{} since {} s, try {attempt}{}", .range.start, .range.end,
        .held.as_secs(), if *.expired { ", its lease has run out" } else { "" })]
    LongHeld {
        /// The partition.
        partition: Partition,
        /// The unit's offsets.
        range: Range<Offset>,
        /// Who.
        node: String,
        /// The number of the try, from 1.
        attempt: u32,
        /// For how long.
        held: Duration,
        /// Another node may take it by now.
        expired: bool,
    },
}

fn why(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
