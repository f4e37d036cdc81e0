//! `logmill dead requeue` and `logmill dead discard`: told first, done with `--execute`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use logmill::ledger::{DeadLetter, Edit, Ledger};
use tokio::time::{MissedTickBehavior, interval};

use super::select::{Of, Select, meant};
use crate::exit::{Exit, Failure, Outcome};
use crate::input::user;

#[derive(Debug, clap::Args)]
pub(crate) struct RequeueArgs {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    how: How,
    /// At most so many a second, as in 20/s
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<f64>,
    /// With this value in place of the record's own; for one record
    #[arg(long, value_name = "TEXT", conflicts_with = "edit")]
    value: Option<String>,
    /// With the content of this file as its value; for one record
    #[arg(long, value_name = "FILE")]
    edit: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct How {
    /// All of the group's dead letters
    #[arg(long)]
    all: bool,
    /// Do it. Without this, only what would be done is told
    #[arg(long)]
    execute: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse::<f64>().ok();
    number.filter(|n| n.is_finite() && *n >= 0.001).ok_or_else(|| "write a number a second: 20/s".to_owned())
}

/// How many records of each topic fit.
async fn plan(select: &Select, ledger: &Ledger) -> Outcome<BTreeMap<String, u64>> {
    let mut topics = BTreeMap::new();
    let mut letters = select.letters(ledger).await?;
    while let Some(letter) = letters.next().await? {
        *topics.entry(letter.topic).or_default() += 1;
    }
    Ok(topics)
}

pub(crate) async fn requeue(args: RequeueArgs) -> Outcome {
    meant(&args.select, args.how.all)?;
    let edit = edit(&args).await?;
    let ledger = args.of.ledger().await?;
    let plan = plan(&args.select, &ledger).await?;
    let count: u64 = plan.values().sum();
    if edit.is_some() && count > 1 {
        return Err(Failure::usage(format!("a new value is for one record, and {count} fit")));
    }
    if !args.how.execute {
        for (topic, records) in &plan {
            let kept = "original partition and key kept, header logmill-attempt reset";
            println!("would requeue {records} record(s) to {topic} ({kept})");
        }
        return nothing_done(count);
    }
    let mut pace = args.rate.map(|rate| interval(Duration::from_secs_f64(1.0 / rate)));
    if let Some(pace) = &mut pace {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut tally = Tally::default();
    let mut letters = args.select.letters(&ledger).await?;
    while let Some(letter) = letters.next().await? {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        tally.add(&letter, ledger.requeue(&letter, edit.as_ref()).await.map(drop));
    }
    tally.tell("requeued")
}

async fn edit(args: &RequeueArgs) -> Outcome<Option<Edit>> {
    let value = match (&args.value, &args.edit) {
        (Some(text), _) => Bytes::copy_from_slice(text.as_bytes()),
        (None, Some(path)) => {
            let read = tokio::fs::read(path).await;
            read.map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?.into()
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(Edit { value: Some(value), by: user() }))
}

pub(crate) async fn discard(args: DiscardArgs) -> Outcome {
    meant(&args.select, args.how.all)?;
    let ledger = args.of.ledger().await?;
    let plan = plan(&args.select, &ledger).await?;
    if !args.how.execute {
        for (topic, records) in &plan {
            println!(
                "would discard {records} dead letter(s) of {topic}; their records are not handled again"
            );
        }
        return nothing_done(plan.values().sum());
    }
    let mut tally = Tally::default();
    let mut letters = args.select.letters(&ledger).await?;
    while let Some(letter) = letters.next().await? {
        tally.add(&letter, ledger.remove(&letter.key()).await);
    }
    tally.tell("discarded")
}

fn nothing_done(count: u64) -> Outcome {
    match count {
        0 => println!("no dead letter fits"),
        _ => eprintln!("nothing done: add --execute"),
    }
    Ok(())
}

/// What was done, and what failed.
#[derive(Default)]
struct Tally {
    done: u64,
    failed: u64,
}

impl Tally {
    fn add(&mut self, letter: &DeadLetter, outcome: logmill::Result<()>) {
        match outcome {
            Ok(()) => self.done += 1,
            Err(problem) => {
                let DeadLetter { topic, partition, offset, .. } = letter;
                eprintln!("logmill: {topic}/{partition}@{offset} is kept: {problem}");
                self.failed += 1;
            }
        }
    }

    fn tell(self, what: &str) -> Outcome {
        println!("{what} {}", self.done);
        match self {
            Self { failed: 0, .. } => Ok(()),
            Self { done: 0, failed } => Err(Failure::failed(format!("{failed} failed"))),
            Self { failed, .. } => Err(Failure::new(Exit::Partly, format!("{failed} failed"))),
        }
    }
}
