//! What the node tests share: an embedded cluster, records in it, and a count of what was handled.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod cut;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logmill::client::{Client, Target, Transport};
use logmill::node::{Node, NodeBuilder, Received};
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use logmill_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use logmill_protocol::records::{BatchBuilder, Compression, Compressor, NewRecord, Stamp};
use logmill_testkit::{Cluster, ClusterOptions};
use tokio::sync::Notify;

/// An embedded cluster and a way to reach it without sockets.
#[derive(Clone)]
pub struct Rig {
    pub cluster: Cluster,
    pub transport: Transport,
}

impl Rig {
    pub fn new(brokers: u16, seed: u64) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let mut options = ClusterOptions::brokers(brokers).seed(seed);
        options.start_time_ms = 1_790_000_000_000;
        let cluster = Cluster::start(options);
        let dialled = cluster.clone();
        let transport = Transport::new(move |address| {
            let stream = dialled.dial(&address.host, address.port);
            async move { stream }
        });
        Self { cluster, transport }
    }

    pub fn node(&self, group: &str) -> NodeBuilder {
        Node::builder().brokers(self.cluster.bootstrap()).transport(self.transport.clone()).group(group)
    }

    pub async fn client(&self) -> Client {
        let builder = Client::builder().brokers(self.cluster.bootstrap()).transport(self.transport.clone());
        builder.seed(1).newest_version(ApiKey::OffsetFetch, 7).connect().await.unwrap()
    }

    /// Appends so many records to a partition, in batches of at most 100. A record's value is its offset.
    pub async fn produce(&self, topic: &str, partition: i32, records: i64) {
        let client = self.client().await;
        let place = Partition::new(topic, partition);
        let mut next = self.cluster.high_watermark(topic, partition);
        let end = next + records;
        while next < end {
            let mut batch = BatchBuilder::new(Vec::new());
            let first = next;
            for offset in first..end.min(first + 100) {
                let value = offset.to_string();
                batch
                    .append(&NewRecord::new(1_790_000_000_000, None, Some(value.as_bytes())), 1 << 20)
                    .unwrap();
                next += 1;
            }
            let mut compressor = Compressor::new(Compression::None, None).unwrap();
            let bytes = batch.close(&mut compressor).unwrap().stamp(Stamp::default());
            let partition_data = vec![PartitionProduceData { index: partition, records: Some(bytes) }];
            let topic_id = client.topic(topic).await.unwrap().id;
            let data = TopicProduceData { name: topic.into(), topic_id, partition_data };
            let request =
                ProduceRequest { acks: -1, timeout_ms: 1_000, topic_data: vec![data], ..Default::default() };
            let leader = client.leader(&place).await.unwrap();
            let answer = client.call(Target::Broker(leader.broker), &request).await.unwrap();
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
    }

    /// As [`Rig::produce`], straight into the log: no fault strikes it.
    pub fn produce_by_hand(&self, topic: &str, partition: i32, records: i64) {
        let next = self.cluster.high_watermark(topic, partition);
        self.cluster.produce(topic, partition, (next..next + records).map(|offset| offset.to_string()));
    }

    /// What the group has committed: offset and metadata.
    pub async fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<(i64, String)> {
        let topics = vec![OffsetFetchRequestTopic { name: topic.into(), partition_indexes: vec![partition] }];
        let request =
            OffsetFetchRequest { group_id: group.into(), topics: Some(topics), ..Default::default() };
        let client = self.client().await;
        let answer = client.call(Target::Coordinator(group.to_owned()), &request).await.unwrap();
        let found = &answer.topics[0].partitions[0];
        let metadata = found.metadata.as_ref().map(ToString::to_string).unwrap_or_default();
        (found.committed_offset >= 0).then_some((found.committed_offset, metadata))
    }
}

/// Waits until it holds, under paused time; not for ever.
///
/// # Panics
/// It does not come to it.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not come to it: {what}");
}

/// So long without one more record means that the rest will not come.
const STALLED: Duration = Duration::from_secs(60);

/// How often each record was handled.
#[derive(Clone, Default)]
pub struct Tally {
    handled: Arc<Mutex<BTreeMap<(i32, i64), u32>>>,
    grown: Arc<Notify>,
}

impl Tally {
    pub fn count(&self, record: &Received) {
        *self.handled.lock().unwrap().entry((record.partition(), record.offset())).or_default() += 1;
        self.grown.notify_one();
    }

    pub fn distinct(&self) -> usize {
        self.handled.lock().unwrap().len()
    }

    /// Records handled more than once, each counted as often as it came again.
    pub fn repeats(&self) -> u32 {
        self.handled.lock().unwrap().values().map(|times| times - 1).sum()
    }

    /// Waits until so many different records were handled.
    ///
    /// # Panics
    /// None was handled for so long that the rest will not come.
    pub async fn reaches(&self, records: usize) {
        while self.distinct() < records {
            let grown = tokio::time::timeout(STALLED, self.grown.notified()).await;
            assert!(grown.is_ok(), "{} of {records} handled, and no more come", self.distinct());
        }
    }
}
