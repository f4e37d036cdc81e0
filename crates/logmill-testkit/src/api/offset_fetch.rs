//! OffsetFetch, 1–10; from version 8 on for many groups at once.
//!
//! Left out: the check of member id and epoch (version 9), which is for the newer group protocol.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};

/// The first version that asks for many groups.
const BATCHED_FROM: i16 = 8;
/// The first version that names topics by id.
const IDS_FROM: i16 = 10;
/// The first version of the single-group form whose answer has a leader epoch.
const EPOCH_FROM: i16 = 5;
/// The first version of the single-group form whose answer has an error for the whole group.
const GROUP_ERROR_FROM: i16 = 2;

impl Serve for OffsetFetchRequest {
    const VERSIONS: RangeInclusive<i16> = 1..=10;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<OffsetFetchResponse> {
        if call.version >= BATCHED_FROM {
            let groups = self.groups.iter().map(|group| find(call, group, self.require_stable)).collect();
            return Answer::Ready(OffsetFetchResponse { groups, ..Default::default() });
        }
        let found = find(call, &single(self), self.require_stable);
        Answer::Ready(as_single(self, found, call.version))
    }

    fn refuse(&self, code: ErrorCode) -> OffsetFetchResponse {
        if !self.groups.is_empty() {
            let groups = self.groups.iter().map(|group| refused(group, code)).collect();
            return OffsetFetchResponse { groups, ..Default::default() };
        }
        as_single(self, refused(&single(self), code), EPOCH_FROM)
    }
}

/// The single-group form as the batched one.
fn single(request: &OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topic = |topic: &OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: topic.name.clone(),
        partition_indexes: topic.partition_indexes.clone(),
        ..Default::default()
    };
    OffsetFetchRequestGroup {
        group_id: request.group_id.clone(),
        topics: request.topics.as_ref().map(|topics| topics.iter().map(topic).collect()),
        ..Default::default()
    }
}

fn as_single(
    request: &OffsetFetchRequest,
    group: OffsetFetchResponseGroup,
    version: i16,
) -> OffsetFetchResponse {
    let whole = group.error_code;
    let partition = |p: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: p.partition_index,
        committed_offset: p.committed_offset,
        committed_leader_epoch: if version >= EPOCH_FROM { p.committed_leader_epoch } else { -1 },
        metadata: p.metadata,
        error_code: p.error_code,
    };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    let mut topics: Vec<_> = group.topics.into_iter().map(topic).collect();
    if whole != 0 && version < GROUP_ERROR_FROM {
        // Version 1 can tell an error of the group only in each partition.
        let failed = |index: &i32| OffsetFetchResponsePartition {
            partition_index: *index,
            committed_offset: -1,
            error_code: whole,
            ..Default::default()
        };
        let asked = request.topics.iter().flatten().map(|topic| OffsetFetchResponseTopic {
            name: topic.name.clone(),
            partitions: topic.partition_indexes.iter().map(failed).collect(),
        });
        topics = asked.collect();
    }
    OffsetFetchResponse { topics, error_code: whole, ..Default::default() }
}

fn find(
    call: &mut Call<'_>,
    asked: &OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    if let Err(code) = call.coordinates_group(&asked.group_id) {
        return refused(asked, code);
    }
    let by_id = call.version >= IDS_FROM;
    let state = &*call.state;
    let group = state.groups.get(&asked.group_id);
    let one = |topic: &Str, index: i32| {
        let mut found = OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: -1,
            metadata: Some(Str::default()),
            ..Default::default()
        };
        let Some(group) = group else { return found };
        if require_stable && group.is_unstable(topic, index) {
            found.error_code = ErrorCode::UnstableOffsetCommit.code();
        } else if let Some(committed) = group.committed(topic, index) {
            found.committed_offset = committed.offset;
            found.committed_leader_epoch = committed.leader_epoch;
            found.metadata = Some(committed.metadata.clone());
        }
        found
    };
    let topics = match &asked.topics {
        Some(topics) => topics
            .iter()
            .map(|topic| {
                let name = state.topics.resolve(by_id, topic.topic_id, &topic.name);
                let partition = |&index: &i32| match &name {
                    Ok(name) => one(name, index),
                    Err(code) => failed(index, *code),
                };
                OffsetFetchResponseTopics {
                    name: topic.name.clone(),
                    topic_id: topic.topic_id,
                    partitions: topic.partition_indexes.iter().map(partition).collect(),
                }
            })
            .collect(),
        None => {
            let mut all = BTreeMap::<&Str, Vec<_>>::new();
            for (topic, index, _) in group.into_iter().flat_map(|group| group.all_committed()) {
                all.entry(topic).or_default().push(one(topic, index));
            }
            let entry = |(name, partitions): (&Str, Vec<_>)| OffsetFetchResponseTopics {
                name: name.clone(),
                topic_id: state.topics.get(name).map(|topic| topic.id).unwrap_or_default(),
                partitions,
            };
            all.into_iter().map(entry).collect()
        }
    };
    OffsetFetchResponseGroup { group_id: asked.group_id.clone(), topics, ..Default::default() }
}

fn failed(partition_index: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        metadata: Some(Str::default()),
        error_code: code.code(),
        ..Default::default()
    }
}

fn refused(asked: &OffsetFetchRequestGroup, code: ErrorCode) -> OffsetFetchResponseGroup {
    let group_id = asked.group_id.clone();
    OffsetFetchResponseGroup { group_id, error_code: code.code(), ..Default::default() }
}
