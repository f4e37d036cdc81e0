//! One partition that this organiser is responsible for.

use logmill_protocol::ids::{Boot, Generation, Lane, Offset, PartitionKey};
use logmill_protocol::work::{CommitMetadata, LaneProgress, PartitionSnapshot, RangeSet};
use tokio::time::Instant;

use super::plan::LogEnds;

/// A partition whose state in the store is known to agree with Kafka's.
#[derive(Clone, Debug)]
pub(super) struct HeldPartition {
    /// The whole partition, also where it is split into lanes.
    pub(super) key: PartitionKey,
    pub(super) generation: Generation,
    pub(super) boot: Boot,
    pub(super) leader_epoch: i32,
    /// How many lanes it is split into; 0 if it is whole.
    pub(super) of: u16,
    /// Its lanes, or the one that is all of it.
    pub(super) lanes: Vec<HeldLane>,
    /// How many partitions the topic had when the group first read it.
    pub(super) first_partitions: i32,
    /// The id of the last rewind that was done.
    pub(super) rewind: u64,
    /// What its log was last seen to hold.
    pub(super) ends: LogEnds,
    /// There is more to plan than there was room for; planning goes on when some units end.
    pub(super) full: bool,
    /// What Kafka has.
    pub(super) committed: Committed,
}

/// A lane, or all of a whole partition.
#[derive(Clone, Debug)]
pub(super) struct HeldLane {
    pub(super) key: PartitionKey,
    /// Every offset below it belongs to a unit or is settled.
    pub(super) planned: Offset,
    /// What Kafka has as its watermark.
    pub(super) committed: Offset,
}

/// What was committed last, and when.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) offset: Offset,
    pub(super) metadata: String,
    pub(super) at: Instant,
}

impl HeldPartition {
    /// Every offset below it is planned in all lanes.
    pub(super) fn planned(&self) -> Offset {
        self.lanes.iter().map(|lane| lane.planned).min().unwrap_or(0)
    }

    /// What to commit with these lanes' progress.
    pub(super) fn metadata(&self, lanes: Vec<LaneProgress>) -> CommitMetadata {
        CommitMetadata {
            generation: self.generation,
            topic_id: self.key.topic_id,
            first_partitions: self.first_partitions,
            rewind: self.rewind,
            of: self.of,
            lanes,
        }
    }
}

/// What a snapshot says is settled.
pub(super) fn progress(snapshot: &PartitionSnapshot) -> LaneProgress {
    let mut done = RangeSet::default();
    snapshot.done.iter().for_each(|range| done.insert(*range));
    LaneProgress { watermark: snapshot.watermark, done }
}

/// The names of a partition's lanes, or its own where it is whole.
pub(crate) fn lanes_of(key: &PartitionKey, of: u16) -> Vec<PartitionKey> {
    if of == 0 {
        return vec![key.clone()];
    }
    (0..of).filter_map(|index| Some(key.clone().in_lane(Lane::new(index, of)?))).collect()
}
