//! Many partitions being fetched at once: who leads each, one fetch under way at each leader, pauses
//! after failures. What is done with what comes is up to the owner.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, join_all};
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Offset, Partition, Uuid};
use logmill_protocol::messages::fetch::PartitionData;
use tokio::time::{Instant, Sleep};

use super::flight::{Flight, Terms, Wanted, launch};
use super::stream::Position;
use super::trouble::out_of_range;
use crate::client::cluster::{BrokerId, Client, Leader};
use crate::error::{Error, Result};

/// How often a position beyond the log's end is asked for again before it counts as truncated: with
/// the usual pauses, for some seconds.
const BEYOND_END: u32 = 10;

/// One partition.
#[derive(Debug)]
struct Track {
    position: Position,
    leader: Option<Leader>,
    /// The topic's id when it was first looked up.
    topic_id: Option<Uuid>,
    /// In a fetch or a lookup.
    busy: bool,
    /// It failed for good, and waits for a seek.
    stopped: bool,
    failures: u32,
    not_before: Option<Instant>,
    /// The size of the batch that did not fit.
    least_bytes: usize,
    /// The batch at the position was damaged when it came first.
    damaged: bool,
}

/// What the owner is told.
pub(super) enum Event {
    /// A fetch brought this. The partition is not fetched again before the owner has said how it goes on.
    Landed(Wanted, PartitionData),
    /// The partition cannot be read on, and is left out until it is sought.
    Stopped(Error),
}

type Lookup = BoxFuture<'static, Vec<(Partition, Result<Leader>)>>;

/// See the module.
pub(super) struct Fleet {
    client: Client,
    tracks: BTreeMap<Partition, Track>,
    flights: BTreeMap<BrokerId, Flight>,
    lookup: Option<Lookup>,
    alarm: Option<Pin<Box<Sleep>>>,
    events: VecDeque<Event>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(&self.tracks).finish()
    }
}

