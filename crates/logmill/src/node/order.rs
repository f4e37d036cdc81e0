//! In which order records are handled, and what a failed one holds up.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::CommitMetadata;

use crate::client::Client;
use crate::error::{Error, Result};

/// In which order a group's records are handled. A group keeps, for each partition, the order in which it first read
/// it: the commits in Kafka say which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Any: every free handler takes the next record.
    #[default]
    Unordered,
    /// Records of one key one after the other, in the order of the log, on whichever node; different keys at once.
    /// A partition is split into lanes by key, and one node at a time works on a lane.
    ByKey {
        /// Into how many lanes a partition is split, from 1 to 256: that many nodes can share it. Each node reads the
        /// whole partition for its lanes. Handlers are not limited by it.
        lanes: u16,
    },
    /// All records of a partition one after the other.
    ByPartition,
}

impl Order {
    /// By key, in 16 lanes a partition.
    #[must_use]
    pub const fn by_key() -> Self {
        Self::ByKey { lanes: 16 }
    }

    /// How many lanes a partition has: 0 where its order does not matter.
    pub(crate) const fn lanes(self) -> u16 {
        match self {
            Self::Unordered => 0,
            Self::ByKey { lanes } => lanes,
            Self::ByPartition => 1,
        }
    }
}

impl Order {
    /// Makes sure that the group does not read these topics in another order already: its lanes are what they are,
    /// whatever a node that comes later was told.
    ///
    /// # Errors
    /// It does; or Kafka does not tell in time.
    pub(crate) async fn is_that_of(self, client: &Client, group: &str, topics: &[String]) -> Result<()> {
        let committed = client.admin().committed(group, None).await?;
        for (partition, commit) in
            committed.iter().filter(|(at, _)| topics.iter().any(|topic| **topic == *at.topic))
        {
            let metadata = CommitMetadata::decode(&commit.metadata, commit.offset);
            if let Some(metadata) = metadata.filter(|metadata| metadata.of != self.lanes()) {
                let has = |lanes| if lanes == 0 { "no order".to_owned() } else { format!("{lanes} lanes") };
                let (first, wanted) = (has(metadata.of), has(self.lanes()));
                let problem = format!(
                    "group {group:?} reads {partition} in {first}, and this node asks for {wanted}; \
                     give it the group's order (--order, --lanes), or start another group"
                );
                return Err(Error::config("order", problem));
            }
        }
        Ok(())
    }
}

/// What a record that failed holds up until it is handled or given up. It matters where records have an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocks {
    /// The later records of its key.
    #[default]
    Key,
    /// All later records of its lane.
    Lane,
    /// Nothing: it is handled out of order when its time comes.
    Nothing,
}

/// Records of one line are handled one after the other. A number drawn from partition and key, or from the partition
/// alone: two keys that share one only wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Line(pub(crate) u64);

impl Line {
    /// All of a lane.
    pub(crate) fn of_lane(lane: &PartitionKey) -> Self {
        Self(drawn(lane, None))
    }

    /// One key of a lane. Records without a key have no order.
    pub(crate) fn of_key(lane: &PartitionKey, key: &[u8]) -> Self {
        Self(drawn(lane, Some(key)))
    }
}

/// The same number for the same words, in every run.
fn drawn(lane: &PartitionKey, key: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&*lane.partition.topic, lane.partition.index, lane.lane.index, key).hash(&mut hasher);
    hasher.finish()
}
