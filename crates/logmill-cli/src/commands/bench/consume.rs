//! `logmill bench consume`.

use logmill::client::fetch::{FetchOptions, Position};
use logmill::records::Decompressor;

use super::Repeat;
use super::measure::Begun;
use super::place::{Place, TopicArgs};
use super::report::Report;
use crate::exit::{Failure, Outcome};
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
    let begins = place.stock(&args.connect, args.records + args.warmup, args.topic.size, 0).await?;
    let options = FetchOptions::from_settings(place.client.settings());
    let mut report = Report::new("consume");
    report.set("brokers", args.connect.brokers());
    report.set("partitions", begins.len());
    report.set("records", args.records);
    report.set("warm-up", args.warmup);
    let known = place.client.settings();
    for name in ["isolation.level", "fetch.max.bytes", "max.partition.fetch.bytes"] {
        report.set(name, known.text(name));
    }
    for _ in 0..args.repeat.runs {
        let client = args.connect.client().await?;
        let from = begins.iter().map(|(partition, begin)| (partition.clone(), Position::at(*begin)));
        let mut stream = client.stream(from, &options);
        let mut decompressor = Decompressor::default();
        let (mut total, mut bytes) = (0u64, 0u64);
        let mut read = async |records: u64| {
            let before = total;
            while total < before + records {
                let fetched = stream.next().await?;
                for batch in &fetched.batches {
                    let records = batch.records(&mut decompressor).map_err(Failure::failed)?;
                    for record in records.iter() {
                        let record = record.map_err(Failure::failed)?;
                        bytes += record.value.map_or(0, <[u8]>::len) as u64;
                        total += 1;
                    }
                }
            }
            Ok::<_, Failure>(total - before)
        };
        read(args.warmup).await?;
        let begun = Begun::now()?;
        let records = read(args.records).await?;
        report.add("consume", begun.after(records)?);
        report.set("bytes of values read", bytes);
        client.close();
    }
    report.print(args.repeat.json)
}
