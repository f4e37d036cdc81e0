//! What the embedded cluster knows: one plain value behind one lock. It has no task, no timer and no
//! randomness of its own: the time comes in with each call, and what is due is done then.

pub(crate) mod batch;
pub(crate) mod brokers;
pub(crate) mod configs;
pub(crate) mod groups;
pub(crate) mod log;
pub(crate) mod options;
pub(crate) mod producers;
pub(crate) mod random;
pub(crate) mod topics;
pub(crate) mod transactions;
pub(crate) mod wakes;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::wire::Str;
use tokio::time::Instant;

use brokers::Brokers;
use groups::Group;
use options::ClusterOptions;
use random::Random;
use topics::{PartitionState, Topics};
use transactions::Transactions;
use wakes::{Wakes, Watch};

/// Everything that a cluster knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: ClusterOptions,
    pub(crate) cluster_id: Str,
    pub(crate) random: Random,
    pub(crate) brokers: Brokers,
    pub(crate) topics: Topics,
    pub(crate) groups: BTreeMap<Str, Group>,
    pub(crate) transactions: Transactions,
    pub(crate) wakes: Wakes,
    /// The versions that the brokers admit to, if they play an older Kafka.
    pub(crate) version_limits: Option<BTreeMap<ApiKey, RangeInclusive<i16>>>,
    /// The next producer id to hand out.
    pub(crate) next_producer_id: i64,
    /// Bytes of all batches in all logs.
    pub(crate) stored_bytes: usize,
    /// The time of the call being served.
    pub(crate) now: Instant,
    started: Instant,
}

impl State {
    pub(crate) fn new(options: ClusterOptions, now: Instant) -> Self {
        let mut random = Random::new(options.seed);
        Self {
            cluster_id: random.uuid().to_string().into(),
            brokers: Brokers::new(options.brokers),
            random,
            options,
            topics: Topics::default(),
            groups: BTreeMap::new(),
            transactions: Transactions::default(),
            wakes: Wakes::default(),
            version_limits: None,
            next_producer_id: 1000,
            stored_bytes: 0,
            now,
            started: now,
        }
    }

    /// Milliseconds since 1970 as this cluster's brokers see them.
    pub(crate) fn wall_ms(&self) -> i64 {
        let passed = self.now.saturating_duration_since(self.started);
        self.options.start_time_ms.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
    }

    /// The moment `timeout_ms` from now; negative counts as none.
    pub(crate) fn after_ms(&self, timeout_ms: i32) -> Instant {
        self.now + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
    }

    /// The partition, if `broker` leads it and the client's idea of the leader epoch is right (−1: it
    /// has none). The order of the checks is Kafka's: epoch before leadership.
    pub(crate) fn led_by(
        &mut self,
        broker: i32,
        topic: &str,
        index: i32,
        epoch: i32,
    ) -> Result<&mut PartitionState, ErrorCode> {
        let partition = self.topics.partition_mut(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if epoch >= 0 && epoch < partition.epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if epoch > partition.epoch {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        if partition.leader != broker {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        Ok(partition)
    }

    /// Wakes the fetches that wait for a partition to change.
    pub(crate) fn wake_partition(&mut self, topic: &str, index: i32) {
        if let Some(topic) = self.topics.get(topic) {
            self.wakes.wake(&Watch::Partition(topic.id, index));
        }
    }

    pub(crate) fn new_producer_id(&mut self) -> i64 {
        self.next_producer_id += 1;
        self.next_producer_id - 1
    }

    /// The consumer group, made if there is none.
    pub(crate) fn group_or_new(&mut self, id: &Str) -> &mut Group {
        let delay = self.options.group_initial_rebalance_delay;
        self.groups.entry(owned(id)).or_insert_with(|| Group::new(delay))
    }

    /// Wakes the requests that wait for a consumer group to change.
    pub(crate) fn wake_group(&self, id: &Str) {
        self.wakes.wake(&Watch::Group(id.clone()));
    }

    /// Gives every partition that its leader cannot serve another live replica, and leaderless ones a
    /// leader where one of their replicas came back. Epochs go up with each change.
    pub(crate) fn elect(&mut self) {
        let mut changed = Vec::new();
        for topic in self.topics.iter_mut() {
            let id = topic.id;
            for (index, partition) in topic.partitions.iter_mut().enumerate() {
                if self.brokers.is_up(partition.leader) {
                    continue;
                }
                let next = partition.replicas.iter().copied().find(|&id| self.brokers.is_up(id));
                let next = next.unwrap_or(topics::NO_LEADER);
                if next != partition.leader {
                    partition.lead(next);
                    changed.push(Watch::Partition(id, index as i32));
                }
            }
        }
        for watch in changed {
            self.wakes.wake(&watch);
        }
    }
}

/// A copy of a text from a request, to be kept: the request's buffer is not kept with it.
pub(crate) fn owned(text: &Str) -> Str {
    text.as_str().into()
}
