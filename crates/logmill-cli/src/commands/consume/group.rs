//! A node of a group: prints each record, and settles it once its line is written and flushed.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::pin::pin;
use std::time::Duration;

use logmill::client::Client;
use logmill::client::admin::OffsetAt;
use logmill::client::fetch::Isolation;
use logmill::node::{Delivery, Node, Start};
use logmill::{Offset, Partition};

use super::super::stop::Stop;
use super::Args;
use crate::exit::{Failure, Outcome};
use crate::input::{Bounds, Position, redis};
use crate::now::now;
use crate::output::{RecordView, Shape};

/// So many records are printed before stdout is flushed and they are settled, if so many are there.
const MOST_HELD: usize = 1_000;
/// With -e: how often it is looked whether the group is through, and how often watermarks are committed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(args: &Args, group: &str, bounds: Bounds) -> Outcome {
    let shape = args.shape()?;
    let mut stop = Stop::listen()?;
    let mut builder = Node::builder()
        .brokers(args.connect.brokers())
        .group(group)
        .topics(&args.topics)
        .start(start(bounds)?)
        .drain_timeout(args.drain_timeout());
    for (name, value) in args.connect.settings()? {
        builder = builder.set(name, value);
    }
    builder = args.timing.apply(builder);
    if let Some(url) = redis(args.redis.as_deref()) {
        builder = builder.redis(url);
    }
    let mut goal = None;
    if args.exit {
        goal = Some(Goal::new(args, group).await?);
        builder = builder.commit_interval(LOOK_EVERY);
    }
    let node = builder.build().await?;
    if !args.quiet {
        eprintln!("node {} of group {group}; Ctrl-C or SIGTERM drains it", node.name());
    }
    let worked = work(&node, &shape, args.count.unwrap_or(u64::MAX), goal, &mut stop).await;
    // What was printed is settled and committed, and the rest handed back, however the work ended.
    let drained = node.drain().await;
    worked?;
    Ok(drained?)
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

/// Prints and settles until somebody asks to stop, the count is reached, or the goal is.
async fn work(node: &Node, shape: &Shape, mut left: u64, goal: Option<Goal>, stop: &mut Stop) -> Outcome {
    let mut out = BufWriter::new(std::io::stdout());
    let mut held: Vec<Delivery> = Vec::new();
    // One for all rounds: begun anew with each, it would never look while records keep coming.
    let mut goal = pin!(async {
        match &goal {
            Some(goal) => goal.reached().await,
            None => std::future::pending().await,
        }
    });
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
    let view = RecordView {
        topic: delivery.topic(),
        partition: delivery.partition(),
        offset: delivery.offset(),
        timestamp: delivery.timestamp(),
        log_append_time: false,
        key: delivery.key().map(|key| &key[..]),
        value: delivery.value().map(|value| &value[..]),
        headers: &headers,
    };
    shape.write(out, &view)
}

/// With -e: everything that was there at the start.
struct Goal {
    client: Client,
    group: String,
    ends: BTreeMap<Partition, Offset>,
}

impl Goal {
    async fn new(args: &Args, group: &str) -> Outcome<Self> {
        let mut builder = Client::builder().brokers(args.connect.brokers());
        for (name, value) in args.connect.settings()? {
            builder = builder.set(name, value);
        }
        let client = builder.connect().await?;
        let mut asked = Vec::new();
        for topic in &args.topics {
            let partitions = client.topic(topic).await?.partitions.len();
            asked.extend(
                (0..partitions).map(|index| (Partition::new(topic.as_str(), index as i32), OffsetAt::End)),
            );
        }
        let mut ends = BTreeMap::new();
        for (partition, listed) in client.admin().list_offsets(asked, Isolation::Committed).await {
            ends.insert(partition, listed?.offset.unwrap_or(0));
        }
        Ok(Self { client, group: group.to_owned(), ends })
    }

    /// Returns when the group, this node or another, has committed all of it.
    async fn reached(&self) -> Outcome {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let committed = self.client.admin().committed(&self.group, None).await?;
            let is_past = |(partition, end): (&Partition, &Offset)| {
                committed.get(partition).is_some_and(|committed| committed.offset >= *end)
            };
            if self.ends.iter().all(is_past) {
                return Ok(());
            }
        }
    }
}
