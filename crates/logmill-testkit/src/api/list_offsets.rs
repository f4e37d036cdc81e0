//! ListOffsets, 1–10: earliest, latest, the first record at or after a time, the record of the
//! greatest timestamp.
//!
//! Left out: tiered storage (the local log is the whole log; nothing is ever uploaded).

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopic, ListOffsetsTopicResponse,
};

use super::{Answer, Call, Serve};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const GREATEST_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// The first version whose answer has the record's leader epoch.
const EPOCH_FROM: i16 = 4;
/// `IsolationLevel` of a reader that wants only committed records.
const READ_COMMITTED: i8 = 1;

impl Serve for ListOffsetsRequest {
    const VERSIONS: RangeInclusive<i16> = 1..=10;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<ListOffsetsResponse> {
        call.state.expire_transactions();
        let mut one = |topic: &ListOffsetsTopic, asked: &ListOffsetsPartition| {
            find(self, call, &topic.name, asked).unwrap_or_else(|code| refused(asked, code))
        };
        let topics = self.topics.iter().map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(|asked| one(topic, asked)).collect(),
        });
        Answer::Ready(ListOffsetsResponse { topics: topics.collect(), ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> ListOffsetsResponse {
        let topics = self.topics.iter().map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(|asked| refused(asked, code)).collect(),
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }
}

fn find(
    request: &ListOffsetsRequest,
    call: &mut Call<'_>,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let (index, broker) = (asked.partition_index, call.origin.broker);
    call.faults.partition(ApiKey::ListOffsets, broker, topic, index)?;
    let partition = call.state.led_by(broker, topic, index, asked.current_leader_epoch)?;
    let log = &partition.log;
    let until = if request.isolation_level == READ_COMMITTED { log.last_stable() } else { log.end() };
    let epochs = call.version >= EPOCH_FROM;
    let found = |offset, timestamp, epoch| ListOffsetsPartitionResponse {
        partition_index: index,
        offset,
        timestamp,
        leader_epoch: if epochs { epoch } else { -1 },
        ..Default::default()
    };
    let found_at = |record: Option<(i64, i64)>| match record {
        Some((offset, timestamp)) if offset < until => found(offset, timestamp, log.epoch_at(offset)),
        _ => found(-1, -1, -1),
    };
    Ok(match asked.timestamp {
        LATEST => found(until, -1, partition.epoch),
        EARLIEST | EARLIEST_LOCAL => found(log.start(), -1, log.epoch_at(log.start())),
        GREATEST_TIMESTAMP => found_at(log.greatest_timestamp()),
        LATEST_TIERED => found(-1, -1, -1),
        time if time >= 0 => found_at(log.first_from(time)),
        _ => return Err(ErrorCode::UnsupportedVersion),
    })
}

fn refused(asked: &ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse {
    let partition_index = asked.partition_index;
    ListOffsetsPartitionResponse { partition_index, error_code: code.code(), ..Default::default() }
}
