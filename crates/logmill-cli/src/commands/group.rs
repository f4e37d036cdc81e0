//! `logmill group list` and `logmill group describe`.

use logmill::inspect;
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::input::Connect;
use crate::output::{Output, Row, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// All groups, Kafka's consumer groups among them
    List(ListArgs),
    /// How far a group is in each partition, and who plans it
    Describe(DescribeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    connect: Connect,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DescribeArgs {
    #[command(flatten)]
    connect: Connect,
    /// The group
    group: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct GroupRow {
    group: String,
    state: String,
    protocol: String,
}

impl Row for GroupRow {
    const HEAD: &'static [&'static str] = &["GROUP", "STATE", "PROTOCOL"];

    fn cells(&self) -> Vec<String> {
        vec![self.group.clone(), self.state.clone(), self.protocol.clone()]
    }
}

#[derive(Serialize)]
struct PartitionRow {
    topic: String,
    partition: i32,
    start: i64,
    watermark: i64,
    end: i64,
    lag: u64,
    /// Ranges settled above the watermark.
    gaps: u64,
    /// Null where another client committed.
    generation: Option<u64>,
    /// Null while nobody plans it.
    organiser: Option<String>,
}

impl Row for PartitionRow {
    const HEAD: &'static [&'static str] =
        &["TOPIC", "PART", "START", "WATERMARK", "END", "LAG", "RANGES ABOVE", "GENERATION", "ORGANISER"];

    fn cells(&self) -> Vec<String> {
        let missing = || "-".to_owned();
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            self.start.to_string(),
            self.watermark.to_string(),
            self.end.to_string(),
            self.lag.to_string(),
            self.gaps.to_string(),
            self.generation.map_or_else(missing, |generation| generation.to_string()),
            self.organiser.clone().unwrap_or_else(missing),
        ]
    }
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list(args).await,
        Command::Describe(args) => describe(args).await,
    }
}

async fn list(args: ListArgs) -> Outcome {
    let client = args.connect.client().await?;
    let groups = client.admin().list_groups().await?;
    let rows: Vec<_> = groups
        .into_iter()
        .map(|group| GroupRow { group: group.name, state: group.state, protocol: group.protocol_type })
        .collect();
    Ok(print(&rows, args.output)?)
}

async fn describe(args: DescribeArgs) -> Outcome {
    let client = args.connect.client().await?;
    let described = client.admin().describe_group(&args.group).await?;
    let progress = inspect::progress(&client, &args.group).await?;
    if described.is_none() && progress.is_empty() {
        let text = format!("there is no group {:?}; `logmill group list` shows those there are", args.group);
        return Err(Failure::new(Exit::NotFound, text));
    }
    let members = described.map(|group| group.members).unwrap_or_default();
    let organiser = |partition: &logmill::Partition| {
        let member = members.iter().find(|member| member.partitions.contains(partition))?;
        Some(format!("{}{}", member.client_id, member.host))
    };
    let rows: Vec<_> = progress
        .into_iter()
        .map(|progress| PartitionRow {
            topic: progress.partition.topic.to_string(),
            partition: progress.partition.index,
            start: progress.log_start,
            watermark: progress.watermark,
            end: progress.log_end,
            lag: progress.lag(),
            gaps: progress.settled_ranges,
            generation: progress.generation,
            organiser: organiser(&progress.partition),
        })
        .collect();
    Ok(print(&rows, args.output)?)
}
