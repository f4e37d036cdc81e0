//! The flags of every command that is a node of a group, and the node they set up.

use std::time::Duration;

use clap::ValueEnum;
use logmill::node::{Node, NodeBuilder, Order, Start};

use crate::exit::{Failure, Outcome};
use crate::input::{Bounds, Connect, Position, parse_duration, redis};

/// In which order a group's records are handled.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum OrderFlag {
    /// Any
    #[default]
    Unordered,
    /// Records of one key one after the other, on whichever node
    Key,
    /// Records of one partition one after the other
    Partition,
}

/// The library's defaults, unless a group needs others.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Node of a group (with -g)")]
pub(crate) struct NodeFlags {
    /// Where the group's units are shared; else LOGMILL_REDIS. Without it they are kept in memory. As a bare flag:
    /// REDIS_URL, else redis://127.0.0.1:6379
    #[arg(long, value_name = "URL", requires = "group", num_args = 0..=1, default_missing_value = "")]
    redis: Option<String>,
    /// In which order records are handled; all nodes of a group need the same
    #[arg(long, value_enum, requires = "group", default_value_t)]
    order: OrderFlag,
    /// With --order key: into how many lanes a partition is split; so many nodes can share it
    #[arg(long, value_name = "K", requires = "group", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    lanes: u16,
    /// How long, in seconds, to finish what is in hand when asked to stop
    #[arg(long, value_name = "SECONDS", requires = "group", default_value_t = 30)]
    drain_timeout: u64,
    /// How long a unit stays a silent node's before others get it, such as 30s, the default
    #[arg(long, value_name = "TIME", requires = "group", value_parser = parse_duration)]
    lease: Option<Duration>,
    /// How long Kafka waits for a silent node before others plan its partitions; 45s
    #[arg(long, value_name = "TIME", requires = "group", value_parser = parse_duration)]
    session_timeout: Option<Duration>,
    /// How often watermarks are committed to Kafka; 5s
    #[arg(long, value_name = "TIME", requires = "group", value_parser = parse_duration)]
    commit_interval: Option<Duration>,
    /// Answer over HTTP at this address how the node is: /livez, /readyz, /metrics
    #[arg(long, value_name = "HOST:PORT", requires = "group")]
    admin_http: Option<String>,
}

impl OrderFlag {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unordered => "unordered",
            Self::Key => "key",
            Self::Partition => "partition",
        }
    }

    /// The order it means; by key in so many lanes.
    pub(crate) fn order(self, lanes: u16) -> Order {
        match self {
            Self::Unordered => Order::Unordered,
            Self::Key => Order::ByKey { lanes },
            Self::Partition => Order::ByPartition,
        }
    }
}

impl NodeFlags {
    /// A node of this group, set up as the flags say.
    ///
    /// # Errors
    /// A setting or a place to start cannot be used.
    pub(crate) fn builder(
        &self,
        connect: &Connect,
        group: &str,
        topics: &[String],
        bounds: Bounds,
    ) -> Outcome<NodeBuilder> {
        let mut node = Node::builder()
            .brokers(connect.brokers())
            .group(group)
            .topics(topics)
            .start(start(bounds)?)
            .order(self.order.order(self.lanes))
            .drain_timeout(self.drain_timeout());
        for (name, value) in connect.settings()? {
            node = node.set(name, value);
        }
        if let Some(url) = redis(self.redis.as_deref()) {
            node = node.redis(url);
        }
        if let Some(lease) = self.lease {
            node = node.lease(lease);
        }
        if let Some(timeout) = self.session_timeout {
            node = node.session_timeout(timeout);
        }
        if let Some(interval) = self.commit_interval {
            node = node.commit_interval(interval);
        }
        if let Some(address) = &self.admin_http {
            node = node.admin_http(address);
        }
        Ok(node)
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout)
    }
}

/// Where a new group starts.
fn start(bounds: Bounds) -> Outcome<Start> {
    if bounds.until.is_some() {
        return Err(Failure::usage("-o e@TIME is for reading without -g: a group does not stop at a time"));
    }
    match bounds.start {
        None | Some(Position::Beginning | Position::Stored) => Ok(Start::Earliest),
        Some(Position::End) => Ok(Start::Latest),
        Some(Position::From(ms)) => Ok(Start::Timestamp(ms)),
        Some(Position::At(_) | Position::Last(_) | Position::Until(_)) => Err(Failure::usage(
            "with -g, -o is beginning, end, stored or s@TIME: an offset is of one partition only",
        )),
    }
}
