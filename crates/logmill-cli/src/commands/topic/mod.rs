//! `logmill topic …`.

mod change;
mod offsets;
mod show;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// All topics, without Kafka's own
    List(show::ListArgs),
    /// The partitions of topics: leaders, copies, offsets
    Describe(show::DescribeArgs),
    /// Make a topic
    Create(change::CreateArgs),
    /// Delete a topic with all its records
    Delete(change::DeleteArgs),
    /// Where the partitions begin and end, or what is there at a time
    Offsets(offsets::Args),
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => show::list(args).await,
        Command::Describe(args) => show::describe(args).await,
        Command::Create(args) => change::create(args).await,
        Command::Delete(args) => change::delete(args).await,
        Command::Offsets(args) => offsets::run(args).await,
    }
}
