//! `logmill dead …`: the records a group has given up on. They are in Kafka, so no store is asked.

mod change;
mod group_by;
mod list;
mod select;
mod show;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The dead letters of a group, or what they died of
    List(list::Args),
    /// One dead letter with its record
    Show(show::Args),
    /// Send records to their topics and partitions again, and take the dead letters away
    Requeue(change::RequeueArgs),
    /// Take dead letters away for good
    Discard(change::DiscardArgs),
    /// Dead letters with their records, a line of JSON each
    Export(list::ExportArgs),
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list::list(args).await,
        Command::Show(args) => show::show(args).await,
        Command::Requeue(args) => change::requeue(args).await,
        Command::Discard(args) => change::discard(args).await,
        Command::Export(args) => list::export(args).await,
    }
}
