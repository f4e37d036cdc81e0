//! Why a group does not move: Kafka is asked, and the store if there is one, and what is in the way is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use logmill_protocol::ids::Partition;
use logmill_protocol::work::{CommitMetadata, Overview};

use super::PartitionProgress;
use super::obstacle::Obstacle;
use crate::client::Client;
use crate::client::TopicInfo;
use crate::client::admin::Committed;
use crate::control::Control;
use crate::ledger::Ledger;
use crate::store::Store;

/// So many obstacles are told one by one; of more it is told how many.
const MOST: usize = 50;

/// Who finds out why a group does not move. It changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Doctor<'a> {
    pub(super) client: &'a Client,
    pub(super) group: &'a str,
    ledger: &'a Ledger,
    pub(super) store: Option<&'a dyn Store>,
    topics: &'a [String],
    pub(super) patience: Duration,
}

/// What a [`Doctor`] found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Diagnosis {
    /// How many topics the group reads, as far as it has committed something or they were named.
    pub topics: usize,
    /// How many partitions they have.
    pub partitions: usize,
    /// The consumer group's state, as Kafka names it; empty if there is none.
    pub state: String,
    /// How many members it has: nodes that organise.
    pub members: usize,
    /// How many partitions those were assigned.
    pub organised: usize,
    /// Whether the ledger's topic exists. It is made when it is first needed.
    pub has_ledger: bool,
    /// How far the group is in what it has committed.
    pub progress: Vec<PartitionProgress>,
    /// What the store says, if one was looked at.
    pub store: Option<Overview>,
    /// What is in the way.
    pub obstacles: Vec<Obstacle>,
    /// How many more obstacles there are.
    pub left_out: usize,
}

impl<'a> Doctor<'a> {
    /// Looks at this group, whose ledger is this.
    #[must_use]
    pub fn new(client: &'a Client, group: &'a str, ledger: &'a Ledger) -> Self {
        Self { client, group, ledger, store: None, topics: &[], patience: Duration::from_secs(60) }
    }

