//! What a test does to the cluster and asks of it, without a client in between.
//!
//! These panic when they name a topic, partition or broker that does not exist: that is a mistake of
//! the test, and the message says which.

use logmill_protocol::ids::Uuid;

use super::Cluster;
use crate::state::State;
use crate::state::topics::{NewTopic, PartitionState};

impl Cluster {
    /// Creates a topic, replicated to three brokers, or all if there are fewer.
    ///
    /// # Panics
    /// It exists, or name or number are not possible.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// Creates a topic with settings such as `("retention.bytes", "1048576")`.
    ///
    /// # Panics
    /// It exists, or name, number or a setting are not possible.
    pub fn create_topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let configs = settings.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let new = NewTopic { configs, ..NewTopic::new(name, partitions) };
        let made = self.shared.lock().state.create_topic(new, false);
        if let Err((code, text)) = made {
            panic!("cannot create topic {name:?} with {partitions} partitions: {code}: {text}");
        }
    }

    /// The topic's id, if it exists.
    #[must_use]
    pub fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.shared.lock().state.topics.get(name).map(|topic| topic.id)
    }

    /// Takes a broker down: its connections end, its partitions go to other replicas that are up, under
    /// the next leader epoch, or have no leader. What was acknowledged stays in the log.
    ///
    /// # Panics
    /// There is no such broker.
    pub fn crash(&self, broker: i32) {
        self.set_up(broker, false);
        self.shared.crash(broker);
    }

    /// Brings a broker back with its logs. It leads again what had no leader; the rest stays where it
    /// went, until [`Cluster::move_leader`].
    ///
    /// # Panics
    /// There is no such broker.
    pub fn restart(&self, broker: i32) {
        self.set_up(broker, true);
    }

    fn set_up(&self, broker: i32, up: bool) {
        let mut world = self.shared.lock();
        let Some(found) = world.state.brokers.get_mut(broker) else {
            panic!("the cluster has no broker {broker}")
        };
        found.up = up;
        world.state.elect();
    }

    /// Hands a partition to another broker, under the next leader epoch. The broker becomes a replica
    /// if it was none.
    ///
    /// # Panics
    /// There is no such partition or broker, or the broker is down.
    pub fn move_leader(&self, topic: &str, partition: i32, to: i32) {
        let mut world = self.shared.lock();
        let state = &mut world.state;
        assert!(state.brokers.is_up(to), "broker {to} does not exist or is down");
        let found = partition_mut(state, topic, partition);
        if !found.replicas.contains(&to) {
            found.replicas.push(to);
        }
        found.lead(to);
        state.wake_partition(topic, partition);
    }

    /// The broker that leads a partition, or `None` while there is none.
    ///
    /// # Panics
    /// There is no such partition.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let mut world = self.shared.lock();
        let leader = partition_mut(&mut world.state, topic, partition).leader;
        (leader >= 0).then_some(leader)
    }

    /// A partition's leader epoch. It goes up with every change of leader.
    ///
    /// # Panics
    /// There is no such partition.
    #[must_use]
    pub fn leader_epoch(&self, topic: &str, partition: i32) -> i32 {
        partition_mut(&mut self.shared.lock().state, topic, partition).epoch
    }

    /// The broker that coordinates a consumer group or a transactional id, or `None` if all are down.
    #[must_use]
    pub fn coordinator(&self, key: &str) -> Option<i32> {
        self.shared.lock().state.brokers.coordinator(key)
    }

    /// The first offset that can be read.
    ///
    /// # Panics
    /// There is no such partition.
    #[must_use]
    pub fn log_start(&self, topic: &str, partition: i32) -> i64 {
        partition_mut(&mut self.shared.lock().state, topic, partition).log.start()
    }

    /// The offset that the next record gets.
    ///
    /// # Panics
    /// There is no such partition.
    #[must_use]
    pub fn high_watermark(&self, topic: &str, partition: i32) -> i64 {
        partition_mut(&mut self.shared.lock().state, topic, partition).log.end()
    }

    /// The offset below which no transaction is open.
    ///
    /// # Panics
    /// There is no such partition.
    #[must_use]
    pub fn last_stable_offset(&self, topic: &str, partition: i32) -> i64 {
        partition_mut(&mut self.shared.lock().state, topic, partition).log.last_stable()
    }

    /// Deletes the records below an offset, as DeleteRecords or retention does. Above the log's end it
    /// deletes all.
    ///
    /// # Panics
    /// There is no such partition.
    pub fn delete_records(&self, topic: &str, partition: i32, below: i64) {
        let mut world = self.shared.lock();
        let freed = partition_mut(&mut world.state, topic, partition).log.delete_below(below);
        world.state.stored_bytes -= freed;
        world.state.wake_partition(topic, partition);
    }

    /// Cuts the log off at the batch that holds `offset` and begins a new leader epoch, as an unclean
    /// election does: acknowledged records are lost, and their offsets will be given out again.
    ///
    /// # Panics
    /// There is no such partition.
    pub fn truncate(&self, topic: &str, partition: i32, offset: i64) {
        let mut world = self.shared.lock();
        let found = partition_mut(&mut world.state, topic, partition);
        let freed = found.log.truncate(offset);
        found.lead(found.leader);
        world.state.stored_bytes -= freed;
        world.state.wake_partition(topic, partition);
    }

    /// Keeps the latest record of each key, as compaction does: offsets keep their records, so holes
    /// appear; batches keep the offsets that they cover; the last batch of a producer stays even when it
    /// is empty; records of rolled-back transactions go; markers and tombstones stay.
    ///
    /// # Panics
    /// There is no such partition.
    pub fn compact(&self, topic: &str, partition: i32) {
        let mut world = self.shared.lock();
        let freed = partition_mut(&mut world.state, topic, partition).log.compact();
        world.state.stored_bytes -= freed;
        world.state.wake_partition(topic, partition);
    }

    /// Deletes a topic, its records and the offsets committed for it.
    ///
    /// # Panics
    /// There is no such topic.
    pub fn delete_topic(&self, name: &str) {
        assert!(self.shared.lock().state.delete_topic(name), "the cluster has no topic {name}");
    }

    /// Adds partitions to a topic, up to `count`.
    ///
    /// # Panics
    /// There is no such topic, or it has as many already.
    pub fn add_partitions(&self, topic: &str, count: i32) {
        let grown = self.shared.lock().state.grow_topic(topic, count, Vec::new(), false);
        if let Err((code, text)) = grown {
            panic!("cannot bring topic {topic:?} to {count} partitions: {code}: {text}");
        }
    }
}

pub(super) fn partition_mut<'a>(state: &'a mut State, topic: &str, index: i32) -> &'a mut PartitionState {
    match state.topics.partition_mut(topic, index) {
        Some(partition) => partition,
        None => panic!("the cluster has no partition {topic}/{index}"),
    }
}
