//! Metadata, 0–13. Brokers that are down are not listed; every live replica is in sync.
//!
//! Left out: racks and authorised operations.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Uuid;
use logmill_protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};
use crate::state::State;
use crate::state::brokers::Brokers;
use crate::state::topics::{NO_LEADER, NewTopic, PartitionState, Topic};

impl Serve for MetadataRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=13;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<MetadataResponse> {
        let asked = self.topics.as_deref().filter(|topics| call.version > 0 || !topics.is_empty());
        let topics = match asked {
            None => call.state.topics.iter().map(|topic| describe(topic, &call.state.brokers)).collect(),
            Some(asked) => asked.iter().map(|topic| find(self, topic, call)).collect(),
        };
        let state = &*call.state;
        Answer::Ready(MetadataResponse {
            brokers: brokers(state, call),
            cluster_id: Some(state.cluster_id.clone()),
            controller_id: state.brokers.controller(),
            topics,
            ..Default::default()
        })
    }

    fn refuse(&self, code: ErrorCode) -> MetadataResponse {
        // Before version 13 there is no error of the whole response, only of topics.
        let refused = |topic: &MetadataRequestTopic| MetadataResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            error_code: code.code(),
            ..Default::default()
        };
        let topics = self.topics.iter().flatten().map(refused).collect();
        MetadataResponse { error_code: code.code(), topics, ..Default::default() }
    }
}

fn brokers(state: &State, call: &Call<'_>) -> Vec<MetadataResponseBroker> {
    let one = |node_id: i32| {
        let address = state.brokers.address(node_id, call.origin.entry)?;
        let (host, port) = (address.host.clone(), address.port.into());
        Some(MetadataResponseBroker { node_id, host, port, rack: None })
    };
    state.brokers.live().into_iter().filter_map(one).collect()
}

fn find(
    request: &MetadataRequest,
    asked: &MetadataRequestTopic,
    call: &mut Call<'_>,
) -> MetadataResponseTopic {
    let refused = |code: ErrorCode, name: Option<Str>, topic_id: Uuid| MetadataResponseTopic {
        error_code: code.code(),
        name,
        topic_id,
        ..Default::default()
    };
    let state = &mut *call.state;
    let Some(name) = asked.name.clone() else {
        let named = state.topics.name_of(asked.topic_id).and_then(|name| state.topics.get(name));
        return match named {
            Some(topic) => describe(topic, &state.brokers),
            None => refused(ErrorCode::UnknownTopicId, None, asked.topic_id),
        };
    };
    if state.topics.get(&name).is_none()
        && state.options.auto_create_topics
        && request.allow_auto_topic_creation
        && let Err((code, _)) = state.create_topic(NewTopic::new(&name, -1), false)
    {
        return refused(code, Some(name), Uuid::ZERO);
    }
    match state.topics.get(&name) {
        Some(topic) => describe(topic, &state.brokers),
        None => refused(ErrorCode::UnknownTopicOrPartition, Some(name), Uuid::ZERO),
    }
}

fn describe(topic: &Topic, brokers: &Brokers) -> MetadataResponseTopic {
    let partition = |(index, partition): (usize, &PartitionState)| {
        let (isr, offline) = partition.replicas.iter().partition(|&&id| brokers.is_up(id));
        let leaderless = partition.leader == NO_LEADER;
        let error = if leaderless { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
        MetadataResponsePartition {
            error_code: error.code(),
            partition_index: index as i32,
            leader_id: partition.leader,
            leader_epoch: partition.epoch,
            replica_nodes: partition.replicas.clone(),
            isr_nodes: isr,
            offline_replicas: offline,
        }
    };
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        partitions: topic.partitions.iter().enumerate().map(partition).collect(),
        ..Default::default()
    }
}