impl Fleet {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            tracks: BTreeMap::new(),
            flights: BTreeMap::new(),
            lookup: None,
            alarm: None,
            events: VecDeque::new(),
        }
    }

    pub(super) fn seek(&mut self, partition: Partition, position: Position) {
        let track = Track {
            position,
            leader: None,
            topic_id: None,
            busy: false,
            stopped: false,
            failures: 0,
            not_before: None,
            least_bytes: 0,
            damaged: false,
        };
        self.tracks.insert(partition, track);
    }

    pub(super) fn remove(&mut self, partition: &Partition) {
        self.tracks.remove(partition);
    }

    pub(super) fn position(&self, partition: &Partition) -> Option<Position> {
        self.tracks.get(partition).map(|track| track.position)
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.tracks.keys()
    }

    /// How many brokers lead the partitions, as far as that is known.
    pub(super) fn leaders(&self) -> usize {
        let mut leaders: Vec<_> =
            self.tracks.values().filter_map(|track| track.leader).map(|l| l.broker).collect();
        leaders.sort_unstable();
        leaders.dedup();
        leaders.len()
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Moves everything that can move, and puts on the wire every fetch that `terms` allows for its
    /// broker. Returns whether anything moved; if not, the task is woken when something can.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        partition_bytes: usize,
        mut terms: impl FnMut(BrokerId) -> Option<Terms>,
    ) -> bool {
        self.take_off(partition_bytes, &mut terms);
        let poll = |flight: &mut Flight| match flight.as_mut().poll(context) {
            Poll::Ready(landed) => Some(landed),
            Poll::Pending => None,
        };
        let landed: Vec<_> = self.flights.values_mut().filter_map(poll).collect();
        let mut moved = !landed.is_empty();
        for landed in landed {
            self.flights.remove(&landed.broker);
            for (wanted, outcome) in landed.outcomes {
                self.land(wanted, outcome);
            }
        }
        if let Some(lookup) = &mut self.lookup
            && let Poll::Ready(found) = lookup.as_mut().poll(context)
        {
            (self.lookup, moved) = (None, true);
            for (partition, leader) in found {
                self.found(&partition, leader);
            }
        }
        if let Some(alarm) = &mut self.alarm
            && alarm.as_mut().poll(context).is_ready()
        {
            (self.alarm, moved) = (None, true);
        }
        moved
    }

    fn take_off(&mut self, partition_bytes: usize, terms: &mut impl FnMut(BrokerId) -> Option<Terms>) {
        let now = Instant::now();
        let mut homeless = Vec::new();
        let mut by_broker: BTreeMap<BrokerId, Vec<Wanted>> = BTreeMap::new();
        let mut wake: Option<Instant> = None;
        for (partition, track) in self.tracks.iter().filter(|(_, track)| !track.busy && !track.stopped) {
            if let Some(later) = track.not_before.filter(|later| *later > now) {
                wake = Some(wake.map_or(later, |earlier| earlier.min(later)));
                continue;
            }
            match track.leader {
                None => homeless.push(partition.clone()),
                Some(leader) if self.flights.contains_key(&leader.broker) => {}
                Some(leader) => by_broker.entry(leader.broker).or_default().push(Wanted {
                    partition: partition.clone(),
                    leader,
                    offset: track.position.offset,
                    max_bytes: partition_bytes.max(track.least_bytes),
                    last_epoch: track.position.epoch,
                }),
            }
        }
        if self.lookup.is_none() && !homeless.is_empty() {
            homeless.iter().for_each(|partition| self.set_busy(partition));
            self.lookup = Some(look_up(self.client.clone(), homeless));
        }
        for (broker, wanted) in by_broker {
            let Some(terms) = terms(broker) else { continue };
            wanted.iter().for_each(|it| self.set_busy(&it.partition));
            self.flights.insert(broker, launch(&self.client, broker, wanted, terms));
        }
        self.alarm = match (self.alarm.take(), wake) {
            (_, None) => None,
            (Some(alarm), Some(wake)) if alarm.deadline() == wake => Some(alarm),
            (_, Some(wake)) => Some(Box::pin(tokio::time::sleep_until(wake))),
        };
    }

    fn set_busy(&mut self, partition: &Partition) {
        if let Some(track) = self.tracks.get_mut(partition) {
            track.busy = true;
        }
    }

    fn found(&mut self, partition: &Partition, leader: Result<Leader>) {
        let Some(track) = self.tracks.get_mut(partition) else { return };
        track.busy = false;
        match leader {
            Ok(leader) if *track.topic_id.get_or_insert(leader.topic_id) != leader.topic_id => {
                self.stop(partition, Error::Recreated { topic: partition.topic.to_string() });
            }
            Ok(leader) => track.leader = Some(leader),
            Err(error) => self.failed(partition, error),
        }
    }

    fn land(&mut self, wanted: Wanted, outcome: Result<PartitionData>) {
        let Some(track) = self.tracks.get_mut(&wanted.partition) else { return };
        track.busy = false;
        if track.position.offset != wanted.offset {
            // It was sought, or moved on, while the fetch was under way.
            return;
        }
        match outcome {
            Ok(data) if data.diverging_epoch.end_offset >= 0 => {
                let (partition, position) = (wanted.partition.clone(), wanted.offset);
                let end = data.diverging_epoch.end_offset;
                self.stop(&wanted.partition, Error::Truncated { partition, position, end });
            }
            Ok(data) => self.events.push_back(Event::Landed(wanted, data)),
            Err(error) => self.failed(&wanted.partition, error),
        }
    }

    /// The owner has used what came; the partition is read on from here.
    pub(super) fn go_on(&mut self, partition: &Partition, position: Position) {
        if let Some(track) = self.tracks.get_mut(partition) {
            track.position = position;
            (track.failures, track.least_bytes, track.damaged) = (0, 0, false);
        }
    }

    /// The next batch is larger than was asked for.
    pub(super) fn grow(&mut self, wanted: &Wanted, needed: Option<usize>, limit: usize) {
        let needed = needed.unwrap_or(wanted.max_bytes.saturating_mul(2));
        if needed <= wanted.max_bytes || needed > limit {
            let (partition, offset) = (wanted.partition.clone(), wanted.offset);
            self.stop(&wanted.partition, Error::TooLarge { partition, offset, limit });
        } else if let Some(track) = self.tracks.get_mut(&wanted.partition) {
            track.least_bytes = needed;
        }
    }

    /// What came is damaged: it is fetched once more.
    pub(super) fn damaged(&mut self, partition: &Partition, offset: Offset, reason: String) {
        match self.tracks.get_mut(partition) {
            Some(track) if !track.damaged => {
                track.damaged = true;
                tracing::warn!(%partition, reason, "fetching again");
            }
            _ => self.stop(partition, Error::Corrupt { partition: partition.clone(), offset, reason }),
        }
    }

    fn stop(&mut self, partition: &Partition, error: Error) {
        if let Some(track) = self.tracks.get_mut(partition) {
            track.stopped = true;
            self.events.push_back(Event::Stopped(error));
        }
    }

    /// Pauses a partition after a failure that may pass; stops it after one that does not.
    fn failed(&mut self, partition: &Partition, error: Error) {
        let Some(track) = self.tracks.get_mut(partition) else { return };
        track.leader = None;
        track.failures += 1;
        let failures = track.failures;
        let error = match error {
            // A leader that was only behind has caught up by now.
            Error::BeyondEnd { partition, position, end } if failures > BEYOND_END => {
                Error::Truncated { partition, position, end }
            }
            error => error,
        };
        // A topic is unknown only after it was asked for several times.
        let passes = error.is_retriable() && !matches!(error, Error::UnknownTopic { .. });
        if error.code() == Some(ErrorCode::OffsetOutOfRange) {
            self.ask_range(partition);
        } else if passes {
            tracing::debug!(%partition, %error, "fetching later");
            track.not_before = Some(Instant::now() + self.client.retry_pause(failures));
        } else {
            self.stop(partition, error);
        }
    }

    /// Finds out what is wrong with a position, in place of a lookup. One question at a time: the
    /// others' fetches fail again, and are asked about when it is their turn.
    fn ask_range(&mut self, partition: &Partition) {
        let Some(track) = self.tracks.get_mut(partition) else { return };
        if self.lookup.is_some() {
            track.not_before = Some(Instant::now() + self.client.retry_pause(1));
            return;
        }
        track.busy = true;
        let (client, partition, position) = (self.client.clone(), partition.clone(), track.position.offset);
        self.lookup = Some(Box::pin(async move {
            let error = out_of_range(&client, &partition, position).await;
            vec![(partition, Err(error))]
        }));
    }
}

fn look_up(client: Client, partitions: Vec<Partition>) -> Lookup {
    Box::pin(async move {
        let deadline = client.request_deadline(client.api_deadline());
        let looking = partitions.into_iter().map(|partition| {
            let client = &client;
            async move {
                let leader = client.leader_until(&partition, deadline).await;
                (partition, leader)
            }
        });
        join_all(looking).await
    })
}
