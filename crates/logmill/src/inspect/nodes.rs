//! The nodes of a group, as its store and Kafka's consumer group know them.

use std::collections::BTreeMap;
use std::time::Duration;

use logmill_protocol::ids::Partition;

use crate::client::Client;
use crate::client::admin::DescribedMember;
use crate::error::Result;
use crate::node::About;
use crate::store::Store;
use crate::units;

/// A node of a group, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeSeen {
    /// Its name.
    pub node: String,
    /// Where it connects from, as the broker sees it; known of those that organise.
    pub host: Option<String>,
    /// The id of its process.
    pub pid: Option<u32>,
    /// When it began, in milliseconds since 1970 by its own clock.
    pub since_ms: Option<i64>,
    /// How many records it handles at once.
    pub handlers: Option<usize>,
    /// How long ago it was heard of, if the store knows it.
    pub seen: Option<Duration>,
    /// How many units it holds, if the store knows it.
    pub leased: Option<u64>,
    /// The partitions that it organises.
    pub organises: Vec<Partition>,
    /// No other process shares its store: nobody else handles what it organises.
    pub private_store: bool,
}

/// The nodes that a group has now, by name. Without its store only those that organise are known: all of them where
/// each process has a store of its own, at most three else.
///
/// # Errors
/// Kafka or the store does not answer in time.
pub async fn nodes(client: &Client, group: &str, store: Option<&dyn Store>) -> Result<Vec<NodeSeen>> {
    let mut nodes = BTreeMap::new();
    if let Some(store) = store {
        of_store(store, &mut nodes).await?;
    }
    let described = client.admin().describe_group(group).await?;
    for member in described.into_iter().flat_map(|group| group.members) {
        let Some((name, about)) = said_by(&member) else { continue };
        let node = nodes.entry(name.clone()).or_insert_with(|| {
            // In the newer protocol a member says no more than its name; those that speak it have a store of their own.
            let private_store = about.as_ref().is_none_or(|about| about.private_store);
            NodeSeen { private_store, ..NodeSeen::of(name, about) }
        });
        node.host = Some(member.host.trim_start_matches('/').to_owned());
        node.organises = member.partitions;
    }
    Ok(nodes.into_values().collect())
}

/// The name of a member that is a node, and what else it says of itself, if it can.
fn said_by(member: &DescribedMember) -> Option<(String, Option<About>)> {
    let Some(about) = About::read(&member.about) else {
        return member.node.clone().map(|name| (name, None));
    };
    Some((about.node.clone()?, Some(about)))
}

async fn of_store(store: &dyn Store, nodes: &mut BTreeMap<String, NodeSeen>) -> Result<()> {
    let overview = store.overview().await?;
    for view in overview.nodes {
        let mut node = NodeSeen::of(view.node, About::read(view.info.as_bytes()));
        node.seen = Some(Duration::from_millis(overview.now_ms.saturating_sub(view.seen_ms)));
        node.leased = Some(0);
        nodes.insert(node.node.clone(), node);
    }
    if overview.leased == 0 {
        return Ok(());
    }
    for partition in units::partitions(store).await? {
        let seen = units::of_partition(store, &partition).await?;
        for node in seen.into_iter().filter(units::UnitSeen::is_leased).filter_map(|unit| unit.node) {
            if let Some(node) = nodes.get_mut(&node) {
                *node.leased.get_or_insert(0) += 1;
            }
        }
    }
    Ok(())
}

impl NodeSeen {
    fn of(node: String, about: Option<About>) -> Self {
        Self {
            node,
            host: None,
            pid: about.as_ref().map(|about| about.pid),
            since_ms: about.as_ref().map(|about| about.since_ms),
            handlers: about.as_ref().map(|about| about.handlers),
            seen: None,
            leased: None,
            organises: Vec::new(),
            private_store: about.is_some_and(|about| about.private_store),
        }
    }
}
