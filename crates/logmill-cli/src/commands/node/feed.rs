//! A node whose records are handled outside this process: takes one when a hand is free, and drains at the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use logmill::Retry;
use logmill::node::{Breaker, Delivery, Node};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::super::stop::Stop;
use super::{Goal, LOOK_EVERY, NodeFlags};
use crate::exit::{Failure, Outcome};
use crate::input::{Bounds, Connect, Position, parse_duration};

/// A failed record waits at most this long, unless told to start with more.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Which records, and what becomes of those that fail.
#[derive(Debug, clap::Args)]
pub(crate) struct FeedArgs {
    #[command(flatten)]
    connect: Connect,
    /// The group whose node this is
    #[arg(short = 'g', long)]
    group: String,
    /// The topic; may be given often
    #[arg(short = 't', long = "topic", required = true)]
    topics: Vec<String>,
    /// Where a group that is new starts: beginning, end or s@TIME; TIME is 5m (ago), 2026-11-22T10:00Z, or
    /// milliseconds since 1970
    #[arg(short = 'o', long = "offset", value_name = "WHERE", allow_hyphen_values = true)]
    offsets: Vec<Position>,
    /// End when the group, this node or another, has settled and committed all that was there at the start
    #[arg(short = 'e', long)]
    exit: bool,
    /// End after so many records were handed out, tries after a failure included
    #[arg(short = 'c', visible_short_alias = 'n', long)]
    count: Option<u64>,
    /// A record that has failed so often becomes a dead letter; without it, it is retried until it succeeds
    #[arg(long, value_name = "A", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// How long a record waits after its first failure; twice as long after each other, up to 60s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    backoff: Duration,
    /// When so many per cent of the records tried in 30 s failed, and 20 at least: begin nothing for 10 s, twice as
    /// long each time that does not help, up to 5 minutes, and give up on none meanwhile
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    breaker: Option<u8>,
    /// Say less on stderr
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    node: NodeFlags,
}

/// Where hands take records from.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    records: Arc<Mutex<mpsc::Receiver<Waiting>>>,
    open: watch::Receiver<()>,
}

/// A record that waits for a hand, in the only place there is for one.
#[derive(Debug)]
struct Waiting {
    delivery: Delivery,
    _place: OwnedSemaphorePermit,
}

impl Inbox {
    fn new(records: mpsc::Receiver<Waiting>, open: watch::Receiver<()>) -> Self {
        Self { records: Arc::new(Mutex::new(records)), open }
    }

    /// The next record; none once the node drains. Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> Option<Delivery> {
        loop {
            let waiting = self.records.lock().await.recv().await?;
            // It has waited here until a hand was free, and its lease may have ended meanwhile.
            if waiting.delivery.is_leased() {
                return Some(waiting.delivery);
            }
        }
    }

    /// Returns once the node drains.
    pub(crate) async fn ended(&self) {
        // Nothing is ever sent: the sender goes.
        let _ = self.open.clone().changed().await;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.open.has_changed().is_err()
    }
}

impl FeedArgs {
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// Is a node until somebody asks to stop, the count is reached, or the goal is. `hands` handle its records, so many
    /// at once, and end once the inbox has; what they have not settled within the drain time comes again.
    ///
    /// # Errors
    /// The node cannot be set up or drained, the hands ended before the inbox, or it was Ctrl-C.
    pub(crate) async fn run<H>(&self, at_once: usize, hands: impl FnOnce(Inbox) -> H) -> Outcome
    where
        H: Future<Output = Outcome>,
    {
        let mut stop = Stop::listen()?;
        let bounds = Bounds::new(&self.offsets).map_err(Failure::usage)?;
        let mut builder = self
            .node
            .builder(&self.connect, &self.group, &self.topics, bounds)?
            .concurrency(at_once)
            .retry(self.retry());
        if let Some(percent) = self.breaker {
            builder = builder.breaker(Breaker::at(f64::from(percent) / 100.0));
        }
        let mut goal = None;
        if self.exit {
            goal = Some(Goal::new(&self.connect, &self.group, &self.topics).await?);
            builder = builder.commit_interval(LOOK_EVERY);
        }
        let node = builder.build().await?;
        if !self.quiet {
            eprintln!("node {} of group {}; Ctrl-C or SIGTERM drains it", node.name(), self.group);
        }
        let (hand_out, records) = mpsc::channel(1);
        let (open, is_open) = watch::channel(());
        let mut hands = Box::pin(hands(Inbox::new(records, is_open)));
        let mut at_work = true;
        let fed = tokio::select! {
            biased;
            ended = &mut hands => {
                at_work = false;
                ended
            }
            fed = self.feed(&node, hand_out, goal.as_ref(), &mut stop) => fed,
        };
        drop(open);
        let finish = async {
            if !at_work {
                return Ok(());
            }
            // Dropped when the time is over: what the hands hold goes back.
            tokio::time::timeout(self.node.drain_timeout(), hands).await.unwrap_or(Ok(()))
        };
        let (drained, finished) = tokio::join!(node.drain(), finish);
        fed?;
        finished?;
        Ok(drained?)
    }

    async fn feed(
        &self,
        node: &Node,
        hand_out: mpsc::Sender<Waiting>,
        goal: Option<&Goal>,
        stop: &mut Stop,
    ) -> Outcome {
        let mut goal = pin!(Goal::reached(goal));
        let free = Arc::new(Semaphore::new(1));
        for _ in 0..self.count.unwrap_or(u64::MAX) {
            let taken = async {
                // Taken only when there is room for it: what waits in the node may still go to another.
                let place = free.clone().acquire_owned().await.ok()?;
                let room = hand_out.reserve().await.ok()?;
                let delivery = node.recv().await.transpose()?;
                Some(delivery.map(|delivery| room.send(Waiting { delivery, _place: place })))
            };
            tokio::select! {
                biased;
                asked = stop.asked() => return asked,
                () = node.asked_to_drain() => return Ok(()),
                reached = &mut goal => return reached,
                taken = taken => match taken {
                    Some(taken) => taken?,
                    None => return Ok(()),
                },
            }
        }
        // The last one is counted, so a hand has it before the node drains.
        tokio::select! {
            biased;
            asked = stop.asked() => asked,
            _ = free.acquire() => Ok(()),
        }
    }

    fn retry(&self) -> Retry {
        let retry = Retry::exponential(self.backoff, LONGEST_BACKOFF.max(self.backoff));
        match self.max_attempts {
            Some(attempts) => retry.max_attempts(attempts),
            None => retry,
        }
    }
}
