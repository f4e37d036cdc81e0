//! Topics, their partitions, and who leads them.

use std::collections::BTreeMap;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Uuid;
use logmill_protocol::wire::Str;

use super::log::Log;
use super::{State, configs};

/// The leader of a partition none of whose replicas is up.
pub(crate) const NO_LEADER: i32 = -1;

/// The most partitions a topic may have here; a real cluster has no such bound.
const MOST_PARTITIONS: i32 = 10_000;

#[derive(Debug)]
pub(crate) struct PartitionState {
    pub(crate) leader: i32,
    pub(crate) epoch: i32,
    /// The brokers that hold it, the preferred leader first. Replication takes no time: each of them
    /// always has the whole log.
    pub(crate) replicas: Vec<i32>,
    pub(crate) log: Log,
}

impl PartitionState {
    /// Hands the partition to another leader under the next epoch.
    pub(crate) fn lead(&mut self, leader: i32) {
        self.leader = leader;
        self.epoch += 1;
        self.log.begin_epoch(self.epoch);
    }
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    pub(crate) name: Str,
    pub(crate) partitions: Vec<PartitionState>,
    /// Only what was set; everything else has its default.
    pub(crate) configs: BTreeMap<Str, Str>,
}

impl Topic {
    /// A number among its settings, or the default where it is unset or no number.
    pub(crate) fn number(&self, config: &str, default: i64) -> i64 {
        self.configs.get(config).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<Str, Topic>,
    names: BTreeMap<Uuid, Str>,
    /// How many were ever created: where the next one's first leader stands.
    created: usize,
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn name_of(&self, id: Uuid) -> Option<&Str> {
        self.names.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.by_name.values_mut()
    }

    pub(crate) fn partition_mut(&mut self, name: &str, index: i32) -> Option<&mut PartitionState> {
        self.by_name.get_mut(name)?.partitions.get_mut(usize::try_from(index).ok()?)
    }

    pub(crate) fn partition(&self, name: &str, index: i32) -> Option<&PartitionState> {
        self.by_name.get(name)?.partitions.get(usize::try_from(index).ok()?)
    }

    /// The name of a topic that a request gives by id (`by_id`) or by name.
    pub(crate) fn resolve(&self, by_id: bool, id: Uuid, name: &Str) -> Result<Str, ErrorCode> {
        if by_id { self.names.get(&id).cloned().ok_or(ErrorCode::UnknownTopicId) } else { Ok(name.clone()) }
    }

    /// Takes a topic and its logs away.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.names.remove(&topic.id);
        Some(topic)
    }
}

/// A topic to create.
#[derive(Debug)]
pub(crate) struct NewTopic {
    pub(crate) name: Str,
    /// −1 takes the cluster's default.
    pub(crate) partitions: i32,
    /// −1 takes the cluster's default.
    pub(crate) replicas: i16,
    /// The brokers of each partition, preferred leader first; empty to let the cluster choose.
    pub(crate) assignment: Vec<Vec<i32>>,
    pub(crate) configs: BTreeMap<Str, Str>,
}

impl NewTopic {
    pub(crate) fn new(name: &str, partitions: i32) -> Self {
        let configs = BTreeMap::new();
        Self { name: name.into(), partitions, replicas: -1, assignment: Vec::new(), configs }
    }
}

/// Why something was refused: Kafka's code and a sentence for the client.
pub(crate) type Refusal = (ErrorCode, String);

/// What [`State::create_topic`] made, or would make.
#[derive(Debug)]
pub(crate) struct Created {
    /// Zero if it was only checked.
    pub(crate) id: Uuid,
    pub(crate) partitions: i32,
    pub(crate) replicas: i16,
}

