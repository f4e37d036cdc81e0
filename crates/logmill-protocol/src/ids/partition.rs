//! Partitions, as users name them and as the store does, whole or in lanes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Uuid;

/// A partition as users name it: topic and index.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index in its topic, from 0.
    pub index: i32,
}

impl Partition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, index: i32) -> Self {
        Self { topic: topic.into(), index }
    }
}

/// `topic/index`.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.index)
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The most lanes that a partition is split into.
pub const MAX_LANES: u16 = 256;

/// Which lane of a partition, of how many. A partition that is handled in the order of its keys is
/// split into lanes, each key in one of them, and one node at a time holds a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// Which, from 0.
    pub index: u16,
    /// How many there are, at most [`MAX_LANES`]; 0 if the partition is not split.
    pub of: u16,
}

impl Lane {
    /// A partition that is not split: any of its units may go to any node, in any order.
    pub const WHOLE: Self = Self { index: 0, of: 0 };

    /// Lane `index` of so many, or `None` unless `index < of ≤ MAX_LANES`.
    #[must_use]
    pub const fn new(index: u16, of: u16) -> Option<Self> {
        if index < of && of <= MAX_LANES { Some(Self { index, of }) } else { None }
    }

    /// Whether this is [`Lane::WHOLE`].
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.of == 0
    }
}

/// `index/of`.
impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// A partition as the store names it: a topic that was deleted and made again under its old name is
/// another topic, so its id is part of the name. Each lane of a partition has a state of its own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey {
    /// Topic and index.
    pub partition: Partition,
    /// The topic's id, or zero on brokers that have none.
    pub topic_id: Uuid,
    /// Which of its lanes, or [`Lane::WHOLE`].
    pub lane: Lane,
}

impl PartitionKey {
    /// Names a whole partition.
    #[must_use]
    pub const fn new(partition: Partition, topic_id: Uuid) -> Self {
        Self { partition, topic_id, lane: Lane::WHOLE }
    }

    /// The same partition's lane.
    #[must_use]
    pub fn in_lane(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }
}

/// `topic/index@id`, and for a lane `topic/index@id#lane/of`: the form stored in Redis. Kafka allows
/// neither `/` nor `@` nor `#` in a topic's name.
impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.topic_id)?;
        if self.lane == Lane::WHOLE { Ok(()) } else { write!(f, "#{}", self.lane) }
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a partition key of the form `topic/index@id` or `topic/index@id#lane/of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a partition key: expected topic/index@id or topic/index@id#lane/of")]
pub struct BadPartitionKey;

impl FromStr for PartitionKey {
    type Err = BadPartitionKey;

    fn from_str(text: &str) -> Result<Self, BadPartitionKey> {
        let read = || {
            let (partition, id) = text.rsplit_once('@')?;
            let (topic, index) = partition.rsplit_once('/')?;
            let (id, lane) = match id.split_once('#') {
                Some((id, lane)) => {
                    let (index, of) = lane.split_once('/')?;
                    (id, Lane::new(index.parse().ok()?, of.parse().ok()?)?)
                }
                None => (id, Lane::WHOLE),
            };
            let partition = Partition::new(topic, index.parse().ok()?);
            Some(Self::new(partition, id.parse().ok()?).in_lane(lane))
        };
        // Two texts for one partition would be two partitions in a store.
        read().filter(|key| key.to_string() == text).ok_or(BadPartitionKey)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn partition_keys_read_back() {
        let key = PartitionKey::new(Partition::new("orders.v2", 7), Uuid([9; 16]));
        let lane = key.clone().in_lane(Lane::new(255, 256).unwrap());
        for key in [key, lane] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        let id = Uuid(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
        let lane = PartitionKey::new(Partition::new("orders", 0), id).in_lane(Lane::new(3, 8).unwrap());
        assert_eq!(lane.to_string(), "orders/0@AAECAwQFBgcICQoLDA0ODw#3/8");
    }

    #[test]
    fn what_is_no_partition_key_is_refused() {
        assert_eq!("orders/x@AA".parse::<PartitionKey>(), Err(BadPartitionKey));
        for lane in
            ["#", "#3", "#8/8", "#0/0", "#0/257", "#03/8", "#+3/8", "#3/8/", "#3/8#3/8", "/3", " #3/8"]
        {
            let text = format!("orders/0@AAECAwQFBgcICQoLDA0ODw{lane}");
            assert_eq!(text.parse::<PartitionKey>(), Err(BadPartitionKey), "{text}");
        }
        assert_eq!("orders/+1@AAECAwQFBgcICQoLDA0ODw".parse::<PartitionKey>(), Err(BadPartitionKey));
    }
}
