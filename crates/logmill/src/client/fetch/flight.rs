//! One Fetch request from leaving to landing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Offset, Partition, Uuid};
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, NodeEndpoint, PartitionData,
};
use logmill_protocol::wire::Str;
use tokio::time::Instant;

use super::Isolation;
use crate::client::cluster::{BrokerId, Client, Leader, Purpose};
use crate::error::{Error, Result};

/// From this version on, a Fetch names topics by id (KIP-516).
const BY_ID: i16 = 13;

/// One partition in a fetch.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) partition: Partition,
    pub(super) leader: Leader,
    pub(super) offset: Offset,
    pub(super) max_bytes: usize,
    /// The leader epoch of the batch before `offset`, or −1: a leader whose log went another way from
    /// there says so (KIP-595).
    pub(super) last_epoch: i32,
}

/// What a fetch asks for as a whole.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) isolation: Isolation,
    pub(super) max_wait: Duration,
    pub(super) min_bytes: usize,
    pub(super) max_bytes: usize,
    pub(super) purpose: Purpose,
}

/// A fetch that has ended: one outcome for each partition that was wanted.
pub(super) struct Landed {
    pub(super) broker: BrokerId,
    pub(super) outcomes: Vec<(Wanted, Result<PartitionData>)>,
}

/// A fetch under way. It is on the wire after it was polled once, if the connection was there.
pub(super) type Flight = BoxFuture<'static, Landed>;

/// Sends one Fetch to a broker.
pub(super) fn launch(client: &Client, broker: BrokerId, wanted: Vec<Wanted>, terms: Terms) -> Flight {
    let client = client.clone();
    Box::pin(async move {
        let outcomes = match fly(&client, broker, &wanted, &terms).await {
            Ok(response) => land(&client, wanted, response),
            Err(error) => {
                for it in &wanted {
                    client.leader_failed(&it.partition, &it.leader);
                }
                wanted.into_iter().map(|it| (it, Err(error.clone()))).collect()
            }
        };
        Landed { broker, outcomes }
    })
}

async fn fly(client: &Client, broker: BrokerId, wanted: &[Wanted], terms: &Terms) -> Result<FetchResponse> {
    let deadline = Instant::now() + terms.max_wait + client.request_timeout();
    let connection = client.connection(broker, terms.purpose, deadline).await?;
    let nameless = wanted.iter().any(|it| it.leader.topic_id.is_zero());
    let version = connection.version_up_to::<FetchRequest>(if nameless { BY_ID - 1 } else { i16::MAX })?;
    let response = connection.start_at(&request(wanted, terms, version), version, deadline).await?.await?;
    match ErrorCode::from(response.error_code) {
        ErrorCode::None => Ok(response),
        code => Err(Error::refused(ApiKey::Fetch, code, format!("broker {broker}"))),
    }
}

fn request(wanted: &[Wanted], terms: &Terms, version: i16) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for it in wanted {
        let partition = FetchPartition {
            partition: it.partition.index,
            current_leader_epoch: it.leader.epoch,
            fetch_offset: it.offset,
            last_fetched_epoch: if version >= 12 { it.last_epoch } else { -1 },
            partition_max_bytes: number(it.max_bytes),
            ..Default::default()
        };
        match topics.last_mut() {
            Some(topic) if *topic.topic == *it.partition.topic => topic.partitions.push(partition),
            _ => topics.push(FetchTopic {
                topic: Str::from(&*it.partition.topic),
                topic_id: it.leader.topic_id,
                partitions: vec![partition],
            }),
        }
    }
    FetchRequest {
        max_wait_ms: number(usize::try_from(terms.max_wait.as_millis()).unwrap_or(usize::MAX)),
        min_bytes: number(terms.min_bytes),
        max_bytes: number(terms.max_bytes),
        isolation_level: terms.isolation.level(),
        topics,
        ..Default::default()
    }
}

fn number(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Gives each wanted partition what the response says of it.
fn land(
    client: &Client,
    wanted: Vec<Wanted>,
    response: FetchResponse,
) -> Vec<(Wanted, Result<PartitionData>)> {
    let endpoints = response.node_endpoints;
    let mut brought: BTreeMap<(Str, Uuid, i32), PartitionData> = BTreeMap::new();
    for topic in response.responses {
        for data in topic.partitions {
            // A response names a topic in one way only; the other is empty, as in the lookup below.
            brought.insert((topic.topic.clone(), topic.topic_id, data.partition_index), data);
        }
    }
    let outcome = |it: Wanted| {
        let (index, name) = (it.partition.index, Str::from(&*it.partition.topic));
        let data = brought
            .remove(&(name, Uuid::ZERO, index))
            .or_else(|| brought.remove(&(Str::default(), it.leader.topic_id, index)));
        let outcome = match data {
            Some(data) if data.error_code == 0 => Ok(data),
            Some(data) => {
                let code = data.error_code.into();
                leader_lost(client, &it, &data, &endpoints);
                Err(Error::refused(ApiKey::Fetch, code, it.partition.to_string()))
            }
            None => Err(Error::refused(
                ApiKey::Fetch,
                ErrorCode::UnknownServerError,
                format!("{}: the answer leaves it out", it.partition),
            )),
        };
        (it, outcome)
    };
    wanted.into_iter().map(outcome).collect()
}

/// Learns from a refusal who leads now, if the broker says it (KIP-951); else the cluster is to be asked.
fn leader_lost(client: &Client, wanted: &Wanted, data: &PartitionData, endpoints: &[NodeEndpoint]) {
    let now = &data.current_leader;
    let endpoint = endpoints.iter().find(|endpoint| endpoint.node_id == now.leader_id);
    let leader = Leader { broker: BrokerId(now.leader_id), epoch: now.leader_epoch, ..wanted.leader };
    let moved = now.leader_id >= 0
        && client.leader_moved(&wanted.partition, &leader, endpoint.map(|it| (&*it.host, it.port)));
    if !moved && ErrorCode::from(data.error_code) != ErrorCode::OffsetOutOfRange {
        client.leader_failed(&wanted.partition, &wanted.leader);
    }
}
