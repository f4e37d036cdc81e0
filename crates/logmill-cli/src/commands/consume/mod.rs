//! `logmill consume`: records to stdout; of a topic, or as a node of a group.

mod group;
mod place;
mod topic;

use super::node::NodeFlags;
use crate::exit::{Failure, Outcome};
use crate::input::{Bounds, Connect, Position};
use crate::output::Shape;

/// Without -g it reads, and leaves no trace. With -g it is a node of that group: it shares the topic with the
/// group's other nodes, prints each record and settles it once its line is written and flushed. kcat's flags,
/// with kcat's meanings.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: Connect,
    /// The topic; with -g it may be given often
    #[arg(short = 't', long = "topic", required = true)]
    topics: Vec<String>,
    /// Only this partition
    #[arg(short = 'p', long, conflicts_with = "group", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Where to start: beginning, end, an offset, -N for the last N, s@TIME; and e@TIME where to stop. With -g it
    /// counts for a group that is new; TIME is 5m (ago), 2026-11-22T10:00Z, or milliseconds since 1970
    #[arg(short = 'o', long = "offset", value_name = "WHERE", allow_hyphen_values = true)]
    offsets: Vec<Position>,
    /// End when the last record that was there at the start is printed. With -g: when the group, this node or another,
    /// has settled and committed all that was there; what comes meanwhile may be printed too
    #[arg(short = 'e', long)]
    exit: bool,
    /// End after so many records
    #[arg(short = 'c', visible_short_alias = 'n', long)]
    count: Option<u64>,
    /// Print with kcat's tokens: %t %p %o %k %s %T %h %K %S %R, \n
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print JSON, a line each, in kcat's envelope
    #[arg(short = 'J', long)]
    json: bool,
    /// Print the key, then this, before the value
    #[arg(short = 'K', long, value_name = "DELIMITER")]
    key_delimiter: Option<String>,
    /// What to print after each value
    #[arg(short = 'D', long, value_name = "DELIMITER")]
    delimiter: Option<String>,
    /// Print null as NULL
    #[arg(short = 'Z', long)]
    null: bool,
    /// Be a node of this group
    #[arg(short = 'g', long)]
    group: Option<String>,
    /// Say less on stderr
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    node: NodeFlags,
}

impl Args {
    fn shape(&self) -> Outcome<Shape> {
        let (format, key) = (self.format.as_deref(), self.key_delimiter.as_deref());
        Shape::from_flags(self.json, format, key, self.delimiter.as_deref(), self.null)
    }
}

pub(crate) async fn run(args: Args) -> Outcome {
    let bounds = Bounds::new(&args.offsets).map_err(Failure::usage)?;
    match &args.group {
        Some(group) => group::run(&args, group, bounds).await,
        None => topic::run(&args, bounds).await,
    }
}
