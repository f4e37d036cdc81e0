//! Which group, and which of its dead letters.

use std::time::Duration;

use logmill::client::Client;
use logmill::ledger::{DEAD, DeadLetter, Entries, Ledger};

use crate::exit::{Failure, Outcome};
use crate::input::{Connect, parse_duration};
use crate::output::now_ms;

/// The group whose dead letters are meant.
#[derive(Debug, clap::Args)]
pub(super) struct Of {
    #[command(flatten)]
    connect: Connect,
    /// The group
    #[arg(short = 'g', long)]
    group: String,
    /// The topic of the group's ledger, where its nodes were given one
    #[arg(long, value_name = "TOPIC")]
    ledger_topic: Option<String>,
    /// Not needed, since dead letters are in Kafka; taken so that all commands can be given the same flags
    #[arg(long, value_name = "URL", num_args = 0..=1, hide = true)]
    redis: Option<Option<String>>,
}

impl Of {
    pub(super) async fn ledger(&self) -> Outcome<Ledger> {
        let client: Client = self.connect.client().await?;
        Ok(match &self.ledger_topic {
            Some(topic) => Ledger::of_topic(&client, topic),
            None => Ledger::open(&client, &self.group),
        })
    }
}

/// Which dead letters; all conditions hold.
#[derive(Debug, clap::Args)]
pub(super) struct Select {
    /// The record, as topic/partition@offset
    #[arg(value_name = "RECORD", value_parser = place)]
    place: Option<(String, i32, i64)>,
    /// Of this topic
    #[arg(short = 't', long)]
    topic: Option<String>,
    /// Of this partition
    #[arg(short = 'p', long)]
    partition: Option<i32>,
    /// At this offset
    #[arg(short = 'o', long)]
    offset: Option<i64>,
    /// Whose error contains this text
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Given up on for this reason: attempts, handler, decode, timeout or killed
    #[arg(long)]
    reason: Option<String>,
    /// Given up on in the last 5m, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    last: Option<Duration>,
}

fn place(text: &str) -> Result<(String, i32, i64), String> {
    let parts = text.rsplit_once('@').and_then(|(place, offset)| {
        let (topic, partition) = place.rsplit_once('/')?;
        Some((topic.to_owned(), partition.parse().ok()?, offset.parse().ok()?))
    });
    parts.ok_or_else(|| "write topic/partition@offset, as in orders/4@120771".to_owned())
}

impl Select {
    /// Whether any condition was given.
    pub(super) fn is_given(&self) -> bool {
        let Self { place, topic, partition, offset, error, reason, last } = self;
        let numbers = partition.is_some() || offset.is_some() || last.is_some() || place.is_some();
        numbers || topic.is_some() || error.is_some() || reason.is_some()
    }

    fn fits(&self, letter: &DeadLetter) -> bool {
        fn is<T: PartialEq + ?Sized>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        let place = self.place.as_ref();
        is(place.map(|(topic, ..)| &**topic), &*letter.topic)
            && is(place.map(|(_, partition, _)| partition), &letter.partition)
            && is(place.map(|(.., offset)| offset), &letter.offset)
            && is(self.topic.as_deref(), &letter.topic)
            && is(self.partition.as_ref(), &letter.partition)
            && is(self.offset.as_ref(), &letter.offset)
            && is(self.reason.as_deref(), letter.reason.name())
            && self.error.as_ref().is_none_or(|text| letter.error.contains(text))
            && self.last.is_none_or(|last| {
                let since = now_ms().saturating_sub(i64::try_from(last.as_millis()).unwrap_or(i64::MAX));
                letter.last_failure_ms >= since
            })
    }

    /// The dead letters that fit, one after the other.
    pub(super) async fn letters(&self, ledger: &Ledger) -> Outcome<Letters<'_>> {
        Ok(Letters { select: self, entries: ledger.entries().await? })
    }
}

/// Dead letters as they are read.
pub(super) struct Letters<'a> {
    select: &'a Select,
    entries: Entries,
}

impl Letters<'_> {
    pub(super) async fn next(&mut self) -> Outcome<Option<DeadLetter>> {
        while let Some(logged) = self.entries.next().await? {
            if logged.key.kind() != DEAD {
                continue;
            }
            // One that cannot be read hides no other.
            match DeadLetter::from_entry(&logged.key, &logged.value) {
                Ok(letter) if self.select.fits(&letter) => return Ok(Some(letter)),
                Ok(_) => {}
                Err(problem) => eprintln!("logmill: left out: {problem}"),
            }
        }
        Ok(None)
    }
}

/// A change of many needs to be meant.
pub(super) fn meant(select: &Select, all: bool) -> Outcome {
    if select.is_given() || all {
        return Ok(());
    }
    Err(Failure::usage("say which: a record, -t, -p, -o, --error, --reason, --last; or --all"))
}
