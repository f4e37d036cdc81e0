//! Random histories of transitions, for the property tests of `State` and for the differential test
//! of the stores: small abstract steps that shrink well, and a driver that turns each into a call by
//! what earlier calls answered, so that most calls are near-misses rather than noise.

#![allow(unreachable_pub, reason = "two test programs share it")]

mod driver;

use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::{
    Announce, Announced, Plan, Planned, Raise, Raised, Rebuild, Refused, Renew, Renewed, Requeue, Requeued,
    Settle, Settled, State, Take, Taken,
};
use proptest::prelude::*;

pub use driver::Driver;

/// One transition.
#[derive(Clone, Debug)]
pub enum Call {
    Rebuild(Rebuild),
    Raise(Raise),
    Plan(Plan),
    Take(Take),
    Renew(Renew),
    Settle(Settle),
    Requeue(Requeue),
    Forget(PartitionKey),
    Announce(Announce),
    Depart(String),
}

/// What it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Rebuilt,
    Raised(Raised),
    Planned(Planned),
    Taken(Taken),
    Renewed(Vec<Renewed>),
    Settled(Settled),
    Requeued(Requeued),
    Forgotten(bool),
    Announced(Announced),
    Departed,
}

/// Runs a call on the specification.
pub fn apply(state: &mut State, now: u64, call: &Call) -> Result<Reply, Refused> {
    Ok(match call {
        Call::Rebuild(request) => state.rebuild(now, request).map(|()| Reply::Rebuilt)?,
        Call::Raise(request) => Reply::Raised(state.raise(now, request)?),
        Call::Plan(request) => Reply::Planned(state.plan(now, request)?),
        Call::Take(request) => Reply::Taken(state.take(now, request)?),
        Call::Renew(request) => Reply::Renewed(state.renew(now, request)?),
        Call::Settle(request) => Reply::Settled(state.settle(now, request)?),
        Call::Requeue(request) => Reply::Requeued(state.requeue(now, request)?),
        Call::Forget(partition) => Reply::Forgotten(state.forget(now, partition)?),
        Call::Announce(request) => Reply::Announced(state.announce(now, request)?),
        Call::Depart(node) => state.depart(now, node).map(|()| Reply::Departed)?,
    })
}

/// How a settle or renew is spoilt before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    Nothing,
    Nonce,
    End,
    Generation,
    Boot,
    Partition,
}

/// The `behind` of a plan that begins above where the plan is.
pub const AHEAD: u8 = 3;

/// What to do next, in terms that make sense after any history.
#[derive(Clone, Debug)]
pub enum Step {
    /// The server's clock moves, perhaps backwards.
    Time(i64),
    /// `cut` chooses which tiles of what is planned are settled.
    Rebuild {
        partition: u8,
        generation: u8,
        lower: u8,
        cut: u16,
    },
    Raise {
        partition: u8,
        by: u8,
        stale: bool,
    },
    /// `behind` plans from where the plan was some plans ago, or from above it.
    Plan {
        partition: u8,
        sizes: Vec<u8>,
        behind: u8,
        max_units: u8,
        stale: bool,
    },
    Take {
        node: u8,
        max_units: u8,
        lease_ms: u16,
        /// Each bit stands for a partition, of which the node would have more.
        extend: u8,
    },
    Renew {
        leases: Vec<(u8, u8)>,
        lease_ms: u16,
        spoil: Spoil,
    },
    /// Each bit of `rest` and `gaps` stands for one stretch of the unit.
    Settle {
        lease: u8,
        rest: u8,
        gaps: u8,
        delay_ms: u16,
        spoil: Spoil,
    },
    /// Of a unit that was given, or of one that nobody took.
    Requeue {
        unit: u8,
        fresh: bool,
        cut: u8,
        front: bool,
        spoil: Spoil,
    },
    /// Sends an old settle again.
    Again {
        settle: u8,
    },
    Forget {
        partition: u8,
    },
    Announce {
        node: u8,
        wants: bool,
        ttl_ms: u16,
        most: u8,
    },
    Depart {
        node: u8,
    },
    /// A request that is wrong in itself.
    Hostile(u8, i64),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        8 => Just(Spoil::Nothing),
        1 => Just(Spoil::Nonce),
        1 => Just(Spoil::End),
        1 => Just(Spoil::Generation),
        1 => Just(Spoil::Boot),
        1 => Just(Spoil::Partition),
    ]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 0..200i64,
        3 => 0..5_000i64,
        1 => Just(3_600_000i64),
        1 => Just(-3_600_000i64),
        1 => any::<i64>(),
    ]
}

