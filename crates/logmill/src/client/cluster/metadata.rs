//! What is known of the cluster: brokers, topics, leaders. A plain value; asking for it is next door.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Partition, Uuid};
use logmill_protocol::messages::metadata::{MetadataResponse, MetadataResponseTopic};
use tokio::time::Instant;

use crate::client::transport::Address;

/// A broker's number in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerId(pub i32);

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// The broker.
    pub broker: BrokerId,
    /// Which leadership this is: each new one has a higher number. −1 if the broker does not tell.
    pub epoch: i32,
    /// The topic's id, zero on brokers before 2.8.
    pub topic_id: Uuid,
}

/// A partition, as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// Its index, from 0.
    pub index: i32,
    /// Who leads it, if anybody does.
    pub leader: Option<BrokerId>,
    /// Which leadership that is, or −1.
    pub epoch: i32,
    /// Who holds a copy; the first is the preferred leader.
    pub replicas: Vec<BrokerId>,
    /// Whose copies are complete.
    pub in_sync: Vec<BrokerId>,
}

/// A topic, as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, zero on brokers before 2.8.
    pub id: Uuid,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionInfo>,
    /// Whether it is one of Kafka's own.
    pub is_internal: bool,
}

impl TopicInfo {
    /// The partition of that index.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&PartitionInfo> {
        let at = self.partitions.binary_search_by_key(&index, |partition| partition.index).ok()?;
        Some(&self.partitions[at])
    }
}

#[derive(Debug)]
struct Entry {
    info: Arc<TopicInfo>,
    fetched: Instant,
    used: Instant,
    /// What is known has proved wrong, and is to be asked for again.
    stale: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    brokers: BTreeMap<BrokerId, Address>,
    controller: Option<BrokerId>,
    topics: BTreeMap<Arc<str>, Entry>,
}

impl Metadata {
    pub(super) fn address(&self, broker: BrokerId) -> Option<&Address> {
        self.brokers.get(&broker)
    }

    pub(super) fn brokers(&self) -> impl Iterator<Item = (BrokerId, &Address)> {
        self.brokers.iter().map(|(id, address)| (*id, address))
    }

    pub(super) fn controller(&self) -> Option<BrokerId> {
        self.controller
    }

    pub(super) fn forget_controller(&mut self) {
        self.controller = None;
    }

    /// What is known of a topic, unless it is known to be wrong.
    pub(super) fn topic(&mut self, name: &str) -> Option<Arc<TopicInfo>> {
        let entry = self.topics.get_mut(name).filter(|entry| !entry.stale)?;
        entry.used = Instant::now();
        Some(Arc::clone(&entry.info))
    }

    /// When the topic was last described.
    pub(super) fn fetched(&self, name: &str) -> Option<Instant> {
        self.topics.get(name).map(|entry| entry.fetched)
    }

    /// The topics to ask for again: all, or only those known to be wrong. Those that nobody has used
    /// since `unused` are forgotten.
    pub(super) fn wanted(&mut self, all: bool, unused: Option<Instant>) -> Vec<Arc<str>> {
        if let Some(unused) = unused {
            self.topics.retain(|_, entry| entry.used > unused);
        }
        let wanted = self.topics.iter().filter(|(_, entry)| all || entry.stale);
        wanted.map(|(name, _)| Arc::clone(name)).collect()
    }

    pub(super) fn invalidate(&mut self, topic: &str) {
        if let Some(entry) = self.topics.get_mut(topic) {
            entry.stale = true;
        }
    }

    /// Marks the topic as to be asked for again, unless another leader than the one that failed is
    /// known by now: of many requests that fail at one change, only the first asks.
    pub(super) fn leader_failed(&mut self, partition: &Partition, failed: &Leader) {
        let Some(entry) = self.topics.get_mut(&partition.topic) else { return };
        let known = entry.info.partition(partition.index);
        let same = known.is_none_or(|known| {
            entry.info.id == failed.topic_id
                && known.leader == Some(failed.broker)
                && known.epoch == failed.epoch
        });
        entry.stale |= same;
    }

