//! `logmill node …`: the nodes of a group, and what an operator asks of one.

mod ask;
mod list;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The nodes that a group has now, and what is asked of them
    List(list::Args),
    /// Have a node take no more units: it finishes what it has, and stays a member of the group
    Quiet(ask::Args),
    /// Have a quiet node take units again
    Resume(ask::Args),
    /// Have a node end in good order, as SIGTERM to its process would, and wait until it has
    Drain(ask::DrainArgs),
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list::run(args).await,
        Command::Quiet(args) => ask::quiet(args).await,
        Command::Resume(args) => ask::resume(args).await,
        Command::Drain(args) => ask::drain(args).await,
    }
}
