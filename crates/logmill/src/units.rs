//! A group's units in an operator's hands: shown as its store has them, taken away from nodes, cut in two.
//!
//! The store does it, by itself: who plans a partition has no part in it, since nothing changes that is in Kafka, and the
//! watermark stays where it is. Where each node has a store of its own, only its process reaches them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use logmill_protocol::ids::{Lane, Offset, Partition, PartitionKey};
use logmill_protocol::work::{Cursor, Held, PartitionSnapshot, Requeue, Unit, UnitState, lane_of};
pub use logmill_protocol::work::{Requeued, StaleReason};

use crate::store::{Store, StoreError};

/// A unit as it was seen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnitSeen {
    /// Its partition.
    pub partition: Partition,
    /// Its lane, if the partition is handled in the order of its keys.
    pub lane: Lane,
    /// Its offsets.
    pub range: Range<Offset>,
    /// Every record of it below is handled. Within the range, or its end.
    pub settled_to: Offset,
    /// How often it was taken.
    pub attempt: u32,
    /// Who has it, or had it last and let its lease end.
    pub node: Option<String>,
    /// What it waits for.
    pub standing: Standing,
    seen: Held,
}

/// What a unit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// A node.
    Waiting,
    /// Its time, for so long.
    Delayed(Duration),
    /// The node that has it.
    Leased {
        /// For how long.
        since: Duration,
        /// How long nobody else takes it. Zero if anybody may.
        left: Duration,
    },
}

/// The partitions that a store has of its group, each lane by itself, in order.
///
/// # Errors
/// The store does not answer in time.
pub async fn partitions(store: &dyn Store) -> Result<Vec<PartitionKey>, StoreError> {
    let mut all = Vec::new();
    let mut next = Some(Cursor::START);
    while let Some(from) = next {
        let page = store.partitions(from).await?;
        all.extend(page.items);
        next = page.next;
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The units of a partition or lane, in order. While the store changes, each is as it was at some time in between.
///
/// # Errors
/// The store does not answer in time.
pub async fn of_partition(store: &dyn Store, partition: &PartitionKey) -> Result<Vec<UnitSeen>, StoreError> {
    let now_ms = store.overview().await?.now_ms;
    let Some(snapshot) = store.snapshot(partition.clone()).await? else { return Ok(Vec::new()) };
    // A page may show again what another has shown.
    let mut units = BTreeMap::new();
    let mut next = Some(Cursor::START);
    while let Some(from) = next {
        let page = store.units(partition.clone(), from).await?;
        units.extend(page.items.into_iter().map(|unit| (unit.range.start(), unit)));
        next = page.next;
    }
    Ok(units.into_values().map(|unit| UnitSeen::new(unit, &snapshot, now_ms)).collect())
}

impl UnitSeen {
    fn new(unit: Unit, of: &PartitionSnapshot, now_ms: u64) -> Self {
        let until = |then: u64| Duration::from_millis(then.saturating_sub(now_ms));
        let standing = match unit.state {
            UnitState::Ready { visible_at_ms } if visible_at_ms <= now_ms => Standing::Waiting,
            UnitState::Ready { visible_at_ms } => Standing::Delayed(until(visible_at_ms)),
            UnitState::Leased { deadline_ms } => {
                let since = Duration::from_millis(now_ms.saturating_sub(unit.taken_at_ms));
                Standing::Leased { since, left: until(deadline_ms) }
            }
        };
        Self {
            partition: of.partition.partition.clone(),
            lane: of.partition.lane,
            range: unit.range.start()..unit.range.end(),
            settled_to: unit.position,
            attempt: unit.attempt,
            standing,
            seen: unit.seen(of),
            node: Some(unit.node).filter(|node| !node.is_empty()),
        }
    }

    /// Whether a node has it, be it that its lease is over.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        matches!(self.standing, Standing::Leased { .. })
    }

    /// Whether a record in its range is of it: in a lane, by its key.
    #[must_use]
    pub fn has(&self, key: Option<&[u8]>, offset: Offset) -> bool {
        let in_lane = self.lane.is_whole() || lane_of(key, offset, self.lane.of) == self.lane.index;
        self.range.contains(&offset) && in_lane
    }

    /// Takes it away from the node that has it: it waits again, its try is not counted, and what was handled of it stays
    /// so. That node notices when it renews its leases; what it handles until then is handled again. Of a lane, all that
    /// is leased goes back.
    ///
    /// # Errors
    /// The store does not answer in time, or has another incarnation of the partition.
    pub async fn release(&self, store: &dyn Store) -> Result<Requeued, StoreError> {
        self.put_back(store, None, false).await
    }

    /// As [release](Self::release), and then it comes before all that waits. One that waits for its time comes at once.
    /// In a lane, that is in its turn.
    ///
    /// # Errors
    /// As [`UnitSeen::release`].
    pub async fn requeue(&self, store: &dyn Store) -> Result<Requeued, StoreError> {
        self.put_back(store, None, true).await
    }

    /// Cuts it in two, so that two nodes can have it. If a node has it, it is released first.
    ///
    /// # Errors
    /// As [`UnitSeen::release`]; or the offset is not inside it.
    pub async fn split(&self, store: &dyn Store, at: Offset) -> Result<Requeued, StoreError> {
        self.put_back(store, Some(at), false).await
    }

    async fn put_back(
        &self,
        store: &dyn Store,
        cut: Option<Offset>,
        front: bool,
    ) -> Result<Requeued, StoreError> {
        store.requeue(Requeue { seen: self.seen.clone(), cut, front }).await
    }
}
