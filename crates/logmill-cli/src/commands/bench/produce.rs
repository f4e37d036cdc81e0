//! `logmill bench produce`.

use super::Repeat;
use super::measure::Begun;
use super::payload::values;
use super::place::{Place, TopicArgs, producer, send};
use super::report::Report;
use crate::exit::Outcome;
use crate::input::Connect;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    topic: TopicArgs,
    /// Partitions of a topic that is made
    #[arg(long, default_value_t = 6)]
    partitions: u32,
    /// Records of each run
    #[arg(long, default_value_t = 3_000_000)]
    records: u64,
    /// Records before each run that do not count
    #[arg(long, default_value_t = 500_000)]
    warmup: u64,
    #[command(flatten)]
    repeat: Repeat,
}

pub(crate) async fn run(args: Args) -> Outcome {
    let place = Place::find(&args.connect, &args.topic, args.partitions).await?;
    place.then_leave(measure(&args, &place)).await
}

async fn measure(args: &Args, place: &Place) -> Outcome {
    let mut report = Report::new("produce");
    report.set("brokers", args.connect.brokers());
    report.set("partitions", place.partitions().await?.len());
    report.set("records", args.records);
    report.set("warm-up", args.warmup);
    report.set("bytes of a value", args.topic.size);
    let producer_settings = args.connect.settings()?;
    let known = place.client.settings();
    for name in ["acks", "enable.idempotence", "compression.type", "linger.ms", "batch.size", "buffer.memory"]
    {
        report.set(name, known.text(name));
    }
    for (name, value) in producer_settings {
        report.set("-X", format!("{name}={value}"));
    }
    let values = values(args.topic.size);
    for _ in 0..args.repeat.runs {
        let producer = producer(&args.connect).await?;
        send(&producer, &place.topic, &values, 0, args.warmup).await?;
        let begun = Begun::now()?;
        send(&producer, &place.topic, &values, 0, args.records).await?;
        report.add("produce", begun.after(args.records)?);
        producer.close().await?;
    }
    report.print(args.repeat.json)
}
