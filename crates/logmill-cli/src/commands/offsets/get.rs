//! `logmill offsets get`.

use logmill::inspect;
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::input::OfGroup;
use crate::output::{Output, Row, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: OfGroup,
    /// Only of this topic
    #[arg(short = 't', long)]
    topic: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct OffsetRow {
    topic: String,
    partition: i32,
    start: i64,
    watermark: i64,
    end: i64,
    lag: u64,
    /// Null where another client committed.
    generation: Option<u64>,
}

impl Row for OffsetRow {
    const HEAD: &'static [&'static str] =
        &["TOPIC", "PART", "START", "WATERMARK", "END", "LAG", "GENERATION"];

    fn cells(&self) -> Vec<String> {
        let numbers = [self.start, self.watermark, self.end].map(|offset| offset.to_string());
        let generation = self.generation.map_or_else(|| "-".to_owned(), |generation| generation.to_string());
        let place = [self.topic.clone(), self.partition.to_string()];
        place.into_iter().chain(numbers).chain([self.lag.to_string(), generation]).collect()
    }
}

pub(super) async fn run(args: Args) -> Outcome {
    let client = args.of.client().await?;
    let progress = inspect::progress(&client, args.of.group()).await?;
    if progress.is_empty() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("group {:?} has committed nothing", args.of.group()),
        ));
    }
    let of_topic = |it: &inspect::PartitionProgress| {
        args.topic.as_deref().is_none_or(|topic| *it.partition.topic == *topic)
    };
    let row = |progress: inspect::PartitionProgress| OffsetRow {
        topic: progress.partition.topic.to_string(),
        partition: progress.partition.index,
        start: progress.log_start,
        watermark: progress.watermark,
        end: progress.log_end,
        lag: progress.lag(),
        generation: progress.generation,
    };
    let rows: Vec<_> = progress.into_iter().filter(of_topic).map(row).collect();
    Ok(print(&rows, args.output)?)
}
