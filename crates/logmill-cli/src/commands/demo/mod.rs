//! `logmill demo`: brokers, store, a producer and three nodes in one process, and every record checked
//! by its identity.

mod chaos;
mod screen;
mod stage;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use logmill::{Producer, Record};
use tokio::time::Instant;

use self::chaos::Chaos;
use self::screen::Screen;
use self::stage::Stage;
use self::tally::Tally;
use super::stop::Stop;
use crate::exit::{Failure, Outcome};

/// How long the demo waits for a record that does not come before it counts it as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Records flow from a producer through units to the handlers of three nodes, and a table shows how far
/// they are. With nothing installed: the brokers and the store are in this process, unless told otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Send so many records, check that each was handled, and end; without it, go on until Ctrl-C
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// Records per second; as fast as they go with --records, 400 without
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    nodes: u16,
    /// How many handlers each node has
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    handlers: u16,
    /// How many partitions the topic has
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1000))]
    partitions: u16,
    /// Use these brokers instead of embedded ones: host:port[,…]; a topic is made there, and deleted at the end
    #[arg(long, short = 'b', value_name = "BROKERS")]
    brokers: Option<String>,
    /// Keep the units in this Redis instead of in memory: redis://host:port
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Kill a node and restart a broker on the way
    #[arg(long)]
    chaos: bool,
}

pub(crate) async fn run(args: Args) -> Outcome {
    let mut stop = Stop::listen()?;
    let tally = Arc::new(Tally::default());
    let mut stage = Stage::build(&args, tally.clone()).await?;
    let producer = stage.producer().await?;
    let screen = Screen::new();
    screen.line(&stage.describe());

    let mut producing =
        tokio::spawn(produce(producer, stage.topic().to_owned(), args.records, args.rate, tally.clone()));
    let mut chaos = args.chaos.then(|| Chaos::new(args.records));
    let mut shown = tokio::time::interval(screen.pause());
    let (mut produced_all, mut interrupted) = (false, None);
    let mut progress = (0, Instant::now());
    loop {
        tokio::select! {
            biased;
            asked = stop.asked() => {
                interrupted = Some(asked);
                break;
            }
            outcome = &mut producing, if !produced_all => {
                outcome.map_err(Failure::failed)??;
                produced_all = true;
            }
            _ = shown.tick() => {
                let view = stage.view(&tally).await;
                screen.show(&view);
                // What a killed node had handled is settled only when another has handled it again.
                if produced_all && tally.handled() == tally.produced() && view.is_settled() {
                    break;
                }
            }
        }
        if let Some(chaos) = &mut chaos {
            chaos.act(&mut stage, &tally, &screen).await?;
        }
        if tally.handled() != progress.0 {
            progress = (tally.handled(), Instant::now());
        } else if produced_all && progress.1.elapsed() > PATIENCE {
            screen.line(&format!("no record was handled for {} s", PATIENCE.as_secs()));
            break;
        }
    }
    producing.abort();
    if interrupted.is_some() {
        screen.line(
            "stopping: handlers end, nodes give back what they have not begun, watermarks are committed",
        );
    }
    screen.show(&stage.view(&tally).await);
    let committed = stage.end().await?;
    let summary = tally.summary(committed, chaos.as_ref().is_some_and(Chaos::happened));
    screen.end(&summary);
    match interrupted {
        Some(asked) => asked,
        None if summary.lost > 0 => Err(Failure::failed(format!("{} records were lost", summary.lost))),
        None => Ok(()),
    }
}

/// Sends records, each with its number as its value.
async fn produce(
    producer: Producer,
    topic: String,
    records: Option<u64>,
    rate: Option<u64>,
    tally: Arc<Tally>,
) -> Outcome {
    let rate = rate.or_else(|| records.is_none().then_some(400));
    let started = Instant::now();
    let mut pending = std::collections::VecDeque::new();
    for number in 0..records.unwrap_or(u64::MAX) {
        if let Some(rate) = rate {
            tokio::time::sleep_until(started + Duration::from_secs_f64(number as f64 / rate as f64)).await;
        }
        let value = number.to_string();
        let record = Record::to(&topic).value(value.as_bytes());
        pending.push_back(producer.enqueue(record).await.map_err(Failure::failed)?);
        // What is acknowledged is counted in the order it was sent.
        while pending.len() > 10_000 || (rate.is_some() && pending.len() > 1) {
            let Some(oldest) = pending.pop_front() else { break };
            oldest.await.map_err(Failure::failed)?;
            tally.sent();
        }
    }
    for acknowledgement in pending {
        acknowledgement.await.map_err(Failure::failed)?;
        tally.sent();
    }
    Ok(producer.close().await?)
}
