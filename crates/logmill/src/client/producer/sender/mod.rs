//! The task that sends: takes what was closed, asks who leads, keeps every broker supplied, gives
//! answers to whom they belong.
//!
//! ```text
//! inbox ─► Track of the partition ─► ready list of its leader ─► one Produce per broker ─► Verdict ─► ack
//!                 ▲                                                                          │
//!                 └───────────────────────── again, in order ────────────────────────────────┘
//! ```
//!
//! Everything that takes time is an [`Event`] to come; between two of them the task never waits.

mod events;
#[cfg(test)]
mod model;
mod requests;
mod settle;
mod track;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use logmill_protocol::ids::Uuid;
use logmill_protocol::records::Compressor;
use logmill_protocol::wire::Str;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use self::events::Event;
use self::requests::Flight;
use self::track::{Batch, Identity, Track};
use super::buffer::{PartitionQueue, Shared, TopicQueue};
use crate::client::connection::Connection;
use crate::client::{BrokerId, Client, Leader};
use crate::error::{Error, Result};

/// A partition as the sender sees it.
struct Route {
    track: Track,
    queue: Arc<PartitionQueue>,
    topic: Arc<str>,
    wire_name: Str,
    leader: Option<Leader>,
    /// The topic's id when it was last looked up.
    topic_id: Option<Uuid>,
    /// What last kept it from being sent to.
    last: Option<Error>,
    /// It stands in a broker's ready list.
    listed: bool,
    failures: u32,
    not_before: Option<Instant>,
}

impl Route {
    fn new(queue: Arc<PartitionQueue>, topic: Arc<str>, wire_name: Str) -> Self {
        Self {
            track: Track::default(),
            queue,
            topic,
            wire_name,
            leader: None,
            topic_id: None,
            last: None,
            listed: false,
            failures: 0,
            not_before: None,
        }
    }
}

/// A broker as the sender sees it.
#[derive(Default)]
struct Broker {
    connection: Option<Connection>,
    dialling: bool,
    in_flight: usize,
    /// Partitions with something to send, in turn.
    ready: VecDeque<usize>,
}

/// Whether a producer id is there.
enum Naming {
    None,
    Asking,
    Known(Identity),
}

