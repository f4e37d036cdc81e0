//! One partition that this organiser is responsible for.

use logmill_protocol::ids::{Boot, Generation, Offset, PartitionKey};
use logmill_protocol::work::{CommitMetadata, LaneProgress, PartitionSnapshot};
use tokio::time::Instant;

use super::plan::LogEnds;

/// A partition whose state in the store is known to agree with Kafka's.
#[derive(Clone, Debug)]
pub(super) struct HeldPartition {
    pub(super) key: PartitionKey,
    pub(super) generation: Generation,
    pub(super) boot: Boot,
    pub(super) leader_epoch: i32,
    /// Every offset below it belongs to a unit or is settled.
    pub(super) planned: Offset,
    /// How many partitions the topic had when the group first read it.
    pub(super) first_partitions: i32,
    /// What its log was last seen to hold.
    pub(super) ends: LogEnds,
    /// There is more to plan than there was room for; planning goes on when some units end.
    pub(super) full: bool,
    /// What Kafka has.
    pub(super) committed: Committed,
}

/// What was committed last, and when.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) watermark: Offset,
    pub(super) metadata: String,
    pub(super) at: Instant,
}

impl HeldPartition {
    /// The metadata to commit with this snapshot.
    pub(super) fn metadata(&self, snapshot: &PartitionSnapshot) -> String {
        let done = snapshot.done.iter().copied().collect();
        CommitMetadata {
            generation: self.generation,
            topic_id: self.key.topic_id,
            first_partitions: self.first_partitions,
            of: 0,
            lanes: vec![LaneProgress { watermark: snapshot.watermark, done }],
        }
        .encode()
    }
}
