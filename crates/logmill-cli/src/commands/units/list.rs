//! `logmill unit list`.

use std::time::Duration;

use clap::ValueEnum;
use logmill::units::{Standing, UnitSeen};
use serde::Serialize;

use super::find::Shared;
use super::name::UnitName;
use crate::exit::Outcome;
use crate::input::OfGroup;
use crate::output::{Output, Row, ago, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: OfGroup,
    /// Only of this topic
    #[arg(short = 't', long)]
    topic: Option<String>,
    /// Only of this partition of the topic
    #[arg(short = 'p', long, requires = "topic")]
    partition: Option<i32>,
    /// Only those in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// As --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Any node may take it
    Waiting,
    /// It waits for its time, after a failure
    Delayed,
    /// A node has it
    Leased,
}

#[derive(Serialize)]
pub(super) struct UnitRow {
    unit: String,
    topic: String,
    partition: i32,
    /// Null where the partition has no lanes.
    lane: Option<u16>,
    start: i64,
    end: i64,
    /// Every record of it below is handled.
    settled_to: i64,
    state: State,
    /// Of a lease, 0 if it is over; of one that is delayed, until its time.
    left_ms: Option<u64>,
    /// Since it was taken.
    held_ms: Option<u64>,
    node: Option<String>,
    attempt: u32,
}

impl Row for UnitRow {
    const HEAD: &'static [&'static str] =
        &["UNIT", "END", "SETTLED", "STATE", "LEFT", "HELD", "ATTEMPT", "NODE"];

    fn cells(&self) -> Vec<String> {
        let missing = || "-".to_owned();
        vec![
            self.unit.clone(),
            self.end.to_string(),
            format!("{}/{}", self.settled_to - self.start, self.end - self.start),
            self.state.name().to_owned(),
            self.left_ms.map_or_else(missing, time),
            self.held_ms.map_or_else(missing, time),
            self.attempt.to_string(),
            self.node.clone().unwrap_or_else(missing),
        ]
    }
}

impl State {
    pub(super) fn of(unit: &UnitSeen) -> Self {
        match unit.standing {
            Standing::Delayed(_) => Self::Delayed,
            Standing::Leased { .. } => Self::Leased,
            _ => Self::Waiting,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Leased => "leased",
        }
    }
}

/// A length of time as people read it.
pub(super) fn time(ms: u64) -> String {
    ago(0, i64::try_from(ms).unwrap_or(i64::MAX))
}

impl UnitRow {
    pub(super) fn of(unit: &UnitSeen) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (left, held) = match unit.standing {
            Standing::Delayed(left) => (Some(left), None),
            Standing::Leased { since, left } => (Some(left), Some(since)),
            _ => (None, None),
        };
        Self {
            unit: UnitName::of(unit).to_string(),
            topic: unit.partition.topic.to_string(),
            partition: unit.partition.index,
            lane: (!unit.lane.is_whole()).then_some(unit.lane.index),
            start: unit.range.start,
            end: unit.range.end,
            settled_to: unit.settled_to,
            state: State::of(unit),
            left_ms: left.map(ms),
            held_ms: held.map(ms),
            node: unit.node.clone(),
            attempt: unit.attempt,
        }
    }
}

pub(super) async fn run(args: Args) -> Outcome {
    let shared = Shared::of(&args.of).await?;
    let wanted = |partition: &logmill::Partition| {
        args.topic.as_deref().is_none_or(|topic| *partition.topic == *topic)
            && args.partition.is_none_or(|index| partition.index == index)
    };
    let mut units = shared.units(wanted).await?;
    units.retain(|unit| args.state.is_none_or(|state| State::of(unit) == state));
    let rows: Vec<_> = units.iter().map(UnitRow::of).collect();
    Ok(print(&rows, if args.json { Output::Json } else { args.output })?)
}