    /// Takes a newer leader that a broker named when it refused a request (KIP-951). Returns whether
    /// it is news.
    pub(super) fn leader_moved(&mut self, partition: &Partition, to: &Leader) -> bool {
        if !self.brokers.contains_key(&to.broker) {
            return false;
        }
        let Some(entry) = self.topics.get_mut(&partition.topic) else { return false };
        let mut info = (*entry.info).clone();
        let Ok(at) = info.partitions.binary_search_by_key(&partition.index, |p| p.index) else {
            return false;
        };
        if info.id != to.topic_id || to.epoch <= info.partitions[at].epoch {
            return false;
        }
        info.partitions[at].leader = Some(to.broker);
        info.partitions[at].epoch = to.epoch;
        entry.info = Arc::new(info);
        entry.stale = false;
        true
    }

    pub(super) fn note_broker(&mut self, broker: BrokerId, host: &str, port: i32) {
        if let (0.., Ok(port @ 1..)) = (broker.0, u16::try_from(port)) {
            self.brokers.insert(broker, Address::new(host, port));
        }
    }

    /// Forgets the brokers, so that the next question goes to the addresses the client was given
    /// (KIP-899).
    pub(super) fn rebootstrap(&mut self) {
        self.brokers.clear();
        self.controller = None;
    }

    /// Takes an answer. Returns whether the set of partitions changed, and what was said of topics
    /// that cannot be used.
    pub(super) fn apply(&mut self, response: &MetadataResponse) -> (bool, BTreeMap<Arc<str>, ErrorCode>) {
        self.brokers.clear();
        for broker in &response.brokers {
            self.note_broker(BrokerId(broker.node_id), &broker.host, broker.port);
        }
        self.controller = Some(BrokerId(response.controller_id)).filter(|id| self.brokers.contains_key(id));
        let (mut changed, mut refused) = (false, BTreeMap::new());
        for topic in &response.topics {
            let Some(name) = topic.name.as_deref() else { continue };
            match ErrorCode::from(topic.error_code) {
                ErrorCode::None | ErrorCode::LeaderNotAvailable => changed |= self.take_topic(name, topic),
                code => {
                    changed |= self.topics.remove(name).is_some();
                    refused.insert(Arc::from(name), code);
                }
            }
        }
        (changed, refused)
    }

    fn take_topic(&mut self, name: &str, topic: &MetadataResponseTopic) -> bool {
        let now = Instant::now();
        let mut info = describe(name, topic);
        let old = self.topics.get(name);
        if let Some(old) = old.filter(|old| old.info.id == info.id) {
            // A broker that lags must not bring back a leader that is known to be deposed.
            for partition in &mut info.partitions {
                if let Some(known) = old.info.partition(partition.index)
                    && partition.epoch < known.epoch
                {
                    partition.leader = known.leader;
                    partition.epoch = known.epoch;
                }
            }
        }
        let changed = old
            .is_none_or(|old| old.info.id != info.id || old.info.partitions.len() != info.partitions.len());
        let used = old.map_or(now, |old| old.used);
        let entry = Entry { info: Arc::new(info), fetched: now, used, stale: false };
        self.topics.insert(Arc::from(name), entry);
        changed
    }
}

