//! The read-only snapshots. They do not move the clock.

use std::sync::Arc;

use super::{Part, State};
use crate::ids::PartitionKey;
use crate::work::limits::{MAX_DONE_SHOWN, PAGE};
use crate::work::{Cursor, NodeView, Overview, Page, PartitionSnapshot, Unit};

impl State {
    /// One partition's state, or `None` if the store does not hold it.
    #[must_use]
    pub fn snapshot(&self, partition: &PartitionKey) -> Option<PartitionSnapshot> {
        self.parts.get(&*partition.to_string()).map(Part::snapshot)
    }

    /// The group at a glance.
    #[must_use]
    pub fn overview(&self, now_ms: u64) -> Overview {
        let now = self.clock.read(now_ms);
        let visible = self.queue.ready.iter().take_while(|(at, _, _)| *at <= now).count();
        let view = |(seen_ms, name): &(u64, Arc<str>)| {
            let node = self.nodes.get(name)?;
            let (node, info, organises) = (name.to_string(), node.info.clone(), node.organises);
            Some(NodeView { node, info, seen_ms: *seen_ms, organises })
        };
        Overview {
            now_ms: now,
            partitions: self.parts.len() as u64,
            ready: visible as u64,
            delayed: (self.queue.ready.len() - visible) as u64,
            leased: self.queue.leased.len() as u64,
            next_visible_ms: self.queue.ready.first().map(|place| place.0),
            next_deadline_ms: self.queue.leased.first().map(|place| place.0),
            nodes: self.silent.iter().rev().take(PAGE).filter_map(view).collect(),
            gaps: self.gaps.iter().cloned().collect(),
            lost_offsets: self.lost_offsets,
        }
    }

    /// The partitions, a page at a time.
    #[must_use]
    pub fn partitions(&self, from: Cursor) -> Page<PartitionKey> {
        let skip = usize::try_from(from.0).unwrap_or(usize::MAX);
        let items: Vec<_> = self.parts.values().skip(skip).take(PAGE).map(|part| part.key.clone()).collect();
        let shown = skip.saturating_add(items.len());
        Page { items, next: (shown < self.parts.len()).then_some(Cursor(shown as u64)) }
    }

    /// A partition's units, a page at a time; an empty page if the store does not hold it.
    #[must_use]
    pub fn units(&self, partition: &PartitionKey, from: Cursor) -> Page<Unit> {
        let Some(part) = self.parts.get(&*partition.to_string()) else {
            return Page { items: Vec::new(), next: None };
        };
        let from = i64::try_from(from.0).unwrap_or(i64::MAX);
        let mut units = part.units.range(from..);
        let items = units.by_ref().take(PAGE).map(|(_, unit)| unit.clone()).collect();
        Page { items, next: units.next().map(|(&start, _)| Cursor(start as u64)) }
    }
}

impl Part {
    fn snapshot(&self) -> PartitionSnapshot {
        PartitionSnapshot {
            partition: self.key.clone(),
            generation: self.generation,
            boot: self.boot,
            leader_epoch: self.leader_epoch,
            watermark: self.watermark,
            planned: self.planned,
            done: self.done.iter().take(MAX_DONE_SHOWN).collect(),
            done_ranges: self.done.len() as u32,
            units: self.units.len() as u32,
        }
    }
}
