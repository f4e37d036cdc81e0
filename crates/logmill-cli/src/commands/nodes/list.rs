//! `logmill node list`.

use logmill::control::{Asked, Wish};
use logmill::inspect::{self, NodeSeen};
use logmill::store::Store;
use serde::Serialize;

use crate::exit::Outcome;
use crate::input::OfGroup;
use crate::output::{Output, Row, ago, now_ms, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: OfGroup,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// As --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

#[derive(Serialize)]
struct NodeRow {
    node: String,
    /// As the broker sees it; null of nodes that do not organise.
    host: Option<String>,
    pid: Option<u32>,
    /// In milliseconds since 1970, by the node's clock.
    since_ms: Option<i64>,
    handlers: Option<usize>,
    /// Null where the store is not asked.
    units: Option<u64>,
    /// In milliseconds, since the store heard of it. Null where the store is not asked.
    silent_ms: Option<u64>,
    organises: Vec<String>,
    /// No other process shares its store.
    private_store: bool,
    /// `quiet`, `drain` or null.
    asked: Option<&'static str>,
    asked_by: Option<String>,
}

impl Row for NodeRow {
    const HEAD: &'static [&'static str] =
        &["NODE", "HOST", "PID", "UP", "HANDLERS", "UNITS", "ORGANISES", "SEEN", "ASKED"];

    fn cells(&self) -> Vec<String> {
        fn shown<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(|| "-".to_owned(), |value| value.to_string())
        }
        let seen = self.silent_ms.map(|ms| ago(0, i64::try_from(ms).unwrap_or(i64::MAX)));
        vec![
            self.node.clone(),
            shown(self.host.as_ref()),
            shown(self.pid),
            shown(self.since_ms.map(|since| ago(since, now_ms()))),
            shown(self.handlers),
            shown(self.units),
            self.organises.len().to_string(),
            shown(seen),
            shown(self.asked),
        ]
    }
}

pub(super) async fn run(args: Args) -> Outcome {
    let (client, store) = (args.of.client().await?, args.of.store().await?);
    let group = args.of.group();
    let nodes = inspect::nodes(&client, group, store.as_ref().map(|store| store as &dyn Store)).await?;
    let asked = args.of.control_over(&client).asked().await?;
    if !is_all(&nodes, store.is_some()) {
        eprintln!("without --redis only nodes that organise are known");
    }
    let rows: Vec<_> = nodes.into_iter().map(|node| row(node, &asked)).collect();
    Ok(print(&rows, if args.json { Output::Json } else { args.output })?)
}

/// Whether a group has no other nodes: its store was asked, or each of them has one of its own and so organises.
pub(super) fn is_all(nodes: &[NodeSeen], has_store: bool) -> bool {
    has_store || nodes.iter().any(|node| node.private_store)
}

fn row(node: NodeSeen, asked: &Asked) -> NodeRow {
    let asked = asked.of_node(&node.node);
    NodeRow {
        asked: asked.map(|asked| match asked.wish {
            Wish::Drain => "drain",
            _ => "quiet",
        }),
        asked_by: asked.map(|asked| asked.by.clone()),
        node: node.node,
        host: node.host,
        pid: node.pid,
        since_ms: node.since_ms,
        handlers: node.handlers,
        units: node.leased,
        silent_ms: node.seen.map(|seen| u64::try_from(seen.as_millis()).unwrap_or(u64::MAX)),
        organises: node.organises.iter().map(ToString::to_string).collect(),
        private_store: node.private_store,
    }
}
