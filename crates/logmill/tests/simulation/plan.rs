//! What a seed stands for: the sizes of the system, how bad its network is, and which storms come when.

use std::time::Duration;

use logmill::node::{Blocks, Order};
use logmill_protocol::error::ErrorCode;
use logmill_testkit::{Api, Fault};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};

/// Storms come within this time; after it all is healed.
pub(crate) const STORMY: Duration = Duration::from_secs(25);
pub(crate) const LEASE: Duration = Duration::from_secs(3);
pub(crate) const SESSION: Duration = Duration::from_secs(6);
/// How often a record is tried where some are poison.
pub(crate) const ATTEMPTS: u32 = 3;

/// One thing that happens to the system.
#[derive(Clone, Debug)]
pub(crate) enum Storm {
    /// A node dies; another one starts after this time.
    Kill(Duration),
    /// All nodes die at once; as many start after this time.
    KillAll(Duration),
    /// A node is asked to end; another one starts.
    Drain,
    /// Nothing reaches a node, nor leaves it, nor does it handle anything, for this time.
    Freeze(Duration),
    /// The store loses everything.
    Wipe,
    /// The store goes back to what it was this long ago.
    FailOver(Duration),
    /// The store does not answer for this time.
    Outage(Duration),
    /// The store's clock jumps by so many milliseconds.
    ClockJump(i64),
    /// A broker is down for this time.
    Crash(Duration),
    /// A partition gets another leader.
    MoveLeader,
    /// So many requests of an API fail in this way.
    Refuse(Api, Fault, u64),
    /// Partitions keep the newest record of each key only.
    Compact,
    /// The older half of a partition's records is deleted.
    DeleteRecords,
    /// The topic gets a partition more.
    Grow,
    /// An operator pauses the group for this time.
    Pause(Duration),
    /// An operator has the group go back to this part of what it has done of a partition, in per cent.
    Rewind(i64),
    /// An operator asks a node to be quiet for this time.
    Quiet(Duration),
    /// An operator releases, requeues or splits a unit, drawn by this number.
    Requeue(u64),
}

impl Storm {
    /// Whether records in somebody's hands may be handled again for it (DESIGN P2). Nodes with stores of their own
    /// also repeat what was in hand when Kafka no longer counts them as members.
    fn repeats(&self, shared: bool) -> bool {
        use Api::{FindCoordinator, Heartbeat, JoinGroup, OffsetCommit, SyncGroup};
        match self {
            Self::Refuse(FindCoordinator | Heartbeat | JoinGroup | OffsetCommit | SyncGroup, ..) => !shared,
            Self::Crash(time) => !shared && *time >= SESSION / 2,
            Self::Kill(_) | Self::KillAll(_) | Self::Freeze(_) | Self::Wipe | Self::FailOver(_) => true,
            Self::Outage(_) | Self::Rewind(_) | Self::Requeue(_) => true,
            Self::ClockJump(by) => *by > 0,
            _ => false,
        }
    }
}

/// What a seed stands for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) brokers: u16,
    pub(crate) partitions: i32,
    pub(crate) nodes: usize,
    pub(crate) records: usize,
    pub(crate) unit_records: u32,
    pub(crate) handlers: usize,
    /// All records are sent within this time: at once, or while the storms come.
    pub(crate) sending: Duration,
    /// How long a handler takes at most, in milliseconds.
    pub(crate) handling: u64,
    /// All nodes share one store; else each has its own, and Kafka shares the partitions out.
    pub(crate) shared: bool,
    pub(crate) order: Order,
    /// What a failed record holds up.
    pub(crate) blocks: Blocks,
    /// How often a try fails, and how often it takes longer than a lease.
    pub(crate) failing: f64,
    pub(crate) slow: f64,
    /// How often a call to the store is lost on the way there, on the way back, and how often nobody is told
    /// of new units.
    pub(crate) lost_requests: f64,
    pub(crate) lost_answers: f64,
    pub(crate) lost_wakes: f64,
    pub(crate) storms: Vec<(Duration, Storm)>,
    /// Some records fail in every try, and tries are limited.
    pub(crate) poison: bool,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let shared = random.random_bool(0.7);
        let mut often = |chance: f64, most: f64| -> f64 {
            if random.random_bool(chance) { random.random_range(0.0..most) } else { 0.0 }
        };
        let (failing, slow) = (often(0.3, 0.1), often(0.2, 0.01));
        let (lost_requests, lost_answers, lost_wakes) =
            if shared { (often(0.3, 0.1), often(0.3, 0.1), often(0.3, 1.0)) } else { (0.0, 0.0, 0.0) };
        let brokers = random.random_range(1..=3);
        Self {
            brokers,
            partitions: random.random_range(1..=4),
            nodes: random.random_range(2..=4),
            records: random.random_range(200..=500),
            unit_records: random.random_range(20..=60),
            handlers: random.random_range(1..=8),
            sending: Duration::from_secs([1, 15][random.random_range(0..2)]),
            handling: [5, 60, 300][random.random_range(0..3)],
            shared,
            order: match random.random_range(0..4) {
                0 => Order::ByKey { lanes: random.random_range(1..=8) },
                1 => Order::ByPartition,
                _ => Order::Unordered,
            },
            blocks: [Blocks::Key, Blocks::Lane][random.random_range(0..2)],
            failing,
            slow,
            lost_requests,
            lost_answers,
            lost_wakes,
            storms: storms(&mut random, shared, brokers),
            poison: random.random_bool(0.3),
        }
    }

    /// Whether two nodes may be at work on one lane for a moment: a store that lost a lease gives the lane away at
    /// once, and its holder learns it when it renews; so does a member that Kafka no longer counts, and whoever is at work
    /// on what an operator takes back, by a rewind or from its node.
    pub(crate) fn overlaps(&self) -> bool {
        self.storms.iter().any(|(_, storm)| match storm {
            Storm::Wipe | Storm::FailOver(_) | Storm::ClockJump(_) | Storm::Rewind(_) | Storm::Requeue(_) => {
                true
            }
            Storm::Freeze(_) => !self.shared,
            Storm::Kill(_) | Storm::KillAll(_) | Storm::Outage(_) => false,
            other => other.repeats(self.shared),
        })
    }

    /// Whether the record with this number fails in every try.
    pub(crate) fn is_poison(&self, number: usize) -> bool {
        self.poison && number % 37 == 5
    }

    /// Whether anything of this may make records be handled again.
    pub(crate) fn repeats(&self) -> bool {
        // Handlers that take long, and units that wait for those before them, need several renewals, and each of
        // those may be lost.
        let slow = self.slow > 0.0 || self.handling > 60 || self.order != Order::Unordered;
        let loses_leases = slow && self.lost_requests + self.lost_answers > 0.0;
        loses_leases || self.storms.iter().any(|(_, storm)| storm.repeats(self.shared))
    }
}

