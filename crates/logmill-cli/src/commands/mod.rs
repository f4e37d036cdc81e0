//! The subcommands, one file each.

mod bench;
mod broker;
mod check;
mod completion;
mod consume;
mod dead;
mod demo;
mod doctor;
mod group;
mod lag;
mod node;
mod nodes;
mod offsets;
mod produce;
mod push;
mod stop;
mod topic;
mod units;
mod work;

use clap::Subcommand;

use crate::exit::Outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it work: brokers, a producer, three nodes, and every record checked, in this process
    Demo(demo::Args),
    /// Serve Kafka's protocol from this process: a broker for tests and first steps, records in memory
    Broker(broker::Args),
    /// Send records: a record for each line of stdin
    Produce(produce::Args),
    /// Print the records of a topic, or work on them as a node of a group
    Consume(consume::Args),
    Work(work::Args),
    Push(push::Args),
    /// List, describe, create and delete topics; show their offsets
    #[command(subcommand)]
    Topic(topic::Command),
    /// Measure this client on this machine: produce, consume, work on a queue
    #[command(subcommand)]
    Bench(bench::Command),
    /// How many records groups have not settled yet
    Lag(lag::Args),
    Doctor(doctor::Args),
    /// Is a group, or what it stands on, as it should be? For monitors: ends with 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    #[command(subcommand)]
    Check(check::Command),
    /// List and describe groups; pause, resume and delete one
    #[command(subcommand)]
    Group(group::Command),
    /// The nodes of a group: list them, have one take no more units, take units again, or drain
    #[command(subcommand)]
    Node(nodes::Command),
    /// The units of a group, where they are shared in Redis: list, show, release, requeue, split
    #[command(subcommand)]
    Unit(units::Command),
    /// Where a group is in its partitions: get, reset, export, import
    #[command(subcommand)]
    Offsets(offsets::Command),
    /// The records that a group has given up on: list, show, requeue, discard, export
    #[command(subcommand, visible_alias = "dlq")]
    Dead(dead::Command),
    /// Print a completion script for a shell
    Completion(completion::Args),
}

impl Command {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Demo(args) => demo::run(args).await,
            Self::Broker(args) => broker::run(args).await,
            Self::Produce(args) => produce::run(args).await,
            Self::Consume(args) => consume::run(args).await,
            Self::Work(args) => work::run(args).await,
            Self::Push(args) => push::run(args).await,
            Self::Topic(command) => topic::run(command).await,
            Self::Bench(command) => bench::run(command).await,
            Self::Lag(args) => lag::run(args).await,
            Self::Doctor(args) => doctor::run(args).await,
            Self::Check(command) => check::run(command).await,
            Self::Group(command) => group::run(command).await,
            Self::Node(command) => nodes::run(command).await,
            Self::Unit(command) => units::run(command).await,
            Self::Offsets(command) => offsets::run(command).await,
            Self::Dead(command) => dead::run(command).await,
            Self::Completion(args) => completion::run(&args),
        }
    }
}
