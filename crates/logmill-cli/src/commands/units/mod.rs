//! `logmill unit …`: the units of a group as its store has them, and what an operator does with one.
//!
//! | file | has |
//! |---|---|
//! | `name` | how one is named |
//! | `find` | the way to it |
//! | `list`, `show` | what it is |
//! | `change` | released, requeued, split |

mod change;
mod find;
mod list;
mod name;
mod show;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The units that a group has now: who has them, for how long, in which try
    List(list::Args),
    /// One unit, and its records
    Show(show::Args),
    /// Take a unit away from the node that has it: it waits again, and its try does not count
    Release(change::Args),
    /// As release, and put it before all that waits; one that waits for its time comes at once
    Requeue(change::Args),
    /// Cut a unit in two that no node has
    Split(change::SplitArgs),
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list::run(args).await,
        Command::Show(args) => show::run(args).await,
        Command::Release(args) => change::release(args).await,
        Command::Requeue(args) => change::requeue(args).await,
        Command::Split(args) => change::split(args).await,
    }
}
