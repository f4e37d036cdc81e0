//! DeleteRecords, 0–2. Offset −1 means up to the high watermark.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopic, DeleteRecordsTopicResult,
};

use super::{Answer, Call, Serve};

impl Serve for DeleteRecordsRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<DeleteRecordsResponse> {
        Answer::Ready(respond(self, |topic, asked| delete(call, &topic.name, asked)))
    }

    fn refuse(&self, code: ErrorCode) -> DeleteRecordsResponse {
        respond(self, |_, _| Err(code))
    }
}

/// Gives the first offset that is left.
fn delete(call: &mut Call<'_>, topic: &str, asked: &DeleteRecordsPartition) -> Result<i64, ErrorCode> {
    let (index, broker) = (asked.partition_index, call.origin.broker);
    call.faults.partition(ApiKey::DeleteRecords, broker, topic, index)?;
    let log = &mut call.state.led_by(broker, topic, index, -1)?.log;
    let below = if asked.offset == -1 { log.end() } else { asked.offset };
    if below < 0 || below > log.end() {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let freed = log.delete_below(below);
    let start = log.start();
    call.state.stored_bytes -= freed;
    call.state.wake_partition(topic, index);
    Ok(start)
}

fn respond(
    request: &DeleteRecordsRequest,
    mut each: impl FnMut(&DeleteRecordsTopic, &DeleteRecordsPartition) -> Result<i64, ErrorCode>,
) -> DeleteRecordsResponse {
    let topics = request.topics.iter().map(|topic| DeleteRecordsTopicResult {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| {
                let deleted = each(topic, partition);
                DeleteRecordsPartitionResult {
                    partition_index: partition.partition_index,
                    low_watermark: deleted.unwrap_or(-1),
                    error_code: deleted.err().map_or(0, ErrorCode::code),
                }
            })
            .collect(),
    });
    DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }
}
