//! `logmill group list` and `logmill group describe`.

use logmill::inspect;
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::input::{Connect, OfGroup};
use crate::output::{Output, Row, print};

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
    of: OfGroup,
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
    /// An operator paused it, or its topic or group.
    paused: bool,
}

impl Row for PartitionRow {
    const HEAD: &'static [&'static str] = &[
        "TOPIC",
        "PART",
        "START",
        "WATERMARK",
        "END",
        "LAG",
        "RANGES ABOVE",
        "GENERATION",
        "ORGANISER",
        "PAUSED",
    ];

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
            if self.paused { "yes" } else { "no" }.to_owned(),
        ]
    }
}

pub(super) async fn list(args: ListArgs) -> Outcome {
    let client = args.connect.client().await?;
    let groups = client.admin().list_groups().await?;
    let rows: Vec<_> = groups
        .into_iter()
        .map(|group| GroupRow { group: group.name, state: group.state, protocol: group.protocol_type })
        .collect();
    Ok(print(&rows, args.output)?)
}

pub(super) async fn describe(args: DescribeArgs) -> Outcome {
    let (client, group) = (args.of.client().await?, args.of.group());
    let control = args.of.control_over(&client);
    let described = client.admin().describe_group(group).await?;
    let progress = inspect::progress(&client, group).await?;
    if described.is_none() && progress.is_empty() {
        let text = format!("there is no group {group:?}; `logmill group list` shows those there are");
        return Err(Failure::new(Exit::NotFound, text));
    }
    let members = described.map(|group| group.members).unwrap_or_default();
    let organiser = |partition: &logmill::Partition| {
        let member = members.iter().find(|member| member.partitions.contains(partition))?;
        Some(format!("{}{}", member.client_id, member.host))
    };
    let asked = control.asked().await?;
    for pause in asked.pauses() {
        let why = if pause.reason.is_empty() { String::new() } else { format!(": {}", pause.reason) };
        eprintln!("{} is paused by {}{why}", pause.scope, pause.by);
    }
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
            paused: asked.is_paused(&progress.partition),
        })
        .collect();
    Ok(print(&rows, args.output)?)
}
