//! What the sender waits for, and what it does when it has happened.

use std::sync::Arc;

use futures_util::FutureExt;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use logmill_protocol::messages::produce::{PartitionProduceResponse, ProduceResponse};
use logmill_protocol::wire::Str;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::requests::Passenger;
use super::track::{Identity, Verdict};
use super::{Naming, Route, Sender, verdict};
use crate::client::connection::Connection;
use crate::client::producer::buffer::{PartitionQueue, TopicQueue};
use crate::client::producer::outcome::Stored;
use crate::client::producer::partitioner::Sticky;
use crate::client::{BrokerId, Leader, Purpose, Target, TopicInfo};
use crate::error::{Error, Result};

/// Something that took time.
pub(super) enum Event {
    /// A Produce request was answered, or will not be.
    Answered(u64, Result<ProduceResponse>),
    /// A request that gets no answer was written, or could not be.
    Told(u64, Result<()>),
    Connected(BrokerId, Result<Connection>),
    Found(Arc<str>, Result<Arc<TopicInfo>>),
    Named(Result<Identity>),
}

impl Sender {
    pub(super) fn happened(&mut self, event: Event) {
        match event {
            Event::Answered(number, answer) => self.answered(number, answer),
            Event::Told(number, told) => self.told(number, &told),
            Event::Connected(broker, outcome) => self.connected(broker, outcome),
            Event::Found(topic, outcome) => self.found(&topic, outcome),
            Event::Named(outcome) => self.named(outcome),
        }
    }

    fn answered(&mut self, number: u64, answer: Result<ProduceResponse>) {
        let Some(mut flight) = self.land(number, answer.as_ref().err()) else { return };
        for passenger in std::mem::take(&mut flight.passengers) {
            let partition = self.routes[passenger.slot].queue.partition.clone();
            let verdict = match &answer {
                Err(error) => verdict::unanswered(error),
                Ok(response) => match flight.answer_for(&passenger, &partition, response) {
                    Some(found) => {
                        self.heed(&passenger, &partition, found, response);
                        verdict::judge(found, &partition.to_string())
                    }
                    None => Verdict::Again {
                        error: Error::refused(
                            logmill_protocol::messages::ApiKey::Produce,
                            ErrorCode::UnknownServerError,
                            format!("{partition} (the answer leaves it out)"),
                        ),
                        doubtful: true,
                    },
                },
            };
            self.judged(passenger, verdict);
        }
    }

    fn told(&mut self, number: u64, told: &Result<()>) {
        let Some(flight) = self.land(number, told.as_ref().err()) else { return };
        for passenger in flight.passengers {
            let verdict = match told {
                Ok(()) => Verdict::Stored(Stored { base_offset: -1, append_time: -1 }),
                Err(error) => verdict::unanswered(error),
            };
            self.judged(passenger, verdict);
        }
    }

    /// Takes a request off its broker's account.
    fn land(&mut self, number: u64, error: Option<&Error>) -> Option<super::requests::Flight> {
        let flight = self.flights.remove(&number)?;
        if let Some(broker) = self.brokers.get_mut(&flight.broker) {
            broker.in_flight -= 1;
        }
        if let Some(error) = error {
            tracing::debug!(broker = flight.broker.0, %error, "produce request got no answer");
            // The broker may be gone, and its partitions led by others.
            for passenger in &flight.passengers {
                self.leader_failed(passenger);
            }
        }
        Some(flight)
    }

    fn leader_failed(&mut self, passenger: &Passenger) {
        let route = &mut self.routes[passenger.slot];
        if route.leader.as_ref() == Some(&passenger.leader) {
            self.client.leader_failed(&route.queue.partition, &passenger.leader);
            route.leader = None;
        }
    }

    /// Learns from a refusal who leads now (KIP-951), or that somebody has to be asked.
    fn heed(
        &mut self,
        passenger: &Passenger,
        partition: &Partition,
        answer: &PartitionProduceResponse,
        response: &ProduceResponse,
    ) {
        if !verdict::is_about_leader(ErrorCode::from(answer.error_code)) {
            return;
        }
        let named = &answer.current_leader;
        if named.leader_id >= 0 && named.leader_epoch >= 0 {
            let leader = Leader {
                broker: BrokerId(named.leader_id),
                epoch: named.leader_epoch,
                topic_id: passenger.leader.topic_id,
            };
            let at = response.node_endpoints.iter().find(|node| node.node_id == named.leader_id);
            if self.client.leader_moved(partition, &leader, at.map(|node| (&*node.host, node.port))) {
                self.routes[passenger.slot].leader = Some(leader);
                return;
            }
        }
        self.leader_failed(passenger);
    }

    pub(super) fn dial(&mut self, id: BrokerId) {
        let broker = self.brokers.entry(id).or_default();
        broker.connection = None;
        if std::mem::replace(&mut broker.dialling, true) {
            return;
        }
        let client = self.client.clone();
        let deadline = Instant::now() + self.shared.options.request_timeout;
        let dialled =
            async move { Event::Connected(id, client.connection(id, Purpose::Produce, deadline).await) };
        self.events.push(dialled.boxed());
    }