    /// Looks at its units too, in this store.
    #[must_use]
    pub fn store(mut self, store: &'a dyn Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Topics that it is to read, beside those of which it has committed something.
    #[must_use]
    pub fn topics(mut self, topics: &'a [String]) -> Self {
        self.topics = topics;
        self
    }

    /// How long a record, a unit or a transaction may take. 60 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Finds out. What cannot be looked at is [found](Obstacle::Unseen) too.
    pub async fn examine(&self) -> Diagnosis {
        let mut found = Diagnosis::default();
        let committed = self.client.admin().committed(self.group, None).await;
        let committed = found.seen("what the group has committed", committed).unwrap_or_default();
        let topics = self.look_at_topics(&committed, &mut found).await;
        if let Some(store) = self.store {
            let overview = store.overview().await;
            found.store = found.seen("the store", overview);
        }
        self.look_at_members(&topics, &mut found).await;
        let asked = Control::with_ledger(self.client, self.group, self.ledger.clone()).asked().await;
        for pause in found.seen("what operators ask", asked).iter().flat_map(|asked| asked.pauses()) {
            let (scope, reason, by) = (pause.scope.clone(), pause.reason.clone(), pause.by.clone());
            found.add(Obstacle::Paused { scope, reason, by });
        }
        self.look_at_ledger(&mut found).await;
        self.look_at_logs(&committed, &topics, &mut found).await;
        self.look_at_units(&committed, &topics, &mut found).await;
        found
    }

    async fn look_at_topics(
        &self,
        committed: &BTreeMap<Partition, Committed>,
        found: &mut Diagnosis,
    ) -> BTreeMap<String, TopicInfo> {
        let named = self.topics.iter().map(|topic| &**topic);
        let names: BTreeSet<&str> =
            committed.keys().map(|partition| &*partition.topic).chain(named).collect();
        let names: Vec<&str> = names.into_iter().collect();
        if committed.is_empty() {
            found.add(Obstacle::NeverBegan);
        }
        // Nothing named would be all there are.
        if names.is_empty() {
            return BTreeMap::new();
        }
        let described = self.client.admin().describe_topics(&names).await;
        let Some(described) = found.seen("its topics", described) else { return BTreeMap::new() };
        let topics: BTreeMap<_, _> =
            described.into_iter().map(|topic| (topic.name.to_string(), topic)).collect();
        for name in names.into_iter().filter(|name| !topics.contains_key(*name)) {
            found.add(Obstacle::NoTopic { topic: name.to_owned() });
        }
        for topic in topics.values() {
            for partition in topic.partitions.iter().filter(|partition| partition.leader.is_none()) {
                found.add(Obstacle::NoLeader { partition: Partition::new(&*topic.name, partition.index) });
            }
        }
        found.topics = topics.len();
        found.partitions = topics.values().map(|topic| topic.partitions.len()).sum();
        topics
    }

    async fn look_at_members(&self, topics: &BTreeMap<String, TopicInfo>, found: &mut Diagnosis) {
        let described = self.client.admin().describe_group(self.group).await;
        let Some(described) = found.seen("its members", described) else { return };
        let nodes = found.store.as_ref().map_or(0, |store| store.nodes.len());
        let Some(described) = described.filter(|it| !it.members.is_empty()) else {
            found.add(if nodes > 0 { Obstacle::NoOrganiser { nodes } } else { Obstacle::NoNode });
            return;
        };
        let assigned: BTreeSet<&Partition> =
            described.members.iter().flat_map(|member| &member.partitions).collect();
        (found.members, found.organised) = (described.members.len(), assigned.len());
        found.state.clone_from(&described.state);
        if !described.has_nodes() {
            return found.add(Obstacle::OtherClient { assignor: described.assignor });
        }
        if described.state != "Stable" {
            return found.add(Obstacle::Rebalancing { state: described.state });
        }
        if found.store.is_some() && nodes == 0 {
            found.add(Obstacle::OtherStore);
        }
        for topic in topics.values() {
            for index in topic.partitions.iter().map(|partition| partition.index) {
                let partition = Partition::new(&*topic.name, index);
                if !assigned.contains(&partition) {
                    found.add(Obstacle::Unassigned { partition });
                }
            }
        }
    }

    async fn look_at_ledger(&self, found: &mut Diagnosis) {
        let (admin, topic) = (self.client.admin(), self.ledger.topic());
        let described = admin.describe_topics(&[topic]).await;
        let Some(described) = found.seen("the ledger", described) else { return };
        let Some(described) = described.first() else { return };
        found.has_ledger = true;
        let settings = admin.topic_settings(topic).await;
        let Some(settings) = found.seen("the ledger's settings", settings) else { return };
        let policy = settings.get("cleanup.policy").cloned().unwrap_or_default();
        if policy != "compact" {
            found.add(Obstacle::LedgerForgets { topic: topic.to_owned(), policy });
        }
        let needed = settings.get("min.insync.replicas").and_then(|it| it.parse().ok()).unwrap_or(1);
        for partition in &described.partitions {
            let in_sync = partition.in_sync.len();
            if in_sync < needed || partition.leader.is_none() {
                let partition = Partition::new(topic, partition.index);
                found.add(Obstacle::LedgerReadOnly { partition, in_sync, needed });
            }
        }
    }
}

impl Diagnosis {
    /// How many records are not settled.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.progress.iter().map(PartitionProgress::lag).sum()
    }

    pub(super) fn add(&mut self, obstacle: Obstacle) {
        if self.obstacles.len() < MOST { self.obstacles.push(obstacle) } else { self.left_out += 1 }
    }

    /// What was seen, if anything was.
    pub(super) fn seen<T, E: fmt::Display>(&mut self, what: &'static str, answer: Result<T, E>) -> Option<T> {
        answer.map_err(|problem| self.add(Obstacle::Unseen { what, problem: problem.to_string() })).ok()
    }
}

/// What a commit says beside the offset, if logmill made it.
pub(super) fn metadata(commit: &Committed) -> Option<CommitMetadata> {
    CommitMetadata::decode(&commit.metadata, commit.offset)
}
