//! What the group survives: real Apache Kafka, real Redis, three node processes, and one fault at a time.
//!
//! The nodes are the built program, `logmill consume -g`, which settles a record once its line is out. Every
//! record carries its number, every printed line is counted by it: none may be missing (DESIGN P1), and those
//! that came twice must be ones that the fault allows (P2). At the end the watermarks stand at the logs' ends.
//!
//! | file | has |
//! |---|---|
//! | `servers` | one Kafka for all scenarios, and which scenario's turn it is |
//! | `node` | one process: started, killed, paused, its lines read |
//! | `tally` | who printed what, and when |
//! | `fleet` | three nodes of a group, and the verdict |
//! | `dead`, `members`, `nodes`, `order`, `redis`, `kafka`, `template` | the scenarios |
#![allow(clippy::unwrap_used)]

mod control;
mod dead;
mod fleet;
mod kafka;
mod members;
mod node;
mod nodes;
mod order;
mod redis;
mod servers;
mod tally;
mod template;
