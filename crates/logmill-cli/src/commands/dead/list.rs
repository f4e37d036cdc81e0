//! `logmill dead list` and `logmill dead export`.

use std::io::{self, Write};

use logmill::ledger::DeadLetter;
use serde::Serialize;

use super::group_by::Groups;
use super::select::{Of, Select};
use crate::exit::Outcome;
use crate::output::{Output, Row, ago, now_ms, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    select: Select,
    /// One row for all that died of the same
    #[arg(long, value_name = "WHAT")]
    group_by: Option<GroupBy>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum GroupBy {
    /// The same error
    Error,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    select: Select,
}

/// What scripts read; fields are only ever added.
#[derive(Serialize)]
pub(super) struct LetterRow {
    topic: String,
    partition: i32,
    offset: i64,
    attempts: u32,
    reason: &'static str,
    error: String,
    /// When it was given up on, in milliseconds since 1970.
    time: i64,
    first_time: i64,
    node: String,
    /// Whether the ledger has a copy of the record; else its topic must have it.
    copied: bool,
    #[serde(skip)]
    now: i64,
}

impl LetterRow {
    fn new(letter: DeadLetter, now: i64) -> Self {
        Self {
            partition: letter.partition,
            offset: letter.offset,
            attempts: letter.attempts,
            reason: letter.reason.name(),
            time: letter.last_failure_ms,
            first_time: letter.first_failure_ms,
            copied: letter.record.is_some(),
            topic: letter.topic,
            error: letter.error,
            node: letter.node,
            now,
        }
    }
}

impl Row for LetterRow {
    const HEAD: &'static [&'static str] = &["TOPIC", "PART", "OFFSET", "ATTEMPTS", "REASON", "LAST", "ERROR"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            self.offset.to_string(),
            self.attempts.to_string(),
            self.reason.to_owned(),
            ago(self.time, self.now),
            on_one_line(&self.error),
        ]
    }
}

/// The beginning of a text, without anything that could move a terminal's cursor.
pub(super) fn on_one_line(text: &str) -> String {
    let shown: String = text.chars().take(100).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

pub(crate) async fn list(args: Args) -> Outcome {
    let ledger = args.of.ledger().await?;
    let mut letters = args.select.letters(&ledger).await?;
    let now = now_ms();
    if args.group_by.is_some() {
        let mut groups = Groups::default();
        while let Some(letter) = letters.next().await? {
            groups.add(&letter);
        }
        let rows = groups.rows(now);
        return if args.json { array(&rows) } else { Ok(print(&rows, Output::Table)?) };
    }
    let mut rows = Vec::new();
    while let Some(letter) = letters.next().await? {
        rows.push(LetterRow::new(letter, now));
    }
    if args.json { array(&rows) } else { Ok(print(&rows, Output::Table)?) }
}

fn array(rows: &[impl Serialize]) -> Outcome {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, rows).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

pub(crate) async fn export(args: ExportArgs) -> Outcome {
    let ledger = args.of.ledger().await?;
    let mut letters = args.select.letters(&ledger).await?;
    while let Some(letter) = letters.next().await? {
        let mut line = serde_json::to_vec(&letter).map_err(io::Error::from)?;
        line.push(b'\n');
        io::stdout().write_all(&line)?;
    }
    Ok(io::stdout().flush()?)
}
