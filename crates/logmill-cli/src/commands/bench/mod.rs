//! `logmill bench …`: what this client costs on this machine, against these brokers. CPU time is this process's own,
//! the kernel's share included; settings are printed with results, since one means nothing without the other.

mod consume;
mod measure;
mod payload;
mod place;
mod produce;
mod queue;
mod report;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Send records as fast as they are acknowledged
    Produce(produce::Args),
    /// Read records as fast as they come
    Consume(consume::Args),
    /// Work on records with handlers that wait, and compare with the same handlers in a bare loop
    Queue(queue::Args),
}

/// What all of them take.
#[derive(clap::Args, Debug)]
struct Repeat {
    /// How often to measure; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Produce(args) => produce::run(args).await,
        Command::Consume(args) => consume::run(args).await,
        Command::Queue(args) => queue::run(args).await,
    }
}
