//! `logmill node quiet`, `resume` and `drain`: told first, done with `--execute`.

use std::time::Duration;

use logmill::control::Control;
use logmill::inspect::{self, NodeSeen};
use logmill::store::Store;
use tokio::time::{Instant, sleep};

use super::list::is_all;
use crate::exit::{Exit, Failure, Outcome};
use crate::input::{NamedGroup, parse_duration, user};

/// How often it is looked whether nodes have gone.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: NamedGroup,
    /// The node, by the name that `logmill node list` shows
    #[arg(value_name = "NODE", required_unless_present = "all")]
    node: Option<String>,
    /// Every node that the group has now
    #[arg(long, conflicts_with = "node")]
    all: bool,
    /// Do it. Without this, only what would be done is told
    #[arg(long)]
    execute: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    args: Args,
    /// How long to wait for the node to end
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

/// Which nodes are meant, and the way to them.
struct Meant {
    control: Control,
    nodes: Vec<NodeSeen>,
}

impl Args {
    async fn meant(&self) -> Outcome<Meant> {
        let group = &self.of;
        let (client, store) = (group.client().await?, group.store().await?);
        let control = group.control_over(&client);
        let seen =
            inspect::nodes(&client, group.group(), store.as_ref().map(|store| store as &dyn Store)).await?;
        let is_all = is_all(&seen, store.is_some());
        if is_all && self.execute {
            control.forget_gone(|node| seen.iter().any(|seen| seen.node == node)).await?;
        }
        let Some(name) = &self.node else {
            if seen.is_empty() {
                let text = format!("group {:?} has no nodes that are known", group.group());
                return Err(Failure::new(Exit::NotFound, text));
            }
            if !is_all {
                return Err(Failure::usage(
                    "--all needs --redis: without it only nodes that organise are known",
                ));
            }
            return Ok(Meant { control, nodes: seen });
        };
        let found: Vec<_> = seen.into_iter().filter(|node| node.node == *name).collect();
        if found.is_empty() {
            let of = format!("{name:?} in group {:?}", group.group());
            let text = if is_all {
                format!("there is no node {of}; `logmill node list` shows those there are")
            } else {
                format!("no node {of} organises; others are known with --redis")
            };
            return Err(Failure::new(Exit::NotFound, text));
        }
        Ok(Meant { control, nodes: found })
    }

    fn may_act(&self) -> bool {
        if !self.execute {
            eprintln!("nothing done: add --execute");
        }
        self.execute
    }
}

/// As in `; it holds 4 unit(s)`.
fn holding(node: &NodeSeen) -> String {
    node.leased.map_or_else(String::new, |units| format!("; it holds {units} unit(s)"))
}

pub(super) async fn quiet(args: Args) -> Outcome {
    let Meant { control, nodes } = args.meant().await?;
    for node in &nodes {
        println!("would have {} take no more units{}", node.node, holding(node));
        if node.private_store && !node.organises.is_empty() {
            eprintln!(
                "{} has its store in memory: nobody handles its {} partition(s) while it is quiet; draining it gives \
                 them to others",
                node.node,
                node.organises.len()
            );
        }
    }
    if !args.may_act() {
        return Ok(());
    }
    for NodeSeen { node, .. } in &nodes {
        match control.quiet(node, &user()).await? {
            true => println!("{node} is asked to be quiet"),
            false => println!("{node} was asked to be quiet already"),
        }
    }
    Ok(())
}

pub(super) async fn resume(args: Args) -> Outcome {
    let Meant { control, nodes } = args.meant().await?;
    for NodeSeen { node, .. } in &nodes {
        println!("would have {node} take units again");
    }
    if !args.may_act() {
        return Ok(());
    }
    for NodeSeen { node, .. } in &nodes {
        match control.resume_node(node).await? {
            true => println!("{node} takes units again"),
            false => println!("{node} was not quiet"),
        }
    }
    Ok(())
}

pub(super) async fn drain(DrainArgs { args, timeout }: DrainArgs) -> Outcome {
    let Meant { control, nodes } = args.meant().await?;
    for node in &nodes {
        println!("would drain {}{}", node.node, holding(node));
    }
    if !args.may_act() {
        return Ok(());
    }
    for NodeSeen { node, .. } in &nodes {
        control.drain(node, &user()).await?;
    }
    let (deadline, all) = (Instant::now() + timeout, nodes.len());
    let mut left = nodes;
    loop {
        let asked = control.asked().await?;
        let gone = left.extract_if(.., |node| asked.of_node(&node.node).is_none());
        gone.for_each(|node| println!("drained {}", node.node));
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            break;
        }
        sleep(LOOK).await;
    }
    for NodeSeen { node, .. } in &left {
        eprintln!("{node} has not ended in time; it stays asked to");
    }
    let exit = if left.len() == all { Exit::TimedOut } else { Exit::Partly };
    Err(Failure::new(exit, format!("{} of {all} node(s) are not drained yet", left.len())))
}
