//! `logmill topic offsets`.

use logmill::Partition;
use logmill::client::Client;
use logmill::client::admin::OffsetAt;
use logmill::client::fetch::Isolation;
use serde::Serialize;

use crate::exit::{Failure, Outcome};
use crate::input::{Connect, Position};
use crate::output::{Output, Row, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: Connect,
    /// The topic
    #[arg(short = 't', long)]
    topic: String,
    /// Also the offset of the first record at or after this time: 5m (ago), 2026-11-22T10:00Z, or milliseconds
    /// since 1970
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct OffsetsRow {
    topic: String,
    partition: i32,
    start: i64,
    end: i64,
    /// As a reader sees it who waits for transactions to be committed.
    stable_end: i64,
    /// Null if no record is as late, or no time was asked for.
    at: Option<i64>,
}

impl Row for OffsetsRow {
    const HEAD: &'static [&'static str] = &["TOPIC", "PARTITION", "START", "END", "STABLE END", "AT TIME"];

    fn cells(&self) -> Vec<String> {
        let at = self.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let numbers = [self.start, self.end, self.stable_end].map(|number| number.to_string());
        [self.topic.clone(), self.partition.to_string()].into_iter().chain(numbers).chain([at]).collect()
    }
}

pub(crate) async fn run(args: Args) -> Outcome {
    let time = match args.at.map(|at| format!("s@{at}").parse::<Position>()) {
        None => None,
        Some(Ok(Position::From(ms))) => Some(ms),
        Some(Ok(_)) => return Err(Failure::usage("--at takes a time")),
        Some(Err(error)) => return Err(Failure::usage(error)),
    };
    let client = args.connect.client().await?;
    let topic = client.topic(&args.topic).await?;
    let partitions: Vec<Partition> = topic
        .partitions
        .iter()
        .map(|partition| Partition::new(topic.name.clone(), partition.index))
        .collect();
    let starts = listed(&client, &partitions, OffsetAt::Start, Isolation::Uncommitted).await?;
    let ends = listed(&client, &partitions, OffsetAt::End, Isolation::Uncommitted).await?;
    let stable = listed(&client, &partitions, OffsetAt::End, Isolation::Committed).await?;
    let at = match time {
        Some(ms) => listed(&client, &partitions, OffsetAt::Time(ms), Isolation::Committed).await?,
        None => vec![None; partitions.len()],
    };
    let rows: Vec<OffsetsRow> = partitions
        .iter()
        .enumerate()
        .map(|(number, partition)| OffsetsRow {
            topic: partition.topic.to_string(),
            partition: partition.index,
            start: starts[number].unwrap_or(0),
            end: ends[number].unwrap_or(0),
            stable_end: stable[number].unwrap_or(0),
            at: at[number],
        })
        .collect();
    Ok(print(&rows, args.output)?)
}

/// The offset asked for of each partition, in their order.
async fn listed(
    client: &Client,
    partitions: &[Partition],
    at: OffsetAt,
    isolation: Isolation,
) -> Outcome<Vec<Option<i64>>> {
    let asked = partitions.iter().map(|partition| (partition.clone(), at));
    let listed = client.admin().list_offsets(asked, isolation).await;
    let mut offsets = Vec::with_capacity(partitions.len());
    for (_, offset) in listed {
        offsets.push(offset?.offset);
    }
    Ok(offsets)
}
