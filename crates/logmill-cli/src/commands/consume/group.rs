//! A node of a group: prints each record, and settles it once its line is written and flushed.

use std::io::{BufWriter, Write};
use std::pin::pin;

use logmill::node::{Delivery, Node};

use super::super::node::{Goal, LOOK_EVERY};
use super::super::stop::Stop;
use super::Args;
use crate::exit::Outcome;
use crate::input::Bounds;
use crate::now::now;
use crate::output::{RecordView, Shape};

/// So many records are printed before stdout is flushed and they are settled, if so many are there.
const MOST_HELD: usize = 1_000;

pub(super) async fn run(args: &Args, group: &str, bounds: Bounds) -> Outcome {
    let shape = args.shape()?;
    let mut stop = Stop::listen()?;
    let mut builder = args.node.builder(&args.connect, group, &args.topics, bounds)?;
    let mut goal = None;
    if args.exit {
        goal = Some(Goal::new(&args.connect, group, &args.topics).await?);
        builder = builder.commit_interval(LOOK_EVERY);
    }
    let node = builder.build().await?;
    if !args.quiet {
        eprintln!("node {} of group {group}; Ctrl-C or SIGTERM drains it", node.name());
    }
    let worked = work(&node, &shape, args.count.unwrap_or(u64::MAX), goal.as_ref(), &mut stop).await;
    // What was printed is settled and committed, and the rest handed back, however the work ended.
    let drained = node.drain().await;
    worked?;
    Ok(drained?)
}

/// Prints and settles until somebody asks to stop, the count is reached, or the goal is.
async fn work(node: &Node, shape: &Shape, mut left: u64, goal: Option<&Goal>, stop: &mut Stop) -> Outcome {
    let mut out = BufWriter::new(std::io::stdout());
    let mut held: Vec<Delivery> = Vec::new();
    // One for all rounds: begun anew with each, it would never look while records keep coming.
    let mut goal = pin!(Goal::reached(goal));
    while left > 0 {
        let first = tokio::select! {
            biased;
            asked = stop.asked() => return asked,
            delivery = node.recv() => delivery?,
            reached = &mut goal => return reached,
        };
        let mut next = first;
        while let Some(delivery) = next {
            write(&mut out, shape, &delivery)?;
            held.push(delivery);
            left -= 1;
            if left == 0 || held.len() == MOST_HELD {
                break;
            }
            next = match now(pin!(node.recv())).await {
                Some(delivery) => delivery?,
                None => break,
            };
        }
        if held.is_empty() {
            return Ok(());
        }
        // Only now has the record reached whoever reads our output. If this fails, those held are dropped
        // unsettled, and come again.
        out.flush()?;
        held.drain(..).for_each(Delivery::ack);
    }
    Ok(())
}

fn write(out: &mut impl Write, shape: &Shape, delivery: &Delivery) -> std::io::Result<()> {
    let headers: Vec<_> = delivery.headers().map(|header| (header.key, header.value)).collect();
    shape.write(out, &RecordView::of(delivery, &headers))
}
