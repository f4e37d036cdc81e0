//! With `-g`: how long a group waits for a node that is silent, and how often it commits.

use std::time::Duration;

use logmill::node::NodeBuilder;

use crate::input::parse_duration;

/// What the library's defaults are for, unless a group wants to notice a lost node sooner.
#[derive(Debug, clap::Args)]
pub(super) struct Timing {
    /// With -g: how long a unit stays a silent node's before others get it, such as 30s, the default
    #[arg(long, value_name = "TIME", requires = "group", value_parser = parse_duration)]
    lease: Option<Duration>,
    /// With -g: how long Kafka waits for a silent node before others plan its partitions; 45s
    #[arg(long, value_name = "TIME", requires = "group", value_parser = parse_duration)]
    session_timeout: Option<Duration>,
    /// With -g: how often watermarks are committed to Kafka; 5s
    #[arg(long, value_name = "TIME", requires = "group", value_parser = parse_duration)]
    commit_interval: Option<Duration>,
}

impl Timing {
    /// Sets what was given.
    pub(super) fn apply<W>(&self, mut node: NodeBuilder<W>) -> NodeBuilder<W> {
        if let Some(lease) = self.lease {
            node = node.lease(lease);
        }
        if let Some(timeout) = self.session_timeout {
            node = node.session_timeout(timeout);
        }
        if let Some(interval) = self.commit_interval {
            node = node.commit_interval(interval);
        }
        node
    }
}
