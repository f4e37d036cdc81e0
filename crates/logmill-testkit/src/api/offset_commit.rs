//! OffsetCommit, 2–10. Membership and generation are checked, ownership of the partitions is not: so
//! does Kafka. From outside a group one may commit while it has no members.
//!
//! Left out: expiry of committed offsets.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};
use crate::state::groups::{Committed, Committer};
use crate::state::owned;

/// The first version that names topics by id.
const IDS_FROM: i16 = 10;

impl Serve for OffsetCommitRequest {
    const VERSIONS: RangeInclusive<i16> = 2..=10;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<OffsetCommitResponse> {
        if let Err(code) = may_commit(self, call) {
            return Answer::Ready(self.refuse(code));
        }
        let one = |call: &mut Call<'_>, topic: &OffsetCommitRequestTopic| {
            let name = call.state.topics.resolve(call.version >= IDS_FROM, topic.topic_id, &topic.name);
            let mut commit = |partition: &OffsetCommitRequestPartition| {
                let done = name.clone().and_then(|name| commit(self, call, &name, partition));
                response(partition, done.err().unwrap_or(ErrorCode::None))
            };
            topic.partitions.iter().map(&mut commit).collect()
        };
        let topics = self.topics.iter().map(|topic| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: one(call, topic),
        });
        Answer::Ready(OffsetCommitResponse { topics: topics.collect(), ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> OffsetCommitResponse {
        let topics = self.topics.iter().map(|topic| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(|partition| response(partition, code)).collect(),
        });
        OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
    }
}

fn may_commit(request: &OffsetCommitRequest, call: &mut Call<'_>) -> Result<(), ErrorCode> {
    call.coordinates_group(&request.group_id)?;
    let by = Committer {
        member: &request.member_id,
        instance: request.group_instance_id.as_ref(),
        generation: request.generation_id_or_member_epoch,
    };
    if by.generation >= 0 && !call.state.groups.contains_key(&request.group_id) {
        return Err(ErrorCode::IllegalGeneration);
    }
    let now = call.state.now;
    let allowed = call.state.group_or_new(&request.group_id).may_commit(by, false, now);
    call.state.wake_group(&request.group_id);
    allowed
}

fn commit(
    request: &OffsetCommitRequest,
    call: &mut Call<'_>,
    topic: &Str,
    asked: &OffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
    let index = asked.partition_index;
    call.faults.partition(ApiKey::OffsetCommit, call.origin.broker, topic, index)?;
    if call.state.topics.partition(topic, index).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let metadata = asked.committed_metadata.as_ref();
    let committed = Committed::checked(asked.committed_offset, asked.committed_leader_epoch, metadata)?;
    call.state.group_or_new(&request.group_id).commit(&owned(topic), index, committed);
    Ok(())
}

fn response(partition: &OffsetCommitRequestPartition, code: ErrorCode) -> OffsetCommitResponsePartition {
    let partition_index = partition.partition_index;
    OffsetCommitResponsePartition { partition_index, error_code: code.code() }
}
