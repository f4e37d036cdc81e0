//! The whole store of one group as one plain value, and its transitions as functions on it.
//!
//! Each transition takes the time and a request, and gives an outcome. A refused one changes nothing
//! but the clock. The memory store is this value behind a lock; the scripts in Redis must give the
//! same outcomes and the same snapshots, which a differential test holds them to.

mod clock;
mod invariants;
mod nodes;
mod plan;
mod queue;
mod raise;
mod rebuild;
mod renew;
mod requeue;
mod settle;
mod take;
mod turn;
mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use self::clock::Clock;
use self::queue::Queue;
use self::turn::Turn;
use super::{LostRange, RangeSet, Refused, Unit};
use crate::ids::{Boot, Generation, Offset, PartitionKey};

/// The state of one group: its partitions, units, leases, gaps and nodes.
///
/// ```
/// use logmill_protocol::ids::{Boot, Generation, Nonce, Partition, PartitionKey, Uuid};
/// use logmill_protocol::work::{Plan, Rebuild, Settle, Settled, State, Take};
///
/// let partition = PartitionKey::new(Partition::new("orders", 0), Uuid::ZERO);
/// let (generation, boot) = (Generation(1), Boot(77));
/// let mut state = State::new();
/// state.rebuild(0, &Rebuild {
///     partition: partition.clone(), generation, boot, leader_epoch: 0,
///     watermark: 0, planned: 0, done: vec![], units: vec![],
/// })?;
/// state.plan(1, &Plan {
///     partition: partition.clone(), generation, boot, from: 0, ends: vec![100, 200], max_units: 10,
/// })?;
/// let taken = state.take(2, &Take {
///     node: "a".into(), nonce: Nonce(1), lease_ms: 30_000, max_units: 1, extend: vec![],
/// })?;
/// let settled = state.settle(3, &Settle { held: taken.leases[0].held(), rest: vec![], gaps: vec![] })?;
/// assert_eq!(settled, Settled::Done { watermark: 100 });
/// # Ok::<(), logmill_protocol::work::Refused>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    clock: Clock,
    /// By the partition's text, `topic/index@id` or `topic/index@id#lane/of`, whose byte order is the order of the queue.
    parts: BTreeMap<Arc<str>, Part>,
    queue: Queue,
    /// The newest gaps, oldest first.
    gaps: VecDeque<LostRange>,
    lost_offsets: u64,
    nodes: BTreeMap<Arc<str>, Node>,
    /// Nodes by the time they were seen last.
    silent: BTreeSet<(u64, Arc<str>)>,
}

/// One partition, or one lane of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    key: PartitionKey,
    generation: Generation,
    boot: Boot,
    leader_epoch: i32,
    watermark: Offset,
    planned: Offset,
    /// What is settled above the watermark.
    done: RangeSet,
    /// By start.
    units: BTreeMap<Offset, Unit>,
    /// Of a lane; a whole partition has none.
    turn: Option<Turn>,
}

/// One node's last announce.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    info: String,
    seen_ms: u64,
    organises: bool,
}

impl State {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The partition's name in the store, and its state if the store holds it in this incarnation.
    fn part_in(
        &mut self,
        key: &PartitionKey,
        generation: Generation,
        boot: Boot,
    ) -> Result<(Arc<str>, &mut Part, &mut Queue), Refused> {
        let name: Arc<str> = key.to_string().into();
        let part = self.parts.get_mut(&name).ok_or(Refused::NoState)?;
        if (part.generation, part.boot) != (generation, boot) {
            return Err(Refused::Stale { generation: part.generation, boot: part.boot });
        }
        Ok((name, part, &mut self.queue))
    }
}
