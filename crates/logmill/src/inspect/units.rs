//! What a store has of a group, as far as it may be in the way.

use std::collections::BTreeMap;
use std::time::Duration;

use logmill_protocol::ids::{Partition, PartitionKey};
use logmill_protocol::work::{Cursor, UnitState};

use super::doctor::{Diagnosis, Doctor, metadata};
use super::obstacle::Obstacle;
use crate::client::TopicInfo;
use crate::client::admin::Committed;
use crate::organiser::lanes_of;
use crate::store::Store;

/// So many pages of units are looked at.
const PAGES: usize = 50;

impl Doctor<'_> {
    pub(super) async fn look_at_units(
        &self,
        committed: &BTreeMap<Partition, Committed>,
        topics: &BTreeMap<String, TopicInfo>,
        found: &mut Diagnosis,
    ) {
        let (Some(store), Some(now_ms)) = (self.store, found.store.as_ref().map(|it| it.now_ms)) else {
            return;
        };
        if found.obstacles.contains(&Obstacle::OtherStore) {
            return;
        }
        let mut pages = PAGES;
        for (partition, commit) in committed {
            let Some(topic) = topics.get(&*partition.topic) else { continue };
            let metadata = metadata(commit);
            let committed = metadata.as_ref().map_or(0, |metadata| metadata.generation.0);
            let key = PartitionKey::new(partition.clone(), topic.id);
            let mut is_empty = false;
            for lane in lanes_of(&key, metadata.map_or(0, |metadata| metadata.of)) {
                let snapshot = store.snapshot(lane.clone()).await;
                let Some(snapshot) = found.seen("the store's state of a partition", snapshot) else { return };
                match snapshot {
                    Some(it) if it.generation.0 < committed => {
                        let stored = it.generation.0;
                        found.add(Obstacle::StoreBehind { partition: partition.clone(), stored, committed });
                        break;
                    }
                    Some(it) if !it.is_torn() => {
                        if it.units > 0 && !self.look_at_leases(store, &lane, now_ms, &mut pages, found).await
                        {
                            return;
                        }
                    }
                    _ => is_empty = true,
                }
            }
            if is_empty {
                found.add(Obstacle::StoreEmpty { partition: partition.clone() });
            }
        }
    }

    /// Tells of units that are held for long. False once enough was looked at.
    async fn look_at_leases(
        &self,
        store: &dyn Store,
        lane: &PartitionKey,
        now_ms: u64,
        pages: &mut usize,
        found: &mut Diagnosis,
    ) -> bool {
        let mut next = Some(Cursor::START);
        while let Some(from) = next {
            if *pages == 0 {
                return false;
            }
            *pages -= 1;
            let page = store.units(lane.clone(), from).await;
            let Some(page) = found.seen("the store's units", page) else { return false };
            for unit in page.items {
                let UnitState::Leased { deadline_ms } = unit.state else { continue };
                let held = Duration::from_millis(now_ms.saturating_sub(unit.taken_at_ms));
                let expired = deadline_ms < now_ms;
                if held >= self.patience || expired {
                    found.add(Obstacle::LongHeld {
                        partition: lane.partition.clone(),
                        range: unit.range.start()..unit.range.end(),
                        node: unit.node,
                        attempt: unit.attempt,
                        held,
                        expired,
                    });
                }
            }
            next = page.next;
        }
        true
    }
}