/// Each seed has few kinds of storm, so that each pair of kinds meets without the others now and then.
fn storms(random: &mut StdRng, shared: bool, brokers: u16) -> Vec<(Duration, Storm)> {
    let mut kinds: Vec<u8> = (0..18).collect();
    kinds.shuffle(random);
    kinds.truncate(random.random_range(0..=4));
    let mut storms = Vec::new();
    if kinds.is_empty() {
        return storms;
    }
    for _ in 0..random.random_range(1..=8) {
        let at = Duration::from_millis(random.random_range(0..STORMY.as_millis() as u64));
        let storm = match kinds.choose(random).unwrap() {
            0 => Storm::Kill(some_of(random, 0..8_000)),
            1 => Storm::KillAll(some_of(random, 0..8_000)),
            2 => Storm::Drain,
            3 => Storm::Freeze(some_of(random, 500..15_000)),
            4 if shared => Storm::Wipe,
            5 if shared => Storm::FailOver(some_of(random, 100..4_000)),
            6 if shared => Storm::Outage(some_of(random, 100..8_000)),
            7 if shared => Storm::ClockJump(random.random_range(-3_600_000..3_600_000)),
            8 | 9 if brokers > 1 => Storm::Crash(some_of(random, 100..8_000)),
            10 if brokers > 1 => Storm::MoveLeader,
            11 => Storm::Compact,
            12 => Storm::DeleteRecords,
            13 => Storm::Grow,
            14 => Storm::Pause(some_of(random, 100..10_000)),
            15 => Storm::Rewind(random.random_range(0..100)),
            16 => Storm::Quiet(some_of(random, 100..10_000)),
            17 if shared => Storm::Requeue(random.random_range(0..1_000)),
            _ => refusal(random),
        };
        storms.push((at, storm));
    }
    storms.sort_by_key(|(at, _)| *at);
    storms
}

fn some_of(random: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}

/// Requests that fail, each in a way that the API knows.
fn refusal(random: &mut StdRng) -> Storm {
    use ErrorCode as E;
    const LEADER: &[ErrorCode] =
        &[E::NotLeaderOrFollower, E::LeaderNotAvailable, E::UnknownTopicOrPartition, E::KafkaStorageError];
    const COORDINATOR: &[ErrorCode] =
        &[E::NotCoordinator, E::CoordinatorLoadInProgress, E::CoordinatorNotAvailable];
    const MEMBER: &[ErrorCode] =
        &[E::NotCoordinator, E::CoordinatorLoadInProgress, E::RebalanceInProgress, E::UnknownMemberId];
    const APIS: &[(Api, &[ErrorCode])] = &[
        (Api::Fetch, LEADER),
        (Api::Produce, LEADER),
        (Api::ListOffsets, LEADER),
        (Api::Metadata, &[]),
        (Api::ApiVersions, &[]),
        (Api::FindCoordinator, COORDINATOR),
        (Api::OffsetCommit, MEMBER),
        (Api::OffsetFetch, COORDINATOR),
        (Api::JoinGroup, MEMBER),
        (Api::SyncGroup, MEMBER),
        (Api::Heartbeat, MEMBER),
        (Api::InitProducerId, COORDINATOR),
    ];
    let (api, codes) = APIS.choose(random).copied().unwrap();
    let delay = some_of(random, 10..4_000);
    let fault = match (random.random_range(0..8), codes.choose(random)) {
        (0, Some(code)) | (7, Some(code)) => Fault::Error(*code),
        (1, _) => Fault::Disconnect,
        (2, _) => Fault::ApplyThenDisconnect,
        (3, _) => Fault::CutShort,
        (4, _) => Fault::Delay(delay),
        (5, _) => Fault::Hang,
        _ => Fault::ApplyThenHang,
    };
    Storm::Refuse(api, fault, random.random_range(1..=6))
}