    fn connected(&mut self, id: BrokerId, outcome: Result<Connection>) {
        let broker = self.brokers.entry(id).or_default();
        broker.dialling = false;
        let error = match outcome {
            Ok(connection) => {
                broker.connection = Some(connection);
                return;
            }
            Err(error) => error,
        };
        tracing::debug!(broker = id.0, %error, "cannot connect to produce");
        for slot in std::mem::take(&mut broker.ready) {
            let route = &mut self.routes[slot];
            route.listed = false;
            if let Some(leader) = route.leader.take_if(|leader| leader.broker == id) {
                self.client.leader_failed(&route.queue.partition, &leader);
            }
            route.last = Some(error.clone());
            self.pause(slot);
        }
    }

    /// Asks for a topic's partitions and leaders, once at a time.
    pub(super) fn look_up(&mut self, topic: Arc<str>, told: Option<oneshot::Sender<Result<()>>>) {
        let asked = self.looking.contains_key(&topic);
        self.looking.entry(Arc::clone(&topic)).or_default().extend(told);
        if !asked {
            let client = self.client.clone();
            let found = async move {
                let outcome = client.topic(&topic).await;
                Event::Found(topic, outcome)
            };
            self.events.push(found.boxed());
        }
    }

    fn found(&mut self, topic: &Arc<str>, outcome: Result<Arc<TopicInfo>>) {
        let waiting = self.looking.remove(topic).unwrap_or_default();
        let told = match outcome {
            Ok(info) => {
                self.learn(&info);
                Ok(())
            }
            Err(error) => {
                let slots: Vec<_> = self
                    .routes_of(topic)
                    .filter(|(_, route)| route.leader.is_none())
                    .map(|(s, _)| s)
                    .collect();
                for slot in slots {
                    self.routes[slot].last = Some(error.clone());
                    self.pause(slot);
                }
                Err(error)
            }
        };
        for waiting in waiting {
            let _ = waiting.send(told.clone());
        }
    }

    fn routes_of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = (usize, &'a Route)> {
        self.routes.iter().enumerate().filter(move |(_, route)| *route.topic == *topic)
    }

    /// Takes what is known of a topic: its partitions, as far as they are new, and their leaders.
    fn learn(&mut self, info: &TopicInfo) {
        let known = self.shared.topic(&info.name);
        let mut partitions = known.as_ref().map_or_else(Vec::new, |known| known.partitions.clone());
        // Partitions are numbered from 0 without gaps; a topic never loses one.
        for index in partitions.len()..info.partitions.len() {
            let slot = self.routes.len();
            let partition = Partition::new(Arc::clone(&info.name), index as i32);
            let queue = Arc::new(PartitionQueue::new(slot, partition));
            partitions.push(Arc::clone(&queue));
            self.routes.push(Route::new(queue, Arc::clone(&info.name), Str::from(&*info.name)));
        }
        let slots: Vec<_> = partitions.iter().map(|queue| queue.slot).collect();
        if !partitions.is_empty()
            && known.as_ref().is_none_or(|known| known.partitions.len() < partitions.len())
        {
            let sticky = match &known {
                Some(known) => Arc::clone(&known.sticky),
                None => Arc::new(Sticky::new(self.client.chance().number())),
            };
            self.shared.install(TopicQueue { name: Arc::clone(&info.name), partitions, sticky });
        }
        for slot in slots {
            let route = &mut self.routes[slot];
            if route.leader.is_none() {
                let found = info.partition(route.queue.partition.index);
                route.leader = found.and_then(|found| {
                    Some(Leader { broker: found.leader?, epoch: found.epoch, topic_id: info.id })
                });
                if route.topic_id.is_some_and(|before| before != info.id) {
                    route.track.forgotten();
                }
                route.topic_id = Some(info.id);
            }
            if route.leader.is_some() {
                self.activate(slot);
            } else if route.track.waiting().next().is_some() {
                let partition = route.queue.partition.clone();
                self.client.invalidate(&partition.topic);
                route.last = Some(Error::NoLeader { partition });
                self.pause(slot);
            }
        }
    }

    /// What is known of the cluster has changed: topics may have grown.
    pub(super) fn topics_changed(&mut self) {
        for topic in self.shared.topics() {
            self.look_up(Arc::clone(&topic.name), None);
        }
    }

    pub(super) fn ask_for_identity(&mut self) {
        self.naming = Naming::Asking;
        let client = self.client.clone();
        let asked = async move {
            let request = InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: i32::MAX,
                ..Default::default()
            };
            let judge = |response: &InitProducerIdResponse| ErrorCode::from(response.error_code);
            let answer = client
                .ask(
                    crate::client::cluster::Ask::new(Target::Any, "an idempotent producer"),
                    |_| request.clone(),
                    judge,
                )
                .await;
            Event::Named(answer.map(|answer| Identity {
                id: answer.response.producer_id,
                epoch: answer.response.producer_epoch,
            }))
        };
        self.events.push(asked.boxed());
    }

    fn named(&mut self, outcome: Result<Identity>) {
        let waiting: Vec<_> =
            (0..self.routes.len()).filter(|&slot| self.routes[slot].track.wants_identity()).collect();
        match outcome {
            Ok(identity) => {
                self.naming = Naming::Known(identity);
                waiting.into_iter().for_each(|slot| self.activate(slot));
            }
            Err(error) => {
                self.naming = Naming::None;
                for slot in waiting {
                    if error.is_retriable() {
                        self.routes[slot].last = Some(error.clone());
                        self.pause(slot);
                    } else {
                        self.give_up_waiting(slot, &error);
                    }
                }
            }
        }
    }
}
