//! `logmill broker`: the embedded Kafka-compatible cluster on TCP, for any client in any language.

use std::io::Write;

use logmill_testkit::{Cluster, ClusterOptions, ListenOptions};

use super::stop::Stop;
use crate::exit::{Failure, Outcome};

/// The first line on stdout is BROKERS=host:port[,…]; then it serves until it is stopped with Ctrl-C or
/// SIGTERM. Records are kept in memory, and gone when it ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first broker's port, the next ones following; 0 takes free ones
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// How many brokers
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    brokers: u16,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    bind: String,
    /// The host that clients are told to connect to; the bound address unless given
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Make a topic at the start, with so many partitions; may be given often
    #[arg(short = 't', long = "topic", value_name = "TOPIC[:PARTITIONS]", value_parser = parse_topic)]
    topics: Vec<(String, i32)>,
    /// Make topics that clients ask for and that do not exist
    #[arg(long)]
    auto_create_topics: bool,
}

fn parse_topic(text: &str) -> Result<(String, i32), String> {
    let (name, partitions) = text.split_once(':').unwrap_or((text, "1"));
    match partitions.parse() {
        Ok(partitions) if partitions > 0 && !name.is_empty() => Ok((name.to_owned(), partitions)),
        _ => Err("write TOPIC or TOPIC:PARTITIONS".to_owned()),
    }
}

pub(crate) async fn run(args: Args) -> Outcome {
    let mut stop = Stop::listen()?;
    let mut options = ClusterOptions::brokers(args.brokers);
    options.auto_create_topics = args.auto_create_topics;
    let cluster = Cluster::start(options);
    let mut listen = ListenOptions::port(args.port);
    listen.bind = args.bind;
    listen.advertised_host = args.advertise;
    let addresses = cluster
        .listen_tcp(listen)
        .await
        .map_err(|error| Failure::failed(format!("{error}; choose another --port, or 0 for a free one")))?;
    for (name, partitions) in &args.topics {
        cluster.create_topic(name, *partitions);
    }
    let mut out = std::io::stdout();
    writeln!(out, "BROKERS={addresses}")?;
    out.flush()?;
    stop.asked().await
}
