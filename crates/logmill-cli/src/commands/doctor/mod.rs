//! `logmill doctor`: why a group does not move, and what to type next.

mod advice;
mod finding;

use std::time::Duration;

use logmill::client::Client;
use logmill::inspect::{self, Diagnosis, Doctor, Obstacle};
use logmill::ledger::Ledger;
use logmill::store::{RedisOptions, RedisStore, StoreError};

use self::advice::Place;
use self::finding::{Finding, print};
use crate::exit::{Exit, Failure, Outcome};
use crate::input::{Connect, parse_duration, redis};

/// Looks at Kafka, and at Redis if it is named, and tells what keeps a group from moving: ✓ for what is as it should be,
/// ✗ for what is in the way, each with the command to type next. Changes nothing. Ends with 1 if there is any ✗.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: Connect,
    /// The group; without one, only what groups stand on is looked at
    #[arg(value_name = "GROUP")]
    name: Option<String>,
    /// The group, as in other commands
    #[arg(short = 'g', long, conflicts_with = "name")]
    group: Option<String>,
    /// A topic that the group is to read, beside those of which it has committed something; may be given often
    #[arg(short = 't', long = "topic")]
    topics: Vec<String>,
    /// The topic of the group's ledger, where its nodes were given one
    #[arg(long, value_name = "TOPIC")]
    ledger_topic: Option<String>,
    /// Where the group's units are shared
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    redis: Option<String>,
    /// How long a record, a unit or a transaction may take before it is in the way
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration)]
    patience: Duration,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(mut args: Args) -> Outcome {
    // Whoever asks what is wrong does not want to wait a minute for each answer that does not come.
    args.connect.settings.insert(0, "default.api.timeout.ms=10000".to_owned());
    args.connect.settings()?;
    let mut findings = Vec::new();
    let store = look_at_redis(&args, &mut findings).await;
    match args.connect.client().await {
        Ok(client) => {
            findings.insert(0, kafka(&client).await);
            if let Some(group) = args.group.as_deref().or(args.name.as_deref()) {
                look_at_group(&args, group, &client, store.as_ref(), &mut findings).await;
            }
        }
        Err(failure) => {
            let next = format!("logmill check kafka -b {}", args.connect.brokers());
            findings.insert(0, Finding::wrong("kafka", failure.text, vec![next]));
        }
    }
    print(&findings, args.json)?;
    if findings.iter().all(|finding| finding.ok) { Ok(()) } else { Err(Failure::new(Exit::Failed, "")) }
}

async fn kafka(client: &Client) -> Finding {
    let brokers = client.brokers().len();
    match inspect::spoken(client).await {
        Ok(spoken) => {
            let (produce, fetch) = (spoken.produce, spoken.fetch);
            Finding::right("kafka", format!("{brokers} brokers, produce v{produce}, fetch v{fetch}"))
        }
        Err(problem) => Finding::wrong("kafka", problem.to_string(), Vec::new()),
    }
}

/// The group's store, if it is in a Redis that can be used.
async fn look_at_redis(args: &Args, findings: &mut Vec<Finding>) -> Option<RedisStore> {
    let url = redis(args.redis.as_deref())?;
    // Without a group, the keys of one that nobody has are looked at.
    let group = args.group.as_deref().or(args.name.as_deref()).unwrap_or("logmill-doctor");
    let looked = async {
        let store = RedisStore::connect(&url, group, RedisOptions::default()).await?;
        let server = store.server().await?;
        Ok::<_, StoreError>((store, server))
    };
    match looked.await {
        Ok((store, server)) => {
            findings.push(finding::of_redis(&server));
            Some(store)
        }
        Err(StoreError::NotAStore { address, what, next }) => {
            let text = format!("{address} cannot hold work units: {what}");
            findings.push(Finding::wrong("redis", text, vec![next]));
            None
        }
        Err(problem) => {
            let next = "logmill check redis --redis URL".to_owned();
            findings.push(Finding::wrong("redis", problem.to_string(), vec![next]));
            None
        }
    }
}

async fn look_at_group(
    args: &Args,
    group: &str,
    client: &Client,
    store: Option<&RedisStore>,
    findings: &mut Vec<Finding>,
) {
    let ledger = match &args.ledger_topic {
        Some(topic) => Ledger::of_topic(client, topic),
        None => Ledger::open(client, group),
    };
    let mut doctor = Doctor::new(client, group, &ledger).topics(&args.topics).patience(args.patience);
    if let Some(store) = store {
        doctor = doctor.store(store);
    }
    let found = doctor.examine().await;
    let committed = found.progress.first().map(|progress| &*progress.partition.topic);
    let topic = args.topics.first().map(String::as_str).or(committed).unwrap_or("TOPIC");
    let place = Place { brokers: &args.connect.brokers(), group, ledger: ledger.topic(), topic };
    findings.extend(right(&found, ledger.topic()));
    findings.extend(found.obstacles.iter().map(|obstacle| place.finding(obstacle)));
    if found.left_out > 0 {
        let text = format!("{} more such findings are left out", found.left_out);
        findings.push(Finding::wrong("group", text, Vec::new()));
    }
}

/// What is as it should be.
fn right(found: &Diagnosis, ledger: &str) -> Vec<Finding> {
    let none = |is: fn(&Obstacle) -> bool| !found.obstacles.iter().any(is);
    let mut right = Vec::new();
    if found.topics > 0 && none(|it| matches!(it, Obstacle::NoTopic { .. } | Obstacle::NoLeader { .. })) {
        let text = format!("{} topics, {} partitions, all with a leader", found.topics, found.partitions);
        right.push(Finding::right("topics", text));
    }
    if found.members > 0 && found.state == "Stable" {
        let text = format!("{} members organise {} partitions", found.members, found.organised);
        right.push(Finding::right("organisers", text));
    }
    if found.has_ledger && none(advice::is_of_ledger) {
        right.push(Finding::right("ledger", format!("topic {ledger} is compacted and can be written")));
    }
    if let Some(store) = &found.store {
        let text = format!(
            "{} nodes; {} units wait, {} wait for their time, {} are in work",
            store.nodes.len(),
            store.ready,
            store.delayed,
            store.leased
        );
        right.push(Finding::right("units", text));
    }
    if !found.progress.is_empty() {
        let text = match found.lag() {
            0 => "everything is settled: there is nothing to move".to_owned(),
            lag => format!("{lag} records are not settled"),
        };
        right.push(Finding::right("progress", text));
    }
    right
}
