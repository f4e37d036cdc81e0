//! Runs logmill and its peers against one Apache Kafka, round after round, each in its turn, and prints medians and
//! ratios. `bench-peers/run` builds everything and starts this.

mod broker;
mod peers;
mod table;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use broker::Broker;
use peers::{Line, Peer, Work};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Produce,
    Consume,
    Queue,
}

/// Measures logmill beside other clients, on one broker, in one run.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure
    #[arg(required = true)]
    what: Vec<What>,
    /// How often every peer takes its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only these peers, by name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Records measured in each run of produce and consume
    #[arg(long, default_value_t = 3_000_000)]
    records: usize,
    /// Records before the measuring starts
    #[arg(long, default_value_t = 1_000_000)]
    warmup: usize,
    /// Bytes of a record's value
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Partitions of the topic for produce and consume
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// How long a batch waits for more records, for all peers
    #[arg(long, default_value_t = 5)]
    linger_ms: u64,
    /// The largest batch, for all peers
    #[arg(long, default_value_t = 1_000_000)]
    batch_bytes: usize,
    /// Queue: how many handlers
    #[arg(long, default_value_t = 100)]
    handlers: usize,
    /// Queue: what a handler waits, in milliseconds; 0 for handlers that do nothing
    #[arg(long, default_value_t = 10)]
    handler_ms: u64,
    /// Queue: in which order; only some peers know an order by key
    #[arg(long, default_value = "unordered", value_parser = ["unordered", "key"])]
    order: String,
    /// Queue: how many keys the records have; 0 for none
    #[arg(long, default_value_t = 0)]
    keys: u64,
    /// Queue: partitions of the topic
    #[arg(long, default_value_t = 1)]
    queue_partitions: i32,
    /// Queue: seconds from the first record handled to the first one counted
    #[arg(long, default_value_t = 5)]
    queue_warmup_seconds: u64,
    /// Queue: seconds measured
    #[arg(long, default_value_t = 5)]
    queue_seconds: u64,
    /// Measure against these brokers instead of starting one
    #[arg(long)]
    brokers: Option<String>,
    /// Also write every line measured to this file
    #[arg(long)]
    lines: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let args = Args::parse();
    eprintln!("starting the broker");
    let broker = Broker::start(args.brokers.clone()).await?;
    let mut lines = Vec::new();
    for what in &args.what {
        let measured = match what {
            What::Produce => produce(&args, &broker).await?,
            What::Consume => consume(&args, &broker).await?,
            What::Queue => queue(&args, &broker).await?,
        };
        println!("{}", table::render(*what, &args, &measured));
        lines.extend(measured.lines);
    }
    if let Some(path) = &args.lines {
        let text: Vec<String> = lines.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        std::fs::write(path, text.join("\n") + "\n")?;
    }
    Ok(())
}

/// What was measured, and what failed instead: that is told beside the figures, and the others go on.
#[derive(Default)]
struct Measured {
    lines: Vec<Line>,
    failures: Vec<String>,
}

impl Measured {
    async fn turn(&mut self, peer: &Peer, round: usize, work: &Work) {
        match peer.run(round, work).await {
            Ok(lines) => self.lines.extend(lines),
            Err(problem) => {
                let failure = format!("round {}: {problem}", round + 1);
                eprintln!("    {failure}");
                self.failures.push(failure);
            }
        }
    }
}

fn chosen(args: &Args, what: What) -> Vec<Peer> {
    let mut peers = peers::all(what);
    peers.retain(|peer| args.only.is_empty() || args.only.iter().any(|name| name == peer.name));
    peers.retain(|peer| what != What::Queue || args.order != "key" || peer.orders_by_key());
    peers
}

async fn produce(args: &Args, broker: &Broker) -> Outcome<Measured> {
    let peers = chosen(args, What::Produce);
    let mut measured = Measured::default();
    for round in 0..args.rounds {
        for turn in 0..peers.len() {
            // Everyone is first once, so that nobody always runs on a cold broker.
            let peer = &peers[(turn + round) % peers.len()];
            let topic = format!("produce-{round}-{}", peer.name);
            broker.create_topic(&topic, args.partitions).await?;
            let work = Work::stream(args, broker, &topic, args.records);
            measured.turn(peer, round, &work).await;
            broker.delete_topic(&topic).await?;
        }
    }
    Ok(measured)
}

async fn consume(args: &Args, broker: &Broker) -> Outcome<Measured> {
    let peers = chosen(args, What::Consume);
    let topic = "consume";
    broker.create_topic(topic, args.partitions).await?;
    // Some more than are read, so that no reader waits at the end for the last record of one partition.
    let filling = Work::stream(args, broker, topic, args.records + args.records / 4);
    peers::filler().run(0, &filling).await?;
    let mut measured = Measured::default();
    for round in 0..args.rounds {
        for turn in 0..peers.len() {
            let peer = &peers[(turn + round) % peers.len()];
            measured.turn(peer, round, &Work::stream(args, broker, topic, args.records)).await;
        }
    }
    broker.delete_topic(topic).await?;
    Ok(measured)
}

async fn queue(args: &Args, broker: &Broker) -> Outcome<Measured> {
    let peers = chosen(args, What::Queue);
    let topic = format!("queue-{}", args.handlers);
    broker.create_topic(&topic, args.queue_partitions).await?;
    peers::filler().run(0, &Work::to_fill_queue(args, broker, &topic)).await?;
    let mut measured = Measured::default();
    for round in 0..args.rounds {
        for turn in 0..peers.len() {
            let peer = &peers[(turn + round) % peers.len()];
            let group = format!("{}-{}-{round}", peer.name, args.handlers);
            measured.turn(peer, round, &Work::queue(args, broker, &topic, &group)).await;
        }
    }
    broker.delete_topic(&topic).await?;
    Ok(measured)
}
