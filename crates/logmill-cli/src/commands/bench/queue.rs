//! `logmill bench queue`: handlers that wait, on a node, and the same handlers in a bare loop without one. The loop
//! is what is possible on this machine, since timers end late. Handlers that do nothing have no such ideal: they are
//! measured from a fifth of the records to the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use logmill::Node;
use logmill::node::Value;
use tokio::time::{sleep, timeout};

use super::super::node::OrderFlag;
use super::Repeat;
use super::measure::{Begun, Measured};
use super::place::{Place, TopicArgs};
use super::report::{IDEAL, Report};
use crate::exit::{Exit, Failure, Outcome};
use crate::input::Connect;

/// A node that has not come so far after this time will not.
const WITHIN: Duration = Duration::from_secs(60);

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    topic: TopicArgs,
    /// Partitions of a topic that is made
    #[arg(long, default_value_t = 1)]
    partitions: u32,
    /// The group; each run after the first adds its number. Without it, one is made, and deleted afterwards.
    #[arg(short = 'g', long)]
    group: Option<String>,
    /// How many records are handled at once
    #[arg(long, default_value_t = 100)]
    handlers: usize,
    /// How long a handler waits, in milliseconds; 0 for handlers that do nothing
    #[arg(long, default_value_t = 10)]
    handler_ms: u64,
    /// With handlers that do nothing: how many records
    #[arg(long, default_value_t = 3_000_000)]
    records: u64,
    /// In which order records are handled
    #[arg(long, value_enum, default_value_t)]
    order: OrderFlag,
    /// With --order key: into how many lanes a partition is split
    #[arg(long, value_name = "K", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    lanes: u16,
    /// The records of a topic that is made have so many different keys; 0 for none
    #[arg(long, default_value_t = 0)]
    keys: u64,
    /// Seconds of each run
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Seconds from the first record handled that do not count
    #[arg(long, default_value_t = 2)]
    warmup_seconds: u64,
    /// Keep the group's state in this Redis instead of in memory
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    #[command(flatten)]
    repeat: Repeat,
}

pub(crate) async fn run(args: Args) -> Outcome {
    let place = Place::find(&args.connect, &args.topic, args.partitions).await?;
    place.then_leave(measure(&args, &place)).await
}

async fn measure(args: &Args, place: &Place) -> Outcome {
    let records = match args.handlers as u64 * 1000 {
        // What handlers that end on time would do, and a second more: none may run dry before the end.
        second if args.handler_ms > 0 => second / args.handler_ms * (args.seconds + args.warmup_seconds + 1),
        _ => args.records,
    };
    place.stock(&args.connect, records, args.topic.size, args.keys).await?;
    let mut report = Report::new("queue");
    report.set("brokers", args.connect.brokers());
    report.set("store", args.redis.as_deref().unwrap_or("memory"));
    report.set("partitions", place.partitions().await?.len());
    report.set("handlers", args.handlers);
    report.set("order", args.order.name());
    report.set("handler waits, ms", args.handler_ms);
    if args.handler_ms > 0 {
        report.set("seconds", args.seconds);
        report.set("warm-up, seconds", args.warmup_seconds);
    } else {
        report.set("records", args.records);
    }
    for run in 1..=args.repeat.runs {
        if args.handler_ms > 0 {
            report.add(IDEAL, bare_loop(args).await?);
        }
        let given = args.group.clone().unwrap_or_else(|| place.topic.clone());
        let group = if run == 1 { given } else { format!("{given}-{run}") };
        report.add("queue", node(args, place, &group).await?);
        if args.group.is_none() {
            place.client.admin().delete_group(&group).await?;
        }
    }
    report.print(args.repeat.json)
}

async fn bare_loop(args: &Args) -> Outcome<Measured> {
    let (handled, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let wait = Duration::from_millis(args.handler_ms);
    let handlers: Vec<_> = (0..args.handlers)
        .map(|_| {
            let (handled, over) = (handled.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    sleep(wait).await;
                    handled.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let measured = window(args, Duration::from_secs(1), &handled).await;
    over.store(true, Ordering::Relaxed);
    for handler in handlers {
        handler.await.map_err(Failure::failed)?;
    }
    measured
}

async fn node(args: &Args, place: &Place, group: &str) -> Outcome<Measured> {
    let handled = Arc::new(AtomicU64::new(0));
    let (counter, wait) = (handled.clone(), Duration::from_millis(args.handler_ms));
    let mut builder = Node::builder()
        .brokers(args.connect.brokers())
        .group(group)
        .topics([&place.topic])
        .concurrency(args.handlers)
        .order(args.order.order(args.lanes))
        .handler(move |value: Value| {
            let counter = counter.clone();
            async move {
                if !wait.is_zero() {
                    sleep(wait).await;
                }
                std::hint::black_box(&value);
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
    if let Some(url) = &args.redis {
        builder = builder.redis(url);
    }
    for (name, value) in args.connect.settings()? {
        builder = builder.set(name, value);
    }
    let node = builder.build().await?;
    let measured = match args.handler_ms {
        0 => counted(args.records, &handled).await,
        _ => window(args, Duration::from_secs(args.warmup_seconds), &handled).await,
    };
    let drained = node.drain().await;
    let measured = measured?;
    drained?;
    Ok(measured)
}

/// Waits for the first record and for `warmup` more, and counts from then on.
async fn window(args: &Args, warmup: Duration, handled: &AtomicU64) -> Outcome<Measured> {
    reaches(handled, 1).await?;
    sleep(warmup).await;
    let (before, begun) = (handled.load(Ordering::Relaxed), Begun::now()?);
    sleep(Duration::from_secs(args.seconds)).await;
    begun.after(handled.load(Ordering::Relaxed) - before)
}

/// From a fifth of the records to the last.
async fn counted(records: u64, handled: &AtomicU64) -> Outcome<Measured> {
    reaches(handled, records / 5).await?;
    let (before, begun) = (handled.load(Ordering::Relaxed), Begun::now()?);
    reaches(handled, records).await?;
    begun.after(handled.load(Ordering::Relaxed) - before)
}

/// Waits until so many are handled.
async fn reaches(handled: &AtomicU64, records: u64) -> Outcome {
    let reached = async {
        while handled.load(Ordering::Relaxed) < records {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(WITHIN, reached).await.map_err(|_| {
        let (within, handled) = (WITHIN.as_secs(), handled.load(Ordering::Relaxed));
        let text = format!(
            "{handled} of {records} records were handled within {within} s; -v says what the node does"
        );
        Failure::new(Exit::TimedOut, text)
    })
}
