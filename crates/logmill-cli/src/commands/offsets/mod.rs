//! `logmill offsets …`: where groups are in their partitions, and to have them go on elsewhere.

mod get;
mod reset;
mod transfer;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Where a group is in each partition
    Get(get::Args),
    /// Have a group go on at another offset, back or forward, whether or not it is at work
    Reset(reset::Args),
    /// Write a group's offsets to stdout, as JSON
    Export(transfer::ExportArgs),
    /// Have a group go on where an export says
    Import(transfer::ImportArgs),
}

pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::Get(args) => get::run(args).await,
        Command::Reset(args) => reset::run(args).await,
        Command::Export(args) => transfer::export(args).await,
        Command::Import(args) => transfer::import(args).await,
    }
}