/// The bits of those that are lanes.
const LANES: u8 = 0b111_0000;

/// One of the driver's partitions, a lane more often than not.
fn partition() -> impl Strategy<Value = u8> {
    prop_oneof![2 => 0..4u8, 2 => Just(4u8), 1 => 5..7u8]
}

/// Short leases beside long ones, so that some of a node's end while it holds others.
fn lease() -> impl Strategy<Value = u16> {
    prop_oneof![1..60u16, 1..3_000u16]
}

/// One step.
pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => time().prop_map(Step::Time),
        3 => (partition(), 0..4u8, any::<u8>(), any::<u16>()).prop_map(|(partition, generation, lower, cut)| {
            Step::Rebuild { partition, generation, lower, cut }
        }),
        2 => (partition(), 0..40u8, prop::bool::weighted(0.1))
            .prop_map(|(partition, by, stale)| Step::Raise { partition, by, stale }),
        6 => (
            partition(),
            prop_oneof![4 => prop::collection::vec(1..12u8, 1..8), 1 => prop::collection::vec(1..4u8, 30)],
            prop_oneof![9 => Just(0u8), 1 => 1..3u8, 1 => Just(AHEAD)],
            prop_oneof![5 => Just(200u8), 1 => 0..20u8],
            prop::bool::weighted(0.1),
        )
            .prop_map(|(partition, sizes, behind, max_units, stale)| {
                Step::Plan { partition, sizes, behind, max_units, stale }
            }),
        7 => (
            0..3u8,
            prop_oneof![3 => 1..9u8, 1 => Just(1u8), 1 => Just(40u8)],
            lease(),
            prop_oneof![Just(0u8), Just(LANES), any::<u8>()],
        )
            .prop_map(|(node, max_units, lease_ms, extend)| Step::Take { node, max_units, lease_ms, extend }),
        3 => (prop::collection::vec((any::<u8>(), 0..13u8), 1..5), lease(), spoil())
            .prop_map(|(leases, lease_ms, spoil)| Step::Renew { leases, lease_ms, spoil }),
        9 => (any::<u8>(), prop_oneof![Just(0u8), any::<u8>()], prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..2_000u16, spoil())
            .prop_map(|(lease, rest, gaps, delay_ms, spoil)| {
                Step::Settle { lease, rest, gaps, delay_ms, spoil }
            }),
        3 => (any::<u8>(), any::<bool>(), prop_oneof![Just(0u8), 1..12u8], any::<bool>(), spoil())
            .prop_map(|(unit, fresh, cut, front, spoil)| Step::Requeue { unit, fresh, cut, front, spoil }),
        2 => any::<u8>().prop_map(|settle| Step::Again { settle }),
        1 => partition().prop_map(|partition| Step::Forget { partition }),
        2 => (0..5u8, any::<bool>(), 1..4_000u16, 0..4u8)
            .prop_map(|(node, wants, ttl_ms, most)| Step::Announce { node, wants, ttl_ms, most }),
        1 => (0..5u8).prop_map(|node| Step::Depart { node }),
        1 => (any::<u8>(), any::<i64>()).prop_map(|(what, value)| Step::Hostile(what, value)),
    ]
}
