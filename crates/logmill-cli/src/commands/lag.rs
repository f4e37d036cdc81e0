//! `logmill lag`: how far behind groups are.

use std::collections::BTreeMap;

use logmill::inspect;
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::input::Connect;
use crate::output::{Output, Row, print};

/// How many records of each topic a group has not settled yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: Connect,
    /// The groups; all of them unless named
    groups: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Default, Serialize)]
struct LagRow {
    group: String,
    topic: String,
    partitions: u64,
    /// Records that are not settled, by what was committed last.
    lag: u64,
    /// Records that are settled above the watermark.
    settled_above: u64,
}

impl Row for LagRow {
    const HEAD: &'static [&'static str] = &["GROUP", "TOPIC", "PARTITIONS", "LAG", "SETTLED ABOVE"];

    fn cells(&self) -> Vec<String> {
        let numbers = [self.partitions, self.lag, self.settled_above].map(|number| number.to_string());
        [self.group.clone(), self.topic.clone()].into_iter().chain(numbers).collect()
    }
}

pub(crate) async fn run(args: Args) -> Outcome {
    let client = args.connect.client().await?;
    let named = !args.groups.is_empty();
    let groups = if named {
        args.groups
    } else {
        client.admin().list_groups().await?.into_iter().map(|group| group.name).collect()
    };
    let mut rows = Vec::new();
    for group in groups {
        let mut topics: BTreeMap<String, LagRow> = BTreeMap::new();
        for progress in inspect::progress(&client, &group).await? {
            let topic = progress.partition.topic.to_string();
            let row = topics.entry(topic.clone()).or_default();
            (row.group, row.topic) = (group.clone(), topic);
            row.partitions += 1;
            row.lag += progress.lag();
            row.settled_above += progress.settled_above;
        }
        if named && topics.is_empty() {
            let text =
                format!("group {group:?} has committed nothing; `logmill group list` shows those that have");
            return Err(Failure::new(Exit::NotFound, text));
        }
        rows.extend(topics.into_values());
    }
    Ok(print(&rows, args.output)?)
}
