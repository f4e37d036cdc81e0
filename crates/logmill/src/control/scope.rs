//! What of a group is meant.

use std::fmt;

use logmill_protocol::ids::Partition;

use crate::ledger::{EntryKey, PAUSE};

/// All of a group, or a topic or partition of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All that it reads.
    Group,
    /// One topic.
    Topic(String),
    /// One partition.
    Partition(Partition),
}

impl Scope {
    /// Whether the partition is part of it.
    #[must_use]
    pub fn covers(&self, partition: &Partition) -> bool {
        match self {
            Self::Group => true,
            Self::Topic(topic) => **topic == *partition.topic,
            Self::Partition(one) => one == partition,
        }
    }

    pub(super) fn key(&self) -> EntryKey {
        match self {
            Self::Group => EntryKey::of_group(PAUSE),
            Self::Topic(topic) => EntryKey::of_topic(PAUSE, topic),
            Self::Partition(partition) => EntryKey::of_partition(PAUSE, partition),
        }
    }

    /// The scope that the key of a pause names.
    pub(crate) fn of_pause(key: &EntryKey) -> Option<Self> {
        (key.kind() == PAUSE).then(|| match (key.partition(), key.topic()) {
            (Some(partition), _) => Self::Partition(partition),
            (None, Some(topic)) => Self::Topic(topic.to_owned()),
            (None, None) => Self::Group,
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group => f.write_str("the group"),
            Self::Topic(topic) => write!(f, "topic {topic}"),
            Self::Partition(partition) => partition.fmt(f),
        }
    }
}
