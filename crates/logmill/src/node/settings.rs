//! A node's settings, checked once when it is built.

use std::time::Duration;

use logmill_protocol::ids::MAX_LANES;

use super::breaker::Breaker;
use super::metrics::Metrics;
use super::order::{Blocks, Order};
use super::retry::Retry;
use crate::error::{Error, Result};

/// Where a group begins in a topic that it has never read. Resolved once, and committed before the
/// first record is handled. A partition that is added to the topic later begins at its first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// At the first record that the log still has.
    #[default]
    Earliest,
    /// At the next record that is produced.
    Latest,
    /// At the first record whose timestamp is at or after this one, in milliseconds since 1970.
    Timestamp(i64),
}

/// Whether a node joins Kafka's consumer group to plan units and commit watermarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Organise {
    /// With a store shared by all nodes, the first three do; with the store in memory, every one.
    #[default]
    Auto,
    /// It does.
    Always,
    /// It does not: other nodes must.
    Never,
}

/// Where a node's own tasks run: the connections, the store, the leases. Handlers run on the runtime
/// that the node was built on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Background {
    /// On a thread of their own, so that handlers that block lose no lease.
    #[default]
    OwnThread,
    /// On the runtime that the node was built on, with the handlers: for tests under paused time.
    Here,
}

/// What a node needs to know, after it was checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) group: String,
    pub(crate) topics: Vec<String>,
    /// A name unique among the group's nodes.
    pub(crate) node: String,
    pub(crate) concurrency: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) max_in_flight_bytes: usize,
    pub(crate) retry: Retry,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) order: Order,
    pub(crate) blocks: Blocks,
    pub(crate) handler_timeout: Option<Duration>,
    pub(crate) dead_letter_undecodable: bool,
    pub(crate) dead_letter_topic: Option<String>,
    pub(crate) ledger_topic: Option<String>,
    pub(crate) ledger_payload_bytes: usize,
    pub(crate) max_unit_attempts: u32,
    pub(crate) lease: Duration,
    pub(crate) start: Start,
    pub(crate) organise: Organise,
    pub(crate) commit_interval: Duration,
    pub(crate) session_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) unit_records: u32,
    pub(crate) max_units: u32,
    pub(crate) metrics: Metrics,
    pub(crate) seed: u64,
}

impl Settings {
    pub(crate) fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |property: &str, problem: &str| Err(Error::config(property, problem));
        match self {
            _ if self.group.is_empty() => {
                wrong("group", "a node needs the name of its group: .group(\"billing\")")
            }
            _ if self.topics.is_empty() => {
                wrong("topics", "a node needs a topic to read: .topics([\"orders\"])")
            }
            _ if self.concurrency == 0 => wrong("concurrency", "at least one handler is needed"),
            _ if self.max_in_flight == 0 || self.max_in_flight_bytes == 0 => {
                wrong("max_in_flight", "a node must be allowed to hold at least one record")
            }
            _ if self.lease < Duration::from_millis(100) => {
                wrong("lease", "a lease shorter than 100 ms is lost before it can be renewed")
            }
            _ if self.order.lanes() > MAX_LANES || self.order == (Order::ByKey { lanes: 0 }) => {
                wrong("order", "a partition has 1 to 256 lanes")
            }
            _ if self.commit_interval.is_zero() => wrong("commit_interval", "it must be longer than zero"),
            _ if self.unit_records == 0 || self.max_units == 0 => {
                wrong("unit_records", "a unit has at least one record, and a partition at least one unit")
            }
            Self { breaker: Some(breaker), .. } if let Some(problem) = breaker.problem() => {
                wrong("breaker", problem)
            }
            _ => Ok(()),
        }
    }
}
