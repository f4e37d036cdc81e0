//! The parts of the demo: brokers, store, nodes.

use std::sync::Arc;
use std::time::Duration;

use logmill::client::admin::{NewTopic, OffsetAt};
use logmill::client::fetch::Isolation;
use logmill::client::{Client, Transport};
use logmill::node::{Node, Received};
use logmill::store::{MemoryStore, RedisOptions, RedisStore, Store};
use logmill::{Partition, Producer};
use logmill_testkit::{Cluster, ClusterOptions};

use super::Args;
use super::tally::Tally;
use crate::exit::Outcome;

const GROUP: &str = "billing";

/// Short, so that a killed node's units are handed out again while one watches.
const LEASE: Duration = Duration::from_secs(3);

/// How long a handler takes.
const WORK: Duration = Duration::from_millis(1);

/// Everything that is running.
pub(super) struct Stage {
    cluster: Option<Cluster>,
    transport: Transport,
    brokers: String,
    client: Client,
    store: Arc<dyn Store>,
    redis: Option<String>,
    topic: String,
    group: String,
    partitions: u16,
    handlers: u16,
    nodes: Vec<Node>,
    tally: Arc<Tally>,
}

/// One moment of it.
pub(super) struct View {
    pub(super) produced: u64,
    pub(super) handled: u64,
    pub(super) nodes: usize,
    /// Per partition: the watermark, and where the log ends.
    pub(super) partitions: Vec<(i64, i64)>,
}

impl View {
    /// Whether every record is settled in the store.
    pub(super) fn is_settled(&self) -> bool {
        self.partitions.iter().all(|(watermark, end)| watermark >= end)
    }
}

impl Stage {
    pub(super) async fn build(args: &Args, tally: Arc<Tally>) -> Outcome<Self> {
        let (cluster, transport, brokers) = match &args.brokers {
            Some(brokers) => (None, Transport::tcp(), brokers.clone()),
            None => {
                let cluster = Cluster::start(ClusterOptions::brokers(3));
                let dialled = cluster.clone();
                let transport = Transport::new(move |address| {
                    let stream = dialled.dial(&address.host, address.port);
                    async move { stream }
                });
                (Some(cluster.clone()), transport, cluster.bootstrap())
            }
        };
        let client =
            Client::builder().brokers(brokers.as_str()).transport(transport.clone()).connect().await?;
        // On brokers and a Redis that others use too, every run has names of its own.
        let own = args.brokers.is_some() || args.redis.is_some();
        let run = if own { format!("-{:x}", std::process::id()) } else { String::new() };
        let (topic, group) = (format!("orders{run}"), format!("{GROUP}{run}"));
        client.admin().create_topic(NewTopic::new(topic.as_str(), u32::from(args.partitions))).await?;
        let store: Arc<dyn Store> = match &args.redis {
            Some(url) => {
                let connected = RedisStore::connect(url, &group, RedisOptions::default()).await;
                Arc::new(connected.map_err(logmill::Error::from)?)
            }
            None => Arc::new(MemoryStore::new()),
        };
        let mut stage = Self {
            cluster,
            transport,
            brokers,
            client,
            store,
            redis: args.redis.clone(),
            topic,
            group,
            partitions: args.partitions,
            handlers: args.handlers,
            nodes: Vec::new(),
            tally,
        };
        for number in 1..=args.nodes {
            stage.add_node(&format!("node-{number}")).await?;
        }
        Ok(stage)
    }

    pub(super) async fn add_node(&mut self, name: &str) -> Outcome {
        let tally = self.tally.clone();
        let handler = move |record: Received| {
            let tally = tally.clone();
            async move {
                let text = record.value().and_then(|value| std::str::from_utf8(value).ok());
                let number = text.and_then(|text| text.parse().ok()).ok_or("not a record of the demo")?;
                tokio::time::sleep(WORK).await;
                tally.handle(number);
                Ok::<_, &str>(())
            }
        };
        let node = Node::builder()
            .brokers(self.brokers.as_str())
            .transport(self.transport.clone())
            .store(self.store.clone())
            .group(self.group.as_str())
            .topics([self.topic.as_str()])
            .name(name)
            .concurrency(usize::from(self.handlers))
            .lease(LEASE)
            .session_timeout(Duration::from_secs(6))
            .commit_interval(Duration::from_secs(1))
            .handler(handler);
        self.nodes.push(node.build().await?);
        Ok(())
    }

    /// Ends a node as a crash would. Returns its name.
    pub(super) fn kill_node(&mut self) -> Option<String> {
        let node = self.nodes.pop()?;
        let name = node.name().to_owned();
        node.kill();
        Some(name)
    }

    /// The embedded brokers, if they are.
    pub(super) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) async fn producer(&self) -> Outcome<Producer> {
        let builder = Producer::builder().brokers(self.brokers.as_str()).transport(self.transport.clone());
        Ok(builder.build().await?)
    }

    pub(super) fn describe(&self) -> String {
        let broker = match &self.cluster {
            Some(_) => "3 embedded brokers, in this process".to_owned(),
            None => self.brokers.clone(),
        };
        let store = self.redis.as_deref().unwrap_or("in memory");
        format!(
            "brokers    {broker}\nstore      {store} · group {} · topic {} ({} partitions)\nnodes      {} with {} handlers each",
            self.group,
            self.topic,
            self.partitions,
            self.nodes.len(),
            self.handlers
        )
    }

    pub(super) async fn view(&self, tally: &Tally) -> View {
        let all = (0..self.partitions).map(|index| Partition::new(self.topic.as_str(), i32::from(index)));
        let all: Vec<_> = all.collect();
        let asked = all.iter().map(|partition| (partition.clone(), OffsetAt::End));
        let ends = self.client.admin().list_offsets(asked, Isolation::Committed).await;
        let topic_id = self.client.topic(&self.topic).await.map(|topic| topic.id).unwrap_or_default();
        let mut partitions = Vec::with_capacity(all.len());
        for partition in all {
            let end = ends.get(&partition).and_then(|end| end.as_ref().ok()?.offset).unwrap_or(0);
            let key = logmill::PartitionKey::new(partition, topic_id);
            let snapshot = self.store.snapshot(key).await.ok().flatten();
            partitions.push((snapshot.map_or(0, |snapshot| snapshot.watermark), end));
        }
        View { produced: tally.produced(), handled: tally.handled(), nodes: self.nodes.len(), partitions }
    }

    /// Drains the nodes, and answers how many records Kafka has committed.
    pub(super) async fn end(self) -> Outcome<u64> {
        for node in self.nodes {
            node.drain().await?;
        }
        let committed = self.client.admin().committed(&self.group, None).await?;
        let total = committed.values().map(|committed| committed.offset.max(0) as u64).sum();
        if self.cluster.is_none() {
            self.client.admin().delete_topic(&self.topic).await?;
        }
        Ok(total)
    }
}
