//! OffsetForLeaderEpoch, 2–4: where a leader's time ended (KIP-101, KIP-279, KIP-320).

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopic, OffsetForLeaderTopicResult,
};

use super::{Answer, Call, Serve};

impl Serve for OffsetForLeaderEpochRequest {
    const VERSIONS: RangeInclusive<i16> = 2..=4;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<OffsetForLeaderEpochResponse> {
        let mut one = |topic: &OffsetForLeaderTopic, asked: &OffsetForLeaderPartition| {
            find(call, &topic.topic, asked).unwrap_or_else(|code| refused(asked, code))
        };
        let topics = self.topics.iter().map(|topic| OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions: topic.partitions.iter().map(|asked| one(topic, asked)).collect(),
        });
        Answer::Ready(OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> OffsetForLeaderEpochResponse {
        let topics = self.topics.iter().map(|topic| OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions: topic.partitions.iter().map(|asked| refused(asked, code)).collect(),
        });
        OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
    }
}

fn find(
    call: &mut Call<'_>,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<EpochEndOffset, ErrorCode> {
    let (index, broker) = (asked.partition, call.origin.broker);
    call.faults.partition(ApiKey::OffsetForLeaderEpoch, broker, topic, index)?;
    let partition = call.state.led_by(broker, topic, index, asked.current_leader_epoch)?;
    let (leader_epoch, end_offset) = partition.log.epoch_end(asked.leader_epoch).unwrap_or((-1, -1));
    Ok(EpochEndOffset { partition: index, leader_epoch, end_offset, ..Default::default() })
}

fn refused(asked: &OffsetForLeaderPartition, code: ErrorCode) -> EpochEndOffset {
    EpochEndOffset { partition: asked.partition, error_code: code.code(), ..Default::default() }
}
