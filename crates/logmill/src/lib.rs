//! A work queue on the Kafka you already have, and a fast native Kafka client under it.

pub mod client;
pub mod config;
pub mod control;
mod error;
pub mod inspect;
pub mod ledger;
pub mod node;
mod observe;
mod organiser;
pub mod queue;
mod spans;
pub mod store;
pub mod units;

pub use client::producer::{Ack, Pending, ProduceError, Producer, Record};
pub use error::{Error, Result};
pub use logmill_protocol::error::ErrorCode;
pub use logmill_protocol::ids::{Lane, Offset, Partition, PartitionKey};
pub use logmill_protocol::records;
pub use node::{Json, Meta, Node, Outcome, Retry};

/// The README's code is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
