//! Produce, 3–13. A batch is checked (format, checksum, codec, count, size, sequence) and stored as it
//! came, with its offsets and the leader epoch written in.
//!
//! Left out: `message.timestamp.type=LogAppendTime`, recompression by `compression.type`, the checks of
//! keys on compacted topics, and the second protocol of transactions (KIP-890).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::produce::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData, TopicProduceResponse,
};
use logmill_protocol::records::Compression;

use super::{Answer, Call, Serve};
use crate::state::batch::Batch;
use crate::state::configs;
use crate::state::log::Log;
use crate::state::producers::Verdict;

/// The first version in which a client may send zstd (KIP-110).
const ZSTD_FROM: i16 = 7;
/// The first version that names topics by id.
const IDS_FROM: i16 = 13;

/// The first version whose answer can name the leader.
const LEADER_FROM: i16 = 10;

/// The batches of a request, checked, in the request's order.
type Checked = std::vec::IntoIter<Result<Batch, ErrorCode>>;

impl Serve for ProduceRequest {
    const VERSIONS: RangeInclusive<i16> = 3..=13;
    type Memo = Checked;

    fn prepare(&self, memo: &mut Checked) {
        let partitions = self.topic_data.iter().flat_map(|topic| &topic.partition_data);
        let check = |records: &Option<bytes::Bytes>| match records {
            Some(records) => Batch::received(records.clone()),
            None => Err(ErrorCode::InvalidRecord),
        };
        *memo = partitions.map(|partition| check(&partition.records)).collect::<Vec<_>>().into_iter();
    }

    fn serve(&self, call: &mut Call<'_>, memo: &mut Checked) -> Answer<ProduceResponse> {
        if !(-1..=1).contains(&self.acks) {
            return Answer::Ready(self.refuse(ErrorCode::InvalidRequiredAcks));
        }
        call.state.expire_transactions();
        let topics = self.topic_data.iter();
        let responses: Vec<_> = topics.map(|topic| store(call, self.acks, topic, memo)).collect();
        let node_endpoints = endpoints(call, &responses);
        Answer::Ready(ProduceResponse { responses, node_endpoints, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> ProduceResponse {
        let refuse = |topic: &TopicProduceData| TopicProduceResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partition_responses: topic.partition_data.iter().map(|p| refused(p.index, code)).collect(),
        };
        ProduceResponse { responses: self.topic_data.iter().map(refuse).collect(), ..Default::default() }
    }

    fn is_silent(&self) -> bool {
        self.acks == 0
    }

    fn failed(response: &ProduceResponse) -> bool {
        response.responses.iter().flat_map(|topic| &topic.partition_responses).any(|p| p.error_code != 0)
    }
}

fn store(
    call: &mut Call<'_>,
    acks: i16,
    topic: &TopicProduceData,
    batches: &mut Checked,
) -> TopicProduceResponse {
    let name = call.state.topics.resolve(call.version >= IDS_FROM, topic.topic_id, &topic.name);
    let mut partition_responses = Vec::with_capacity(topic.partition_data.len());
    for partition in &topic.partition_data {
        let batch = batches.next().unwrap_or(Err(ErrorCode::InvalidRequest));
        partition_responses.push(match &name {
            Ok(name) => append(call, name, partition.index, batch, acks)
                .unwrap_or_else(|code| explained(call, name, partition.index, code)),
            Err(code) => refused(partition.index, *code),
        });
    }
    TopicProduceResponse { name: topic.name.clone(), topic_id: topic.topic_id, partition_responses }
}

fn append(
    call: &mut Call<'_>,
    topic: &str,
    index: i32,
    batch: Result<Batch, ErrorCode>,
    acks: i16,
) -> Result<PartitionProduceResponse, ErrorCode> {
    call.faults.partition(ApiKey::Produce, call.origin.broker, topic, index)?;
    let version = call.version;
    let state = &mut *call.state;
    let Some(settings) = state.topics.get(topic) else { return Err(ErrorCode::UnknownTopicOrPartition) };
    let largest = settings.number(configs::MAX_MESSAGE_BYTES, configs::DEFAULT_MAX_MESSAGE_BYTES);
    let in_sync = settings.number(configs::MIN_INSYNC_REPLICAS, 1);
    let retained = usize::try_from(settings.number(configs::RETENTION_BYTES, -1)).ok();
    let room = state.options.memory_limit.saturating_sub(state.stored_bytes);
    let live = state.brokers.live();
    let id = batch.as_ref().map_or(-1, |batch| batch.header().producer_id);
    let in_transaction = state.transactions.is_open_in(id, topic, index);

    let partition = state.led_by(call.origin.broker, topic, index, -1)?;
    let replicas = partition.replicas.iter().filter(|id| live.contains(id)).count();
    if acks == -1 && (replicas as i64) < in_sync {
        return Err(ErrorCode::NotEnoughReplicas);
    }
    let batch = batch?;
    if batch.compression() == Compression::Zstd && version < ZSTD_FROM {
        return Err(ErrorCode::UnsupportedCompressionType);
    }
    if batch.size() as i64 > largest {
        return Err(ErrorCode::MessageTooLarge);
    }
    let log = &mut partition.log;
    let stored = |base_offset, log: &Log| PartitionProduceResponse {
        index,
        base_offset,
        log_start_offset: log.start(),
        ..Default::default()
    };
    if batch.is_numbered()
        && let Verdict::Stored(before) = log.producers.check(&batch)?
    {
        return Ok(stored(before.first_offset, log));
    }
    if batch.is_transactional() && !in_transaction {
        return Err(ErrorCode::InvalidTxnState);
    }
    let size = batch.size();
    if size > room {
        tracing::warn!(topic, index, "a record batch is refused: the cluster's memory_limit is reached");
        return Err(ErrorCode::KafkaStorageError);
    }
    let base_offset = log.append(batch);
    let freed = retained.map_or(0, |most| log.shrink_to(most));
    let response = stored(base_offset, log);
    state.stored_bytes = state.stored_bytes + size - freed;
    state.wake_partition(topic, index);
    Ok(response)
}

fn refused(index: i32, code: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse { index, error_code: code.code(), base_offset: -1, ..Default::default() }
}

/// A refusal that tells the client who leads, when that is why (KIP-951).
fn explained(call: &Call<'_>, topic: &str, index: i32, code: ErrorCode) -> PartitionProduceResponse {
    let mut refused = refused(index, code);
    if code == ErrorCode::NotLeaderOrFollower
        && call.version >= LEADER_FROM
        && let Some(partition) = call.state.topics.partition(topic, index)
    {
        refused.current_leader =
            LeaderIdAndEpoch { leader_id: partition.leader, leader_epoch: partition.epoch };
    }
    refused
}

/// Where the leaders are that the answer names.
fn endpoints(call: &Call<'_>, responses: &[TopicProduceResponse]) -> Vec<NodeEndpoint> {
    let partitions = responses.iter().flat_map(|topic| &topic.partition_responses);
    let leaders: BTreeSet<i32> = partitions.map(|partition| partition.current_leader.leader_id).collect();
    let endpoint = |node_id| {
        let address = call.state.brokers.address(node_id, call.origin.entry)?;
        let (host, port) = (address.host.clone(), address.port.into());
        Some(NodeEndpoint { node_id, host, port, rack: None })
    };
    leaders.into_iter().filter_map(endpoint).collect()
}
