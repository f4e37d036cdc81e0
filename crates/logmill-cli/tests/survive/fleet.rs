//! Nodes of one group, and the verdict on what they printed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use logmill::client::Client;
use logmill::{Offset, Partition};

use super::node::NodeProcess;
use super::tally::{Line, STALLED, Tally};

pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// What a node may have printed and not yet told the store: a third of the lease between two checkpoints, and
/// as much again for a busy machine.
pub(crate) const CHECKPOINT: Duration = Duration::from_secs(2);

/// How long the watermark may take to reach Kafka after the last record.
const COMMITTED_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct Fleet {
    pub(crate) nodes: Vec<NodeProcess>,
    pub(crate) tally: Arc<Tally>,
    group: String,
    topic: String,
    records: usize,
    words: Vec<String>,
    folder: PathBuf,
    client: Client,
}

impl Fleet {
    /// Three nodes of the group, which read the topic. With `redis` they share units.
    pub(crate) fn start(
        client: &Client,
        brokers: &str,
        group: &str,
        topic: &str,
        records: usize,
        redis: Option<&str>,
    ) -> Self {
        let mut fleet = Self::empty(client, brokers, group, topic, records, redis);
        fleet.add(3);
        fleet
    }

    /// A group without nodes yet.
    pub(crate) fn empty(
        client: &Client,
        brokers: &str,
        group: &str,
        topic: &str,
        records: usize,
        redis: Option<&str>,
    ) -> Self {
        let folder = std::env::temp_dir().join(format!("logmill-survive-{}-{group}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let words = "consume -o beginning -J --lease 3s --session-timeout 6s --commit-interval 500ms";
        let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        words.extend(["-b", brokers, "-g", group, "-t", topic].map(str::to_owned));
        words.extend(redis.into_iter().flat_map(|url| ["--redis".to_owned(), url.to_owned()]));
        Self {
            nodes: Vec::new(),
            tally: Arc::new(Tally::new(records)),
            group: group.to_owned(),
            topic: topic.to_owned(),
            records,
            words,
            folder,
            client: client.clone(),
        }
    }

    /// Starts so many more nodes.
    pub(crate) fn add(&mut self, nodes: usize) {
        self.add_with(nodes, &[]);
    }

    /// Starts so many more nodes, with these words too.
    pub(crate) fn add_with(&mut self, nodes: usize, more: &[&str]) {
        let more: Vec<String> = more.iter().copied().map(str::to_owned).collect();
        for _ in 0..nodes {
            let number = self.nodes.len();
            let words =
                [&self.words[..], &more, &["-X".to_owned(), format!("client.id=node-{number}")]].concat();
            self.nodes.push(NodeProcess::start(number, &words, &self.folder, self.tally.clone()));
        }
    }

    /// Waits for the moment of the fault: this share of the records is printed, in per cent, and each node has
    /// had a part in it.
    pub(crate) async fn at(&self, percent: usize) {
        self.reaches(self.records * percent / 100).await;
        if let Err(problem) = self.tally.has_all(self.nodes.len()).await {
            self.fail(&problem);
        }
    }

    async fn reaches(&self, wanted: usize) {
        if let Err(problem) = self.tally.reaches(wanted).await {
            self.fail(&problem);
        }
    }

    /// Waits until something outside has come to pass.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let wait = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(STALLED, wait).await.is_err() {
            self.fail(&format!("in {STALLED:?} it did not come to pass that {what}"));
        }
    }

    /// How many different records were printed so far.
    pub(crate) fn printed(&self) -> usize {
        self.tally.distinct()
    }

    /// Ends one node in good order.
    pub(crate) fn drain(&mut self, node: usize) {
        let status = self.nodes[node].drain();
        if !status.success() {
            self.fail(&format!("node {node} ended with {status}, and was to drain at SIGTERM"));
        }
    }

    /// Waits until Kafka has given partitions to this node.
    pub(crate) async fn has_partitions(&self, node: usize) {
        let name = format!("node-{node}");
        let has_some = async || {
            let group = self.client.admin().describe_group(&self.group).await.unwrap();
            let members = group.map(|group| group.members).unwrap_or_default();
            members.iter().any(|member| member.client_id == name && !member.partitions.is_empty())
        };
        self.until(&format!("{name} has partitions"), has_some).await;
    }

    /// The node that Kafka has given the narrow topic's only partition.
    pub(crate) async fn organiser(&self) -> usize {
        let group = self.client.admin().describe_group(&self.group).await.unwrap().unwrap();
        let member = group.members.iter().find(|member| !member.partitions.is_empty());
        let Some(member) = member else { self.fail(&format!("no organiser: {group:?}")) };
        member.client_id.strip_prefix("node-").unwrap().parse().unwrap()
    }

    /// Waits for the last record, ends the nodes that still run, and judges: nothing is missing, Kafka has it
    /// all committed, and each line that was repeated was one that `allowed` allows to be.
    pub(crate) async fn finish(mut self, allowed: impl Fn(&Line) -> bool) {
        self.reaches(self.records).await;
        self.committed().await;
        let running: Vec<usize> = (0..self.nodes.len()).filter(|at| !self.nodes[*at].has_ended()).collect();
        for node in &running {
            self.nodes[*node].signal("TERM");
        }
        for node in running {
            let status = self.nodes[node].wait();
            if !status.success() {
                self.fail(&format!("node {node} ended with {status}, and was to drain at SIGTERM"));
            }
        }
        let repeated = self.tally.repeated();
        let shares = self.tally.shares(self.nodes.len());
        eprintln!("{}: 0 lost of {}, {} twice, by node {shares:?}", self.group, self.records, repeated.len());
        let wrong: Vec<&Line> = repeated.iter().filter(|line| !allowed(line)).collect();
        if !wrong.is_empty() {
            let some: BTreeSet<usize> = wrong.iter().take(20).map(|line| line.record).collect();
            let nodes: BTreeSet<usize> = wrong.iter().map(|line| line.node).collect();
            self.fail(&format!(
                "{} records came again that no fault allows, such as {some:?}, first from nodes {nodes:?}",
                wrong.len()
            ));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }

    /// Waits until every partition's watermark is its log's end.
    async fn committed(&self) {
        let topic = self.client.topic(&self.topic).await.unwrap();
        let partitions: Vec<Partition> =
            topic.partitions.iter().map(|one| Partition::new(topic.name.clone(), one.index)).collect();
        let reached = async {
            loop {
                let committed = self.client.admin().committed(&self.group, Some(&partitions)).await.unwrap();
                let sum: Offset = committed.values().map(|one| one.offset).sum();
                if usize::try_from(sum) == Ok(self.records) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(COMMITTED_WITHIN, reached).await.is_err() {
            self.fail(&format!("the watermarks do not reach the logs' ends within {COMMITTED_WITHIN:?}"));
        }
    }

    /// Fails the test, and shows what the nodes said last.
    pub(crate) fn fail(&self, problem: &str) -> ! {
        let words: String = self
            .nodes
            .iter()
            .map(|node| format!("\n  node {}:\n    {}", node.number, node.last_words()))
            .collect();
        panic!("{}: {problem}\nlogs are kept in {}{words}", self.group, self.folder.display());
    }
}
