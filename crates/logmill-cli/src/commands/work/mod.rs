//! `logmill work`: a node whose handlers are programs in any language, a line of JSON for each record.
//!
//! | file | has |
//! |---|---|
//! | `line`, `answer` | what CMD reads and writes |
//! | `running` | the process |
//! | `talk` | one CMD from its start to its end: which records it holds |
//! | `copy` | starting it again |

mod answer;
mod copy;
mod line;
mod running;
mod talk;

use std::ffi::OsString;
use std::time::Duration;

use tokio::task::JoinSet;

use self::copy::Copy;
use self::talk::Limits;
use super::node::{FeedArgs, Inbox};
use crate::exit::{Failure, Outcome};
use crate::input::parse_duration;

/// Work on records with programs in any language: a line of JSON for each on stdin, an answer on stdout
///
/// CMD is started, and reads a line for each record:
///
///     {"topic":"orders","partition":0,"offset":41,"key":"k","payload":"...","attempt":1,
///      "timestamp":1763800000123,"headers":[{"key":"a","value":"b"}]}
///
/// in one line. Bytes that are not UTF-8 are in key_base64 and payload_base64 instead. It answers, in any order:
///
///     {"topic":"orders","partition":0,"offset":41,"status":"ack"}
///
/// The status may also be "retry", with an "error" and a "delay_ms" if it likes, or "dead", with an "error".
/// A CMD that ends is started again, and what it held is retried. When asked to stop, its stdin is closed after its
/// last answer, and it is waited for.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    feed: FeedArgs,
    /// How many copies of CMD
    #[arg(short = 'j', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    copies: u16,
    /// One CMD holds what the copies would
    #[arg(long)]
    share_stdin: bool,
    /// How many records a copy holds at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// A CMD that does not answer a record within this time is killed and started again, and what it held is retried
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// The program and its words
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(crate) async fn run(args: Args) -> Outcome {
    let (copies, in_flight) = (usize::from(args.copies), usize::from(args.in_flight));
    let at_once = copies * in_flight;
    let (copies, places) = if args.share_stdin { (1, at_once) } else { (copies, in_flight) };
    let limits = Limits { places, timeout: args.timeout };
    let copy = Copy { command: args.command, limits };
    args.feed.run(at_once, |inbox| all(copies, copy, inbox)).await
}

/// All copies, until the inbox ends or CMD cannot be started at all.
async fn all(copies: usize, copy: Copy, inbox: Inbox) -> Outcome {
    let mut running = JoinSet::new();
    for _ in 0..copies {
        running.spawn(copy.clone().keep_running(inbox.clone()));
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(Failure::failed)??;
    }
    Ok(())
}