impl State {
    /// Creates a topic, or only checks that it could be.
    pub(crate) fn create_topic(&mut self, new: NewTopic, only_check: bool) -> Result<Created, Refusal> {
        check_name(&new.name)?;
        if self.topics.get(&new.name).is_some() {
            return Err((ErrorCode::TopicAlreadyExists, format!("Topic '{}' already exists.", new.name)));
        }
        for (name, value) in &new.configs {
            configs::check_topic(name, value)?;
        }
        let assignment = self.assign(&new)?;
        let replicas = assignment.first().map_or(0, Vec::len) as i16;
        let partitions = assignment.len() as i32;
        if only_check {
            return Ok(Created { id: Uuid::ZERO, partitions, replicas });
        }
        let id = self.random.uuid();
        let partitions_made = assignment.into_iter().map(|replicas| self.new_partition(replicas)).collect();
        let topic = Topic { id, name: new.name.clone(), partitions: partitions_made, configs: new.configs };
        self.topics.created += 1;
        self.topics.names.insert(id, new.name.clone());
        self.topics.by_name.insert(new.name, topic);
        Ok(Created { id, partitions, replicas })
    }

    /// Adds partitions to a topic up to `count`, or only checks that they could be added.
    pub(crate) fn grow_topic(
        &mut self,
        name: &str,
        count: i32,
        assignment: Vec<Vec<i32>>,
        only_check: bool,
    ) -> Result<(), Refusal> {
        let Some(topic) = self.topics.get(name) else {
            return Err((ErrorCode::UnknownTopicOrPartition, format!("There is no topic '{name}'.")));
        };
        let have = topic.partitions.len() as i32;
        if count <= have {
            let text = format!("Topic '{name}' has {have} partitions; {count} would not be more.");
            return Err((ErrorCode::InvalidPartitions, text));
        }
        let replicas = topic.partitions.first().map_or(-1, |p| p.replicas.len() as i16);
        let new = NewTopic { replicas, assignment, ..NewTopic::new(name, count - have) };
        let assignment = self.assign(&new)?;
        if !only_check {
            let added: Vec<_> = assignment.into_iter().map(|replicas| self.new_partition(replicas)).collect();
            if let Some(topic) = self.topics.get_mut(name) {
                topic.partitions.extend(added);
            }
        }
        Ok(())
    }

    fn new_partition(&self, replicas: Vec<i32>) -> PartitionState {
        let leader = replicas.iter().copied().find(|&id| self.brokers.is_up(id)).unwrap_or(NO_LEADER);
        let mut log = Log::default();
        log.begin_epoch(0);
        PartitionState { leader, epoch: 0, replicas, log }
    }

    /// The replicas of each new partition: those asked for, else spread over the live brokers.
    fn assign(&self, new: &NewTopic) -> Result<Vec<Vec<i32>>, Refusal> {
        if !new.assignment.is_empty() {
            let known = |id: &i32| self.brokers.ids().any(|broker| broker == *id);
            if new.assignment.iter().any(|replicas| replicas.is_empty() || !replicas.iter().all(known)) {
                let text = "The assignment names no broker or one that does not exist.".to_owned();
                return Err((ErrorCode::InvalidReplicaAssignment, text));
            }
            return Ok(new.assignment.clone());
        }
        let live = self.brokers.live();
        let partitions = if new.partitions == -1 { self.options.default_partitions } else { new.partitions };
        if !(1..=MOST_PARTITIONS).contains(&partitions) {
            let text = format!("{partitions} partitions asked for; 1 to {MOST_PARTITIONS} are possible.");
            return Err((ErrorCode::InvalidPartitions, text));
        }
        let replicas = match new.replicas {
            -1 => live.len().min(3),
            asked => usize::try_from(asked).unwrap_or(0),
        };
        if replicas == 0 || replicas > live.len() {
            let text =
                format!("Replication factor {} asked for; {} brokers are up.", new.replicas, live.len());
            return Err((ErrorCode::InvalidReplicationFactor, text));
        }
        let first = self.topics.created + self.topics.get(&new.name).map_or(0, |t| t.partitions.len());
        let spread = |p: usize| (0..replicas).map(|r| live[(first + p + r) % live.len()]).collect();
        Ok((0..partitions as usize).map(spread).collect())
    }
}

/// Kafka's rule for topic names.
fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(legal) {
        let text = "A topic's name has 1 to 249 letters, digits, '.', '_' or '-', and is not '.' or '..'.";
        return Err((ErrorCode::InvalidTopicException, text.to_owned()));
    }
    Ok(())
}
