//! One Produce request per broker, carrying a batch of every partition that has one ready.

use futures_util::FutureExt;
use logmill_protocol::ids::{Partition, Uuid};
use logmill_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use logmill_protocol::records::Stamp;
use tokio::time::Instant;

use super::events::Event;
use super::track::Batch;
use super::{Broker, Route, Sender};
use crate::client::connection::Connection;
use crate::client::producer::options::Options;
use crate::client::{BrokerId, Leader};
use crate::error::Result;

/// The first version that names topics by id instead of by name.
const IDS_FROM: i16 = 13;

/// A batch in a request.
pub(super) struct Passenger {
    pub(super) slot: usize,
    pub(super) leader: Leader,
    pub(super) batch: Batch,
}

/// A request that is not answered yet.
pub(super) struct Flight {
    pub(super) broker: BrokerId,
    /// Topics are named by id in it.
    by_id: bool,
    pub(super) passengers: Vec<Passenger>,
}

impl Flight {
    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.passengers.iter().map(|passenger| &passenger.batch)
    }

    /// The answer for one passenger: by topic and index, wherever it stands. A broker may order answers
    /// as it likes.
    pub(super) fn answer_for<'a>(
        &self,
        passenger: &Passenger,
        partition: &Partition,
        response: &'a ProduceResponse,
    ) -> Option<&'a PartitionProduceResponse> {
        let same = |topic: &&TopicProduceResponse| {
            if self.by_id {
                topic.topic_id == passenger.leader.topic_id
            } else {
                *topic.name == *partition.topic
            }
        };
        let topics = response.responses.iter().filter(same);
        topics.flat_map(|topic| &topic.partition_responses).find(|answer| answer.index == partition.index)
    }
}

impl Sender {
    /// Sends to every broker what is ready for it, as far as it may have more in flight.
    pub(super) async fn send(&mut self) {
        let most = self.shared.options.in_flight;
        let ready: Vec<BrokerId> = self
            .brokers
            .iter()
            .filter(|(_, broker)| !broker.ready.is_empty() && broker.in_flight < most)
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            let connection = self.brokers.get(&id).and_then(|broker| broker.connection.clone());
            match connection.filter(|connection| !connection.is_closed()) {
                Some(connection) => self.send_to(id, &connection).await,
                None => self.dial(id),
            }
        }
    }

    async fn send_to(&mut self, id: BrokerId, connection: &Connection) {
        while let Some(broker) = self.brokers.get_mut(&id) {
            if broker.in_flight >= self.shared.options.in_flight {
                return;
            }
            let (passengers, astray) = board(broker, &mut self.routes, &self.shared.options, id);
            broker.in_flight += usize::from(!passengers.is_empty());
            for slot in astray {
                self.activate(slot);
            }
            if passengers.is_empty() {
                return;
            }
            let number = self.next_flight;
            self.next_flight += 1;
            let (request, version, deadline) = self.request(connection, &passengers);
            let by_id = version.as_ref().is_ok_and(|&version| version >= IDS_FROM);
            self.flights.insert(number, Flight { broker: id, by_id, passengers });
            let version = match version {
                Ok(version) => version,
                Err(error) => {
                    self.happened(Event::Answered(number, Err(error)));
                    continue;
                }
            };
            if request.acks == 0 {
                let connection = connection.clone();
                let told =
                    async move { Event::Told(number, connection.tell(&request, version, deadline).await) };
                self.events.push(told.boxed());
                continue;
            }
            // A place is free: nobody else uses this connection, and it has more places than we use.
            let event = match connection.start_at(&request, version, deadline).await {
                Ok(reply) => reply.map(move |answer| Event::Answered(number, answer)).boxed(),
                Err(error) => {
                    self.happened(Event::Answered(number, Err(error)));
                    return;
                }
            };
            self.events.push(event);
        }
    }

    /// Stamps the batches and lays them out by topic.
    fn request(
        &mut self,
        connection: &Connection,
        passengers: &[Passenger],
    ) -> (ProduceRequest, Result<i16>, Instant) {
        let without_ids = passengers.iter().any(|passenger| passenger.leader.topic_id == Uuid::ZERO);
        let newest = if without_ids { IDS_FROM - 1 } else { i16::MAX };
        let version = connection.version_up_to::<ProduceRequest>(newest);
        let options = &self.shared.options;
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        let mut last = None;
        for passenger in passengers {
            let route = &self.routes[passenger.slot];
            if last != Some(&route.topic) {
                last = Some(&route.topic);
                topic_data.push(TopicProduceData {
                    name: route.wire_name.clone(),
                    topic_id: passenger.leader.topic_id,
                    partition_data: Vec::new(),
                });
            }
            if let Some(topic) = topic_data.last_mut() {
                let index = route.queue.partition.index;
                let records = Some(passenger.batch.closed.bytes().clone());
                topic.partition_data.push(PartitionProduceData { index, records });
            }
        }
        let request = ProduceRequest {
            transactional_id: None,
            acks: options.acks,
            timeout_ms: options.request_timeout.as_millis() as i32,
            topic_data,
        };
        (request, version, Instant::now() + options.request_timeout)
    }
}

/// Takes a batch of each partition in the broker's list, in turn, as many as a request may hold. What
/// has more to send stays in the list. Also gives those that do not belong there any more.
fn board(
    broker: &mut Broker,
    routes: &mut [Route],
    options: &Options,
    id: BrokerId,
) -> (Vec<Passenger>, Vec<usize>) {
    let (mut passengers, mut astray) = (Vec::with_capacity(broker.ready.len()), Vec::new());
    let mut size = 0;
    for _ in 0..broker.ready.len() {
        let Some(slot) = broker.ready.pop_front() else { break };
        let route = &mut routes[slot];
        let next = route.track.next(options.in_flight).map(|batch| batch.closed.len());
        let unnamed = options.idempotent && route.track.wants_identity();
        let leader = route.leader.filter(|leader| leader.broker == id);
        let (Some(leader), Some(length), None, false) = (leader, next, route.not_before, unnamed) else {
            route.listed = false;
            astray.push(slot);
            continue;
        };
        if size + length > options.max_request && size > 0 {
            broker.ready.push_front(slot);
            break;
        }
        let Some(mut batch) = route.track.take(options.idempotent) else { continue };
        batch.closed.stamp(batch.number.map_or_else(Stamp::default, |number| Stamp {
            producer_id: number.identity.id,
            producer_epoch: number.identity.epoch,
            base_sequence: number.sequence,
            ..Stamp::default()
        }));
        size += length;
        passengers.push(Passenger { slot, leader, batch });
        route.listed = route.track.next(options.in_flight).is_some();
        if route.listed {
            broker.ready.push_back(slot);
        }
    }
    // By topic, so that each is named once.
    passengers.sort_by(|a: &Passenger, b| {
        let key = |passenger: &Passenger| &routes[passenger.slot].queue.partition;
        key(a).cmp(key(b))
    });
    (passengers, astray)
}
