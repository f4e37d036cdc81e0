//! `logmill group …`: what groups there are, how far they are, and what an operator does with one.

mod delete;
mod pause;
mod show;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// All groups, Kafka's consumer groups among them
    List(show::ListArgs),
    /// How far a group is in each partition, who plans it, and what is paused
    Describe(show::DescribeArgs),
    /// Begin no more records of a group, or of a topic or partition of it
    ///
    /// Handlers at work end, and their records are settled. It is done at once: `logmill group resume` undoes it.
    Pause(pause::PauseArgs),
    /// Go on with what was paused
    Resume(pause::ResumeArgs),
    /// Delete a group without members: its commits, its ledger, and its keys in Redis
    Delete(delete::Args),
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => show::list(args).await,
        Command::Describe(args) => show::describe(args).await,
        Command::Pause(args) => pause::pause(args).await,
        Command::Resume(args) => pause::resume(args).await,
        Command::Delete(args) => delete::run(args).await,
    }
}