/// See the module.
pub(super) struct Sender {
    shared: Arc<Shared>,
    client: Client,
    compressor: Compressor,
    routes: Vec<Route>,
    brokers: BTreeMap<BrokerId, Broker>,
    naming: Naming,
    /// Open batches, by the end of their linger.
    linger: VecDeque<(Instant, Arc<TopicQueue>, usize, u64)>,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    flights: BTreeMap<u64, Flight>,
    next_flight: u64,
    /// Topics that are being looked up, and who waits for each.
    looking: BTreeMap<Arc<str>, Vec<oneshot::Sender<Result<()>>>>,
    /// Partitions that wait for a pause to end.
    pauses: BTreeSet<(Instant, usize)>,
    /// When the next batch runs out of time.
    next_expiry: Option<Instant>,
    changes: watch::Receiver<u64>,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, client: Client, compressor: Compressor) -> Self {
        Self {
            naming: Naming::None,
            changes: client.changes(),
            shared,
            client,
            compressor,
            routes: Vec::new(),
            brokers: BTreeMap::new(),
            linger: VecDeque::new(),
            events: FuturesUnordered::new(),
            flights: BTreeMap::new(),
            next_flight: 0,
            looking: BTreeMap::new(),
            pauses: BTreeSet::new(),
            next_expiry: None,
        }
    }

    /// Sends until the producer is ended.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        while !shared.has_ended() {
            self.take_inbox();
            self.end_pauses();
            self.expire();
            self.send().await;
            let alarm = self.next_alarm();
            tokio::select! {
                biased;
                Some(event) = self.events.next() => self.happened(event),
                () = shared.wake.notified() => {}
                Ok(()) = self.changes.changed() => self.topics_changed(),
                () = sleep_until(alarm) => {}
            }
        }
    }

    /// Takes what was opened, closed and asked for since the last look, and closes what has lingered
    /// long enough.
    fn take_inbox(&mut self) {
        // Before the look: whoever opens a batch from now on wakes us.
        self.shared.armed.store(false, Ordering::Release);
        let (opened, wanted, flushes) = {
            let mut inbox = self.shared.inbox();
            (
                std::mem::take(&mut inbox.opened),
                std::mem::take(&mut inbox.wanted),
                std::mem::take(&mut inbox.flushes),
            )
        };
        let linger = self.shared.options.linger;
        let opened = opened.into_iter().map(|(at, topic, index, serial)| (at + linger, topic, index, serial));
        self.linger.extend(opened);
        let hurry = !flushes.is_empty() || self.shared.pressure.load(Ordering::Acquire) > 0;
        let now = Instant::now();
        while let Some((until, topic, index, serial)) = self.linger.front() {
            if !hurry && *until > now {
                // It will be closed at the alarm, as will those that are opened until then.
                self.shared.armed.store(true, Ordering::Release);
                break;
            }
            self.shared.close_batch(topic, *index, Some(*serial));
            self.linger.pop_front();
        }
        let closed = std::mem::take(&mut self.shared.inbox().closed);
        for (slot, open) in closed {
            self.admit(slot, open);
        }
        for flush in flushes {
            let waiting = self.routes.iter().flat_map(|route| route.track.waiting());
            let flying = self.flights.values().flat_map(Flight::batches);
            // Whoever asked may be gone.
            let _ = flush.send(waiting.chain(flying).map(|batch| Arc::clone(&batch.ack)).collect());
        }
        for (name, told) in wanted {
            match self.shared.topic(&name) {
                Some(_) => drop(told.send(Ok(()))),
                None => self.look_up(name.into(), Some(told)),
            }
        }
    }

    /// Takes a full batch: compresses it and puts it in its partition's line.
    fn admit(&mut self, slot: usize, open: super::buffer::OpenBatch) {
        let deadline = open.opened + self.shared.options.delivery_timeout;
        let records = open.builder.records();
        match open.builder.close(&mut self.compressor) {
            Ok(closed) => {
                self.routes[slot].track.push(Batch::new(closed, open.ack, deadline, open.charged));
                self.next_expiry.get_or_insert(deadline);
                self.activate(slot);
            }
            Err(error) => {
                let reason = Error::config("compression.type", error.to_string());
                self.routes[slot].queue.waiting.fetch_sub(1, Ordering::Relaxed);
                self.shared.fail(&open.ack, records, false, reason);
                self.shared.give_back(open.charged, Vec::new());
            }
        }
    }

    /// Sees to it that a partition with something to send gets what it lacks, and stands in its
    /// leader's list if it lacks nothing.
    fn activate(&mut self, slot: usize) {
        if self.routes[slot].listed || self.routes[slot].not_before.is_some() {
            return;
        }
        if let Some(oversized) = self.routes[slot].track.take_oversized() {
            self.halve(slot, oversized);
        }
        let options = &self.shared.options;
        let route = &mut self.routes[slot];
        if route.track.next(options.in_flight).is_none() {
            return;
        }
        if options.idempotent && route.track.wants_identity() {
            match self.naming {
                Naming::Known(identity) if route.track.identify(identity) => {}
                Naming::Asking => return,
                Naming::Known(_) | Naming::None => return self.ask_for_identity(),
            }
        }
        match &route.leader {
            Some(leader) => {
                route.listed = true;
                self.brokers.entry(leader.broker).or_default().ready.push_back(slot);
            }
            None => {
                let topic = Arc::clone(&route.topic);
                self.look_up(topic, None);
            }
        }
    }

    /// Lets the partitions go on whose pause is over.
    fn end_pauses(&mut self) {
        let now = Instant::now();
        while let Some((until, slot)) = self.pauses.first().copied().filter(|(until, _)| *until <= now) {
            self.pauses.remove(&(until, slot));
            self.routes[slot].not_before = None;
            self.activate(slot);
        }
    }

    /// Keeps a partition back for a while after a failure.
    fn pause(&mut self, slot: usize) {
        let route = &mut self.routes[slot];
        if route.not_before.is_none() {
            route.failures += 1;
            let until = Instant::now() + self.client.retry_pause(route.failures);
            route.not_before = Some(until);
            self.pauses.insert((until, slot));
        }
    }

    fn next_alarm(&self) -> Option<Instant> {
        let linger = self.linger.front().map(|(until, ..)| *until);
        let pause = self.pauses.first().map(|(until, _)| *until);
        [linger, pause, self.next_expiry].into_iter().flatten().min()
    }
}

async fn sleep_until(alarm: Option<Instant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
