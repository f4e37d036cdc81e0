//! Fetch, 4–18. Waits until there is enough, or an error, or the time is up.
//!
//! Left out: fetch sessions (session id 0 is answered, which tells a client to send whole requests),
//! reading from followers (KIP-392), fetching replicas, tiered storage.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchTopic,
    FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use logmill_protocol::wire::Str;
use tokio::time::Instant;

use super::{Answer, Call, Serve};
use crate::state::log::Log;
use crate::state::topics::PartitionState;
use crate::state::wakes::Watch;

/// The first version that names topics by id.
const IDS_FROM: i16 = 13;
/// The first version whose answer can name the leader's address.
const ENDPOINTS_FROM: i16 = 16;
/// `IsolationLevel` of a reader that wants only committed records.
const READ_COMMITTED: i8 = 1;

impl Serve for FetchRequest {
    const VERSIONS: RangeInclusive<i16> = 4..=18;
    /// When the answer is due.
    type Memo = Option<Instant>;

    fn serve(&self, call: &mut Call<'_>, due: &mut Option<Instant>) -> Answer<FetchResponse> {
        if self.session_id != 0 {
            return Answer::Ready(self.refuse(ErrorCode::FetchSessionIdNotFound));
        }
        call.state.expire_transactions();
        let due = *due.get_or_insert(call.state.after_ms(self.max_wait_ms));
        if call.state.now < due
            && let Some(on) = too_little(self, call)
        {
            let rolled_back = call.state.transactions.next_due().unwrap_or(due);
            return Answer::Wait { until: due.min(rolled_back), on };
        }
        let mut left = usize::try_from(self.max_bytes).unwrap_or(0);
        let mut first = true;
        let mut responses = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let name = call.state.topics.resolve(call.version >= IDS_FROM, topic.topic_id, &topic.topic);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let read = name.clone().and_then(|name| {
                    read(self, call, &name, asked, left, first)
                        .or_else(|code| explained(call, &name, asked.partition, code))
                });
                let read = read.unwrap_or_else(|code| refused(asked.partition, code));
                let bytes = read.records.as_ref().map_or(0, Bytes::len);
                left = left.saturating_sub(bytes);
                first &= bytes == 0;
                partitions.push(read);
            }
            let (topic, topic_id) = (topic.topic.clone(), topic.topic_id);
            responses.push(FetchableTopicResponse { topic, topic_id, partitions });
        }
        let node_endpoints = endpoints(call, &responses);
        Answer::Ready(FetchResponse { responses, node_endpoints, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> FetchResponse {
        let refuse = |topic: &FetchTopic| FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(|p| refused(p.partition, code)).collect(),
        };
        let responses = self.topics.iter().map(refuse).collect();
        FetchResponse { error_code: code.code(), responses, ..Default::default() }
    }
}

/// The offset up to which this reader may read.
fn readable(request: &FetchRequest, log: &Log) -> i64 {
    if request.isolation_level == READ_COMMITTED { log.last_stable() } else { log.end() }
}

/// What to wait for, if nothing can be answered yet. A fault, an error or a diverging epoch is
/// answered at once.
fn too_little(request: &FetchRequest, call: &mut Call<'_>) -> Option<Vec<Watch>> {
    let enough = usize::try_from(request.min_bytes).unwrap_or(0);
    let (mut bytes, mut on) = (0, Vec::new());
    if enough == 0 {
        return None;
    }
    for topic in &request.topics {
        let by_id = call.version >= IDS_FROM;
        let name = call.state.topics.resolve(by_id, topic.topic_id, &topic.topic).ok()?;
        let id = call.state.topics.get(&name)?.id;
        for asked in &topic.partitions {
            if call.faults.concern(ApiKey::Fetch, call.origin.broker, &name, asked.partition) {
                return None;
            }
            let partition = leader(call, &name, asked).ok()?;
            if diverging(&partition.log, asked).ok()?.is_some() {
                return None;
            }
            let most = usize::try_from(asked.partition_max_bytes).unwrap_or(0);
            let until = readable(request, &partition.log);
            bytes += partition.log.readable_bytes(asked.fetch_offset, until, enough.min(most.max(1)));
            if bytes >= enough {
                return None;
            }
            on.push(Watch::Partition(id, asked.partition));
        }
    }
    Some(on)
}

