//! `logmill topic list` and `logmill topic describe`.

use logmill::client::{BrokerId, TopicInfo};
use serde::Serialize;

use crate::exit::Outcome;
use crate::input::Connect;
use crate::output::{Output, Row, print};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    connect: Connect,
    /// Kafka's own topics too
    #[arg(long)]
    internal: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct TopicRow {
    topic: String,
    partitions: usize,
    replicas: usize,
    internal: bool,
}

impl Row for TopicRow {
    const HEAD: &'static [&'static str] = &["TOPIC", "PARTITIONS", "REPLICAS"];

    fn cells(&self) -> Vec<String> {
        vec![self.topic.clone(), self.partitions.to_string(), self.replicas.to_string()]
    }
}

pub(crate) async fn list(args: ListArgs) -> Outcome {
    let client = args.connect.client().await?;
    let topics = client.admin().describe_topics(&[]).await?;
    let mut rows: Vec<TopicRow> = topics
        .iter()
        .filter(|topic| args.internal || !topic.is_internal)
        .map(|topic| TopicRow {
            topic: topic.name.to_string(),
            partitions: topic.partitions.len(),
            replicas: topic.partitions.iter().map(|partition| partition.replicas.len()).min().unwrap_or(0),
            internal: topic.is_internal,
        })
        .collect();
    rows.sort_by(|one, other| one.topic.cmp(&other.topic));
    Ok(print(&rows, args.output)?)
}

#[derive(Debug, clap::Args)]
pub(crate) struct DescribeArgs {
    #[command(flatten)]
    connect: Connect,
    /// The topic; may be given often
    #[arg(short = 't', long = "topic", required = true)]
    topics: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct PartitionRow {
    topic: String,
    topic_id: String,
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
}

impl Row for PartitionRow {
    const HEAD: &'static [&'static str] = &["TOPIC", "PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            self.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
            self.leader_epoch.to_string(),
            joined(&self.replicas),
            joined(&self.in_sync),
        ]
    }
}

fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}

fn joined(brokers: &[i32]) -> String {
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn partition_rows(topic: &TopicInfo) -> Vec<PartitionRow> {
    topic
        .partitions
        .iter()
        .map(|partition| PartitionRow {
            topic: topic.name.to_string(),
            topic_id: topic.id.to_string(),
            partition: partition.index,
            leader: partition.leader.map(|broker| broker.0),
            leader_epoch: partition.epoch,
            replicas: numbers(&partition.replicas),
            in_sync: numbers(&partition.in_sync),
        })
        .collect()
}

pub(crate) async fn describe(args: DescribeArgs) -> Outcome {
    let client = args.connect.client().await?;
    let mut rows = Vec::new();
    for name in &args.topics {
        rows.extend(partition_rows(&*client.topic(name).await?));
    }
    Ok(print(&rows, args.output)?)
}
