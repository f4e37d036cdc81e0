//! What a node tells of itself while it runs.

use std::ops::Range;
use std::time::Duration;

use logmill_protocol::ids::{Offset, Partition};

pub use logmill_protocol::work::GapCause;

use crate::control::Scope;
use crate::ledger::DeadReason;

/// Something that happened at a node; see [`Node::events`](super::Node::events). No key and no value is in it. Texts of
/// errors are what the handler, or whoever decoded for it, wrote.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Kafka's group coordinator assigned these partitions to this node's organiser.
    Assigned {
        /// Those that are new.
        partitions: Vec<Partition>,
    },
    /// It takes these away again, in good order.
    Revoked {
        /// Those that go.
        partitions: Vec<Partition>,
    },
    /// The consumer group has forgotten this member, and others may have its partitions already.
    Lost {
        /// All that it had.
        partitions: Vec<Partition>,
    },
    /// A partition's state was built in the store from what Kafka has: the store had none, or had lost its memory.
    Rebuilt {
        /// The partition.
        partition: Partition,
        /// Every offset below it is settled.
        watermark: Offset,
        /// Which build this is.
        generation: u64,
    },
    /// A try of a record failed, and it comes again.
    Retried {
        /// The record's partition.
        partition: Partition,
        /// Its offset.
        offset: Offset,
        /// The number of the try that failed, from 1.
        attempt: u32,
        /// In which way.
        failure: Failure,
        /// Why.
        reason: String,
        /// How long it waits.
        delay: Duration,
    },
    /// A handler did not end in time and was cancelled. What becomes of the record is told beside it.
    TimedOut {
        /// The record's partition.
        partition: Partition,
        /// Its offset.
        offset: Offset,
        /// The number of the try, from 1.
        attempt: u32,
        /// The time that it had.
        limit: Duration,
    },
    /// A handler panicked. What becomes of the record is told beside it.
    Panicked {
        /// The record's partition.
        partition: Partition,
        /// Its offset.
        offset: Offset,
        /// The number of the try, from 1.
        attempt: u32,
        /// What it said.
        text: String,
    },
    /// A record was given up on, and the ledger has it.
    DeadLetter {
        /// The record's partition.
        partition: Partition,
        /// Its offset.
        offset: Offset,
        /// How often it was tried.
        attempts: u32,
        /// Why it was given up on.
        reason: DeadReason,
    },
    /// Offsets were gone before they were handled.
    Gap {
        /// The partition.
        partition: Partition,
        /// Which offsets.
        range: Range<Offset>,
        /// What became of them.
        cause: GapCause,
    },
    /// A unit in this node's hands is another's by now, or its store lost it: what is not settled of it comes again.
    LeaseLost {
        /// The partition.
        partition: Partition,
        /// The unit's offsets.
        range: Range<Offset>,
    },
    /// The group, or a part of it, is paused.
    Paused(Scope),
    /// It goes on.
    Resumed(Scope),
    /// Too many records failed: the node begins nothing for a while.
    HeldBack {
        /// How many failed within the window.
        failed: u64,
        /// Of how many.
        tried: u64,
        /// For how long.
        pause: Duration,
        /// What the last one failed with.
        reason: String,
    },
    /// The node that held back goes on.
    WentOn,
    /// An operator had the group go on at another offset of a partition that this node organises.
    Rewound {
        /// The partition.
        partition: Partition,
        /// The watermark before.
        from: Offset,
        /// And after.
        to: Offset,
    },
    /// The node takes no more units.
    Quiet,
    /// It takes units again: an operator had asked it to be quiet.
    Woken,
    /// The node has ended in good order. Nothing comes after it.
    Drained,
    /// The listener was too slow, and so many were dropped before the next one.
    Missed(u64),
}

/// In which way a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The handler said so.
    Handler,
    /// The handler's arguments could not be made from the record.
    Decode,
    /// The handler panicked.
    Panic,
    /// The handler did not end in time.
    Timeout,
    /// It was to be a dead letter, and too many of them wait for the ledger.
    Ledger,
}

impl Failure {
    /// Every way.
    pub const ALL: [Self; 5] = [Self::Handler, Self::Decode, Self::Panic, Self::Timeout, Self::Ledger];

    /// Its name, as metrics have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Decode => "decode",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Ledger => "ledger",
        }
    }
}