fn leader<'a>(
    call: &'a mut Call<'_>,
    topic: &Str,
    asked: &FetchPartition,
) -> Result<&'a PartitionState, ErrorCode> {
    let broker = call.origin.broker;
    let partition = call.state.led_by(broker, topic, asked.partition, asked.current_leader_epoch)?;
    Ok(partition)
}

/// Where the reader's log and this one part, if what it read last is not in this log (KIP-595's check,
/// used by consumers since Fetch v12).
fn diverging(log: &Log, asked: &FetchPartition) -> Result<Option<EpochEndOffset>, ErrorCode> {
    if asked.last_fetched_epoch >= 0 {
        let found = log.epoch_end(asked.last_fetched_epoch).ok_or(ErrorCode::OffsetOutOfRange)?;
        let (epoch, end_offset) = found;
        if epoch < asked.last_fetched_epoch || end_offset < asked.fetch_offset {
            return Ok(Some(EpochEndOffset { epoch, end_offset }));
        }
    }
    if !(log.start()..=log.end()).contains(&asked.fetch_offset) {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(None)
}

fn read(
    request: &FetchRequest,
    call: &mut Call<'_>,
    topic: &Str,
    asked: &FetchPartition,
    left: usize,
    first: bool,
) -> Result<PartitionData, ErrorCode> {
    call.faults.partition(ApiKey::Fetch, call.origin.broker, topic, asked.partition)?;
    let log = &leader(call, topic, asked)?.log;
    let mut data = PartitionData {
        partition_index: asked.partition,
        high_watermark: log.end(),
        last_stable_offset: log.last_stable(),
        log_start_offset: log.start(),
        records: Some(Bytes::new()),
        ..Default::default()
    };
    if request.isolation_level != READ_COMMITTED {
        data.aborted_transactions = None;
    }
    if let Some(diverging_epoch) = diverging(log, asked)? {
        data.diverging_epoch = diverging_epoch;
        return Ok(data);
    }
    let until = readable(request, log);
    let most = left.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0));
    let (records, end) = log.read(asked.fetch_offset, until, most, first);
    data.records = Some(records);
    if request.isolation_level == READ_COMMITTED {
        let aborted = log.aborted(asked.fetch_offset, end).into_iter();
        let entry = |a: crate::state::log::Aborted| AbortedTransaction {
            producer_id: a.producer_id,
            first_offset: a.first_offset,
        };
        data.aborted_transactions = Some(aborted.map(entry).collect());
    }
    Ok(data)
}

fn refused(partition_index: i32, code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: code.code(),
        high_watermark: -1,
        records: Some(Bytes::new()),
        ..Default::default()
    }
}

/// A refusal that tells the client who leads, when that is why (KIP-951).
fn explained(call: &Call<'_>, topic: &str, index: i32, code: ErrorCode) -> Result<PartitionData, ErrorCode> {
    let stale = matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    let partition = call.state.topics.partition(topic, index).filter(|_| stale).ok_or(code)?;
    let current_leader = LeaderIdAndEpoch { leader_id: partition.leader, leader_epoch: partition.epoch };
    Ok(PartitionData { current_leader, ..refused(index, code) })
}

/// Where the leaders are that the answer names.
fn endpoints(call: &Call<'_>, responses: &[FetchableTopicResponse]) -> Vec<NodeEndpoint> {
    if call.version < ENDPOINTS_FROM {
        return Vec::new();
    }
    let partitions = responses.iter().flat_map(|topic| &topic.partitions);
    let leaders: BTreeSet<i32> = partitions.map(|partition| partition.current_leader.leader_id).collect();
    let endpoint = |node_id| {
        let address = call.state.brokers.address(node_id, call.origin.entry)?;
        let (host, port) = (address.host.clone(), address.port.into());
        Some(NodeEndpoint { node_id, host, port, rack: None })
    };
    leaders.into_iter().filter_map(endpoint).collect()
}