/// A topic of an answer, checked: indexes from 0, each once, in order.
pub(crate) fn describe(name: &str, topic: &MetadataResponseTopic) -> TopicInfo {
    let ids = |nodes: &[i32]| nodes.iter().copied().map(BrokerId).collect();
    let mut partitions: Vec<_> = topic
        .partitions
        .iter()
        .filter(|partition| partition.partition_index >= 0)
        .map(|partition| PartitionInfo {
            index: partition.partition_index,
            leader: Some(BrokerId(partition.leader_id)).filter(|leader| leader.0 >= 0),
            epoch: partition.leader_epoch,
            replicas: ids(&partition.replica_nodes),
            in_sync: ids(&partition.isr_nodes),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    partitions.dedup_by_key(|partition| partition.index);
    TopicInfo { name: name.into(), id: topic.topic_id, partitions, is_internal: topic.is_internal }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use logmill_protocol::messages::metadata::{MetadataResponseBroker, MetadataResponsePartition};
    use logmill_protocol::wire::Str;

    use super::*;

    /// An answer with brokers 1 to 3 and topic `t`, whose partitions have these leaders and epochs.
    fn answer(id: u8, leaders: &[(i32, i32)]) -> MetadataResponse {
        let broker = |id: i32| MetadataResponseBroker {
            node_id: id,
            host: "h".into(),
            port: 9090 + id,
            ..Default::default()
        };
        let partition =
            |(index, &(leader_id, leader_epoch)): (usize, &(i32, i32))| MetadataResponsePartition {
                partition_index: index as i32,
                leader_id,
                leader_epoch,
                ..Default::default()
            };
        MetadataResponse {
            brokers: (1..=3).map(broker).collect(),
            controller_id: 2,
            topics: vec![MetadataResponseTopic {
                name: Some(Str::from_static("t")),
                topic_id: Uuid([id; 16]),
                partitions: leaders.iter().enumerate().map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn leader(metadata: &mut Metadata, index: i32) -> (i32, i32) {
        let topic = metadata.topic("t").unwrap();
        let partition = topic.partition(index).unwrap();
        (partition.leader.map_or(-1, |leader| leader.0), partition.epoch)
    }

    #[tokio::test]
    async fn leader_epochs_never_go_back_while_the_topic_is_the_same() {
        let mut metadata = Metadata::default();
        assert!(metadata.apply(&answer(1, &[(1, 5), (2, 5)])).0, "a new topic is a change");
        assert!(!metadata.apply(&answer(1, &[(3, 4), (3, 6)])).0);
        assert_eq!(leader(&mut metadata, 0), (1, 5));
        assert_eq!(leader(&mut metadata, 1), (3, 6));
        assert!(metadata.apply(&answer(2, &[(3, 0), (3, 0)])).0, "another id is another topic");
        assert_eq!(leader(&mut metadata, 0), (3, 0));
        assert!(metadata.apply(&answer(2, &[(3, 0), (3, 0), (1, 0)])).0, "a new partition is a change");
    }

    #[tokio::test]
    async fn only_the_leader_that_is_known_can_prove_it_wrong() {
        let mut metadata = Metadata::default();
        metadata.apply(&answer(1, &[(1, 5)]));
        let partition = Partition::new("t", 0);
        let old = Leader { broker: BrokerId(3), epoch: 4, topic_id: Uuid([1; 16]) };
        metadata.leader_failed(&partition, &old);
        assert!(metadata.topic("t").is_some());
        metadata.leader_failed(&partition, &Leader { broker: BrokerId(1), epoch: 5, ..old });
        assert!(metadata.topic("t").is_none());
        assert_eq!(metadata.wanted(false, None), [Arc::from("t")]);
        assert!(metadata.leader_moved(&partition, &Leader { broker: BrokerId(2), epoch: 6, ..old }));
        assert_eq!(leader(&mut metadata, 0), (2, 6));
        assert!(!metadata.leader_moved(&partition, &Leader { broker: BrokerId(9), epoch: 7, ..old }));
    }

    #[tokio::test]
    async fn a_topic_that_is_gone_is_forgotten() {
        let mut metadata = Metadata::default();
        metadata.apply(&answer(1, &[(1, 5)]));
        let mut gone = answer(1, &[]);
        gone.topics[0].error_code = ErrorCode::UnknownTopicOrPartition.code();
        let (changed, refused) = metadata.apply(&gone);
        assert!(changed);
        assert_eq!(refused.get("t"), Some(&ErrorCode::UnknownTopicOrPartition));
        assert!(metadata.topic("t").is_none());
    }

    #[tokio::test]
    async fn nonsense_in_an_answer_is_left_out() {
        let mut nonsense = answer(1, &[(7, 1), (7, 1)]);
        nonsense.topics[0].partitions[1].partition_index = 0;
        nonsense.brokers[0].port = 99_999;
        nonsense.brokers[1].node_id = -1;
        let mut metadata = Metadata::default();
        metadata.apply(&nonsense);
        assert_eq!(metadata.brokers().count(), 1);
        assert_eq!(metadata.topic("t").unwrap().partitions.len(), 1);
        assert_eq!(metadata.controller(), None);
    }
}
