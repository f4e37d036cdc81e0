//! AddPartitionsToTxn, 0–3, the versions that clients speak; later ones are for brokers.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
};

use super::{Answer, Call, Serve};
use crate::state::owned;
use crate::state::transactions::Claim;

impl Serve for AddPartitionsToTxnRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<AddPartitionsToTxnResponse> {
        let exists = |topic: &AddPartitionsToTxnTopic, index: i32| {
            call.state.topics.partition(&topic.name, index).is_some()
        };
        let topics = &self.v3_and_below_topics;
        if !topics.iter().all(|topic| topic.partitions.iter().all(|&index| exists(topic, index))) {
            // All or nothing: what exists is told that it was not tried.
            return Answer::Ready(respond(self, |topic, index| match exists(topic, index) {
                true => ErrorCode::OperationNotAttempted,
                false => ErrorCode::UnknownTopicOrPartition,
            }));
        }
        let code = add(self, call).err().unwrap_or(ErrorCode::None);
        Answer::Ready(self.refuse(call.fenced_since(code, 2)))
    }

    fn refuse(&self, code: ErrorCode) -> AddPartitionsToTxnResponse {
        respond(self, |_, _| code)
    }
}

fn add(request: &AddPartitionsToTxnRequest, call: &mut Call<'_>) -> Result<(), ErrorCode> {
    let claim = Claim {
        id: &request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        epoch: request.v3_and_below_producer_epoch,
    };
    call.coordinates(claim.id)?;
    call.state.expire_transactions();
    let now = call.state.now;
    let mut open = call.state.transactions.open(claim, now)?;
    for topic in &request.v3_and_below_topics {
        for &index in &topic.partitions {
            open.add_partition(owned(&topic.name), index);
        }
    }
    Ok(())
}

fn respond(
    request: &AddPartitionsToTxnRequest,
    code: impl Fn(&AddPartitionsToTxnTopic, i32) -> ErrorCode,
) -> AddPartitionsToTxnResponse {
    let result = |topic: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .map(|&partition_index| AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: code(topic, partition_index).code(),
            })
            .collect(),
    };
    let results_by_topic_v3_and_below = request.v3_and_below_topics.iter().map(result).collect();
    AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() }
}
