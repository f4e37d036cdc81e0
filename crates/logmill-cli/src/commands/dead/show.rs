//! `logmill dead show`.

use std::io::{self, Write};

use logmill::ledger::{DeadLetter, DeadRecord, Payload};

use super::select::{Of, Select};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{ago, now_ms};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    select: Select,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn show(args: Args) -> Outcome {
    let ledger = args.of.ledger().await?;
    let mut letters = args.select.letters(&ledger).await?;
    let Some(mut letter) = letters.next().await? else {
        let text = "there is no such dead letter; `logmill dead list` shows those there are";
        return Err(Failure::new(Exit::NotFound, text));
    };
    if letters.next().await?.is_some() {
        return Err(Failure::usage("more than one dead letter fits: name one as topic/partition@offset"));
    }
    match ledger.record_of(&letter).await {
        Ok(record) => letter.record = Some(record),
        Err(problem) => eprintln!("logmill: its record was kept by reference only, and {problem}"),
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &letter).map_err(io::Error::from)?;
        return Ok(out.write_all(b"\n")?);
    }
    Ok(write(&mut out, &letter)?)
}

fn write(out: &mut impl Write, letter: &DeadLetter) -> io::Result<()> {
    let now = now_ms();
    writeln!(out, "record    {}/{}@{}", letter.topic, letter.partition, letter.offset)?;
    writeln!(out, "reason    {}, after {} attempt(s)", letter.reason.name(), letter.attempts)?;
    let (first, last) = (ago(letter.first_failure_ms, now), ago(letter.last_failure_ms, now));
    writeln!(out, "failed    first {first} ago, last {last} ago, on node {}", letter.node)?;
    writeln!(out, "error     {}", letter.error.escape_debug())?;
    let Some(DeadRecord { timestamp, key, value, headers }) = &letter.record else { return Ok(()) };
    writeln!(out, "timestamp {timestamp}")?;
    for (name, value) in headers {
        writeln!(out, "header    {}={}", shown(Some(name)), shown(value.as_ref()))?;
    }
    writeln!(out, "key       {}", shown(key.as_ref()))?;
    writeln!(out, "value     {}", shown(value.as_ref()))
}

/// Text as it is, other bytes escaped.
fn shown(payload: Option<&Payload>) -> String {
    let Some(Payload(bytes)) = payload else { return "(null)".to_owned() };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control() && !"\n\t".contains(c)) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}
