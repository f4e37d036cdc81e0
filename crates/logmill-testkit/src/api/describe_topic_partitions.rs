//! DescribeTopicPartitions, 0, page by page.
//!
//! Left out: eligible leader replicas, authorised operations.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};
use crate::state::State;
use crate::state::brokers::Brokers;
use crate::state::topics::{NO_LEADER, PartitionState};

/// The most partitions in one answer, whatever is asked.
const MOST: i32 = 2000;

impl Serve for DescribeTopicPartitionsRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<DescribeTopicPartitionsResponse> {
        let state = &*call.state;
        let mut names: Vec<Str> = match self.topics.is_empty() {
            true => state.topics.iter().map(|topic| topic.name.clone()).collect(),
            false => self.topics.iter().map(|topic| topic.name.clone()).collect(),
        };
        names.sort();
        names.dedup();
        let first = self.cursor.as_ref().map_or("", |cursor| cursor.topic_name.as_str());
        let mut left = self.response_partition_limit.clamp(1, MOST);
        let mut response = DescribeTopicPartitionsResponse::default();
        for name in names.into_iter().filter(|name| name.as_str() >= first) {
            let resumed = self.cursor.as_ref().filter(|cursor| cursor.topic_name == name);
            let from = resumed.map_or(0, |cursor| cursor.partition_index.max(0));
            if left == 0 {
                response.next_cursor = Some(Cursor { topic_name: name, partition_index: from });
                break;
            }
            let topic = describe(state, &name, from, left);
            let shown = topic.partitions.len() as i32;
            let total = state.topics.get(&name).map_or(0, |topic| topic.partitions.len() as i32);
            response.topics.push(topic);
            left -= shown;
            if from + shown < total {
                response.next_cursor = Some(Cursor { topic_name: name, partition_index: from + shown });
                break;
            }
        }
        Answer::Ready(response)
    }

    fn refuse(&self, code: ErrorCode) -> DescribeTopicPartitionsResponse {
        let topics = self.topics.iter().map(|topic| refused(&topic.name, code)).collect();
        DescribeTopicPartitionsResponse { topics, ..Default::default() }
    }
}

fn describe(state: &State, name: &Str, from: i32, most: i32) -> DescribeTopicPartitionsResponseTopic {
    let Some(topic) = state.topics.get(name) else {
        return refused(name, ErrorCode::UnknownTopicOrPartition);
    };
    let partitions = topic.partitions.iter().enumerate().skip(from as usize).take(most as usize);
    DescribeTopicPartitionsResponseTopic {
        name: Some(name.clone()),
        topic_id: topic.id,
        partitions: partitions
            .map(|(index, partition)| shown(index as i32, partition, &state.brokers))
            .collect(),
        ..Default::default()
    }
}

fn shown(
    partition_index: i32,
    partition: &PartitionState,
    brokers: &Brokers,
) -> DescribeTopicPartitionsResponsePartition {
    let (isr_nodes, offline_replicas) = partition.replicas.iter().partition(|&&id| brokers.is_up(id));
    let leaderless = partition.leader == NO_LEADER;
    let error = if leaderless { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    DescribeTopicPartitionsResponsePartition {
        error_code: error.code(),
        partition_index,
        leader_id: partition.leader,
        leader_epoch: partition.epoch,
        replica_nodes: partition.replicas.clone(),
        isr_nodes,
        offline_replicas,
        // Java's client does not survive a null here, though the protocol has one.
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
    }
}

fn refused(name: &Str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    let (name, error_code) = (Some(name.clone()), code.code());
    DescribeTopicPartitionsResponseTopic { error_code, name, ..Default::default() }
}
