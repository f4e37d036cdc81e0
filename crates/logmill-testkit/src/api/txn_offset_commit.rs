//! TxnOffsetCommit, 0–4: offsets that count when the transaction commits.
//!
//! Left out: versions 5 and 6, which are for the second protocol of transactions (KIP-890).

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::{Answer, Call, Serve};
use crate::state::groups::{Committed, Committer};
use crate::state::owned;
use crate::state::transactions::Claim;

impl Serve for TxnOffsetCommitRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<TxnOffsetCommitResponse> {
        if let Err(code) = may_commit(self, call) {
            return Answer::Ready(self.refuse(code));
        }
        Answer::Ready(respond(self, |topic, partition| {
            commit(self, call, topic, partition).err().unwrap_or(ErrorCode::None)
        }))
    }

    fn refuse(&self, code: ErrorCode) -> TxnOffsetCommitResponse {
        respond(self, |_, _| code)
    }
}

fn may_commit(request: &TxnOffsetCommitRequest, call: &mut Call<'_>) -> Result<(), ErrorCode> {
    call.coordinates_group(&request.group_id)?;
    call.state.expire_transactions();
    let claim = Claim {
        id: &request.transactional_id,
        producer_id: request.producer_id,
        epoch: request.producer_epoch,
    };
    // This API never knew PRODUCER_FENCED.
    let open = call.state.transactions.check_group(claim, &request.group_id);
    open.map_err(|code| call.fenced_since(code, i16::MAX))?;
    let by = Committer {
        member: &request.member_id,
        instance: request.group_instance_id.as_ref(),
        generation: request.generation_id_or_member_epoch,
    };
    let now = call.state.now;
    call.state.group_or_new(&request.group_id).may_commit(by, true, now)
}

fn commit(
    request: &TxnOffsetCommitRequest,
    call: &mut Call<'_>,
    topic: &TxnOffsetCommitRequestTopic,
    asked: &TxnOffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
    let index = asked.partition_index;
    if call.state.topics.partition(&topic.name, index).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let metadata = asked.committed_metadata.as_ref();
    let committed = Committed::checked(asked.committed_offset, asked.committed_leader_epoch, metadata)?;
    let group = call.state.group_or_new(&request.group_id);
    group.commit_in(request.producer_id, &owned(&topic.name), index, committed);
    Ok(())
}

fn respond(
    request: &TxnOffsetCommitRequest,
    mut code: impl FnMut(&TxnOffsetCommitRequestTopic, &TxnOffsetCommitRequestPartition) -> ErrorCode,
) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| TxnOffsetCommitResponseTopic {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code(topic, partition).code(),
            })
            .collect(),
        ..Default::default()
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}
