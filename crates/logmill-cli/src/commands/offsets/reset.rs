//! `logmill offsets reset`: told first, done with `--execute`.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use logmill::control::{Control, Planned, Target};
use logmill::{Error, Partition};
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::input::{OfGroup, parse_duration, parse_time_now, user};
use crate::output::{Output, Row, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: OfGroup,
    /// Only in this topic; else in all that the group has committed
    #[arg(short = 't', long)]
    topic: Option<String>,
    /// Only in this partition of the topic
    #[arg(short = 'p', long, requires = "topic")]
    partition: Option<i32>,
    /// Where to go on: earliest, latest, an offset, -N for the last N, +N for N further, or a time: 5m or -5m (ago),
    /// 2026-11-22T10:00Z, @1763800000123
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true, required_unless_present = "by")]
    to: Option<To>,
    /// So many offsets further, or back if it is negative
    #[arg(long, value_name = "N", allow_hyphen_values = true, conflicts_with = "to")]
    by: Option<i64>,
    #[command(flatten)]
    how: How,
}

/// Whether to do it, and how it is told.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Do it. Without this, only what would be done is told
    #[arg(long)]
    execute: bool,
    /// How long the group's organisers may take to do it
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// `--to`.
#[derive(Clone, Copy, Debug)]
struct To(Target);

impl FromStr for To {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let target = match text {
            "earliest" | "beginning" => Target::Earliest,
            "latest" | "end" => Target::Latest,
            _ => match (text.strip_prefix(['+']), text.parse::<i64>()) {
                (Some(_), Ok(further)) => Target::By(further),
                (None, Ok(offset)) if offset >= 0 => Target::Offset(offset),
                (None, Ok(last)) => Target::Last(last.saturating_neg()),
                (_, Err(_)) => {
                    // 5m is five minutes ago, and so is -5m.
                    let back = text.strip_prefix('-').filter(|time| parse_duration(time).is_ok());
                    let time = back.or_else(|| text.strip_prefix("s@")).unwrap_or(text);
                    Target::Time(parse_time_now(time).map_err(|_| {
                        "write earliest, latest, an offset, -N for the last N, +N for N further, or a time: \
                         5m (ago), 2026-11-22T10:00Z, @1763800000123"
                            .to_owned()
                    })?)
                }
            },
        };
        Ok(Self(target))
    }
}

#[derive(Serialize)]
struct PlannedRow {
    topic: String,
    partition: i32,
    /// Null where the group has committed nothing.
    current: Option<i64>,
    new: i64,
    change: i64,
    /// The offset that was asked for, where the log does not have it.
    outside: Option<i64>,
}

impl Row for PlannedRow {
    const HEAD: &'static [&'static str] = &["TOPIC", "PART", "CURRENT", "NEW", "CHANGE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            self.current.map_or_else(|| "-".to_owned(), |current| current.to_string()),
            self.new.to_string(),
            format!("{:+}", self.change),
        ]
    }
}

pub(super) async fn run(args: Args) -> Outcome {
    let client = args.of.client().await?;
    let target = match (args.by, args.to) {
        (Some(by), _) => Target::By(by),
        (None, Some(To(target))) => target,
        (None, None) => return Err(Failure::usage("--to or --by is missing")),
    };
    let partitions: Vec<Partition> = match (&args.topic, args.partition) {
        (Some(topic), Some(index)) => vec![Partition::new(topic.as_str(), index)],
        (Some(topic), None) => {
            let partitions = client.topic(topic).await?.partitions.len();
            (0..partitions).map(|index| Partition::new(topic.as_str(), index as i32)).collect()
        }
        (None, _) => client.admin().committed(args.of.group(), None).await?.into_keys().collect(),
    };
    if partitions.is_empty() {
        let text = format!("group {:?} has committed nothing; name a topic with -t", args.of.group());
        return Err(Failure::new(Exit::NotFound, text));
    }
    let targets = partitions.into_iter().map(|partition| (partition, target)).collect();
    move_to(&args.of.control_over(&client), &targets, &args.how).await
}

/// Tells what would be done, and does it if that is wanted.
pub(super) async fn move_to(control: &Control, targets: &BTreeMap<Partition, Target>, how: &How) -> Outcome {
    let planned = control.plan(targets).await?;
    let row = |planned: &Planned| PlannedRow {
        topic: planned.partition.topic.to_string(),
        partition: planned.partition.index,
        current: planned.current,
        new: planned.to,
        change: planned.change(),
        outside: planned.outside,
    };
    print(&planned.iter().map(row).collect::<Vec<_>>(), how.output)?;
    for Planned { partition, to, outside, .. } in &planned {
        if let Some(outside) = outside {
            eprintln!("{partition}: the log does not have offset {outside}, and {to} is nearest");
        }
    }
    if !how.execute {
        eprintln!("nothing done: add --execute");
        return Ok(());
    }
    let not_done = control.rewind(&planned, &user(), how.timeout).await.map_err(|problem| match problem {
        problem @ Error::Refused { .. } => Failure::failed(problem),
        problem => problem.into(),
    })?;
    let (left, all) = (not_done.len(), planned.len());
    for partition in not_done {
        eprintln!("{partition}: its organiser did not do it in time; the group goes on as it was");
    }
    match left {
        0 => eprintln!("done: {all} partition(s)"),
        _ if left == all => return Err(Failure::new(Exit::TimedOut, "nothing done")),
        _ => return Err(Failure::new(Exit::Partly, format!("{left} of {all} partitions are not done"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let read = |text: &str| text.parse::<To>().map(|To(target)| target);
        assert_eq!(read("earliest"), Ok(Target::Earliest));
        assert_eq!(read("latest"), Ok(Target::Latest));
        assert_eq!(read("17"), Ok(Target::Offset(17)));
        assert_eq!(read("-3"), Ok(Target::Last(3)));
        assert_eq!(read("+3"), Ok(Target::By(3)));
        assert_eq!(read("@1700000000000"), Ok(Target::Time(1_700_000_000_000)));
        assert_eq!(read("s@1700000000000"), Ok(Target::Time(1_700_000_000_000)));
        assert_eq!(read("2024-11-22T10:00Z"), Ok(Target::Time(1_732_269_600_000)));
        let now = parse_time_now("0s").unwrap_or_default();
        for ago in ["5m", "-5m"] {
            let Ok(Target::Time(at)) = read(ago) else { panic!("{ago} is no time") };
            assert!((at..at + 60_000).contains(&(now - 300_000)), "{ago}");
        }
        assert!(read("-2024-11-22").is_err() && read("--5m").is_err());
        assert!(read("soon").is_err_and(|error| error.contains("earliest")));
    }
}
