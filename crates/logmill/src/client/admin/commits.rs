//! The offsets that a consumer group has committed: read, written while nobody is a member, deleted.

use std::collections::BTreeMap;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use logmill_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use logmill_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use logmill_protocol::wire::Str;
use logmill_protocol::work::{CommitMetadata, LaneProgress};

use super::Admin;
use crate::client::cluster::{Ask, Target};
use crate::error::{Error, Result};

/// The newest versions of OffsetCommit and OffsetFetch that name topics by name; later ones use ids.
const BY_NAME: i16 = 9;

/// What a consumer group has committed of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the record before it, or −1.
    pub leader_epoch: i32,
    /// Whatever the committer wrote beside it.
    pub metadata: String,
}

impl Committed {
    /// How far each lane is, and what it has settled above that; a whole partition is one lane. `None` if another
    /// client committed.
    #[must_use]
    pub fn lanes(&self) -> Option<Vec<LaneProgress>> {
        CommitMetadata::decode(&self.metadata, self.offset).map(|metadata| metadata.lanes)
    }

    /// A commit of this offset and nothing else.
    #[must_use]
    pub fn at(offset: Offset) -> Self {
        Self { offset, leader_epoch: -1, metadata: String::new() }
    }
}

impl Admin {
    /// What a consumer group has committed of these partitions, or of all (`None`). A partition without
    /// a commit is left out, and so is all of a group that does not exist.
    ///
    /// # Errors
    /// The coordinator refuses, or cannot be found in time.
    pub async fn committed(
        &self,
        group: &str,
        partitions: Option<&[Partition]>,
    ) -> Result<BTreeMap<Partition, Committed>> {
        let ask = Ask { newest: BY_NAME, ..Ask::new(Target::Coordinator(group.to_owned()), group) };
        let answer =
            self.client.ask(ask, |version| fetch_request(group, partitions, version), fetch_error).await?;
        Ok(fetched(answer.response))
    }

    /// Commits offsets for a consumer group that has no members now, as a reset does.
    ///
    /// # Errors
    /// It has members: only they may commit. Or a partition's commit is refused.
    pub async fn commit(&self, group: &str, commits: &BTreeMap<Partition, Committed>) -> Result<()> {
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (partition, commit) in commits {
            let committed = OffsetCommitRequestPartition {
                partition_index: partition.index,
                committed_offset: commit.offset,
                committed_leader_epoch: commit.leader_epoch,
                committed_metadata: Some(Str::from(&*commit.metadata)),
            };
            match topics.last_mut() {
                Some(topic) if *topic.name == *partition.topic => topic.partitions.push(committed),
                _ => topics.push(OffsetCommitRequestTopic {
                    name: Str::from(&*partition.topic),
                    partitions: vec![committed],
                    ..Default::default()
                }),
            }
        }
        let request = OffsetCommitRequest { group_id: Str::from(group), topics, ..Default::default() };
        let ask = Ask { newest: BY_NAME, ..Ask::new(Target::Coordinator(group.to_owned()), group) };
        let first_error = |codes: &mut dyn Iterator<Item = i16>| {
            codes.map(ErrorCode::from).find(|code| *code != ErrorCode::None).unwrap_or(ErrorCode::None)
        };
        let outcome = self
            .client
            .ask(
                ask,
                |_| request.clone(),
                |response| {
                    first_error(&mut response.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code))
                },
            )
            .await;
        outcome.map(drop).map_err(|error| match error.code() {
            // To a member this says that it is none; to somebody who claims to be none, that others are.
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                let subject = format!("consumer group {group:?}");
                Error::refused(ApiKey::OffsetCommit, ErrorCode::NonEmptyGroup, subject)
            }
            _ => error,
        })
    }

    /// Deletes the offsets that a consumer group has committed of these partitions. Its members must not
    /// be subscribed to their topics.
    ///
    /// # Errors
    /// The coordinator refuses a partition, or the whole.
    pub async fn delete_committed(&self, group: &str, partitions: &[Partition]) -> Result<()> {
        let topics = by_topic(partitions).into_iter().map(|(name, indexes)| OffsetDeleteRequestTopic {
            name: Str::from(name),
            partitions: indexes
                .into_iter()
                .map(|partition_index| OffsetDeleteRequestPartition { partition_index })
                .collect(),
        });
        let request = OffsetDeleteRequest { group_id: Str::from(group), topics: topics.collect() };
        let ask = Ask::new(Target::Coordinator(group.to_owned()), group);
        let judge = |response: &logmill_protocol::messages::offset_delete::OffsetDeleteResponse| {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            let codes = std::iter::once(response.error_code).chain(partitions.map(|p| p.error_code));
            codes.map(ErrorCode::from).find(|code| *code != ErrorCode::None).unwrap_or(ErrorCode::None)
        };
        self.client.ask(ask, |_| request.clone(), judge).await.map(drop)
    }
}

fn by_topic(partitions: &[Partition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.index);
    }
    topics
}

/// OffsetFetch has two shapes: one consumer group up to version 7, a list of them from 8 on.
fn fetch_request(group: &str, partitions: Option<&[Partition]>, version: i16) -> OffsetFetchRequest {
    let topics = partitions.map(by_topic);
    // Commits of open transactions are waited for, where the version can say so.
    let mut request = OffsetFetchRequest { require_stable: version >= 7, ..Default::default() };
    if version >= 8 {
        let named = |(name, partition_indexes)| OffsetFetchRequestTopics {
            name: Str::from(name),
            partition_indexes,
            ..Default::default()
        };
        request.groups.push(OffsetFetchRequestGroup {
            group_id: Str::from(group),
            topics: topics.map(|topics| topics.into_iter().map(named).collect()),
            ..Default::default()
        });
    } else {
        let named =
            |(name, partition_indexes)| OffsetFetchRequestTopic { name: Str::from(name), partition_indexes };
        request.group_id = Str::from(group);
        request.topics = topics.map(|topics| topics.into_iter().map(named).collect());
    }
    request
}

/// The first error in the answer. A group that does not exist has committed nothing, which is none.
fn fetch_error(response: &OffsetFetchResponse) -> ErrorCode {
    let old = response.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| p.error_code));
    let groups = response.groups.iter().flat_map(|group| {
        let partitions = group.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| p.error_code));
        std::iter::once(group.error_code).chain(partitions)
    });
    let mut all = std::iter::once(response.error_code).chain(old).chain(groups).map(ErrorCode::from);
    let is_error = |code: &ErrorCode| !matches!(code, ErrorCode::None | ErrorCode::GroupIdNotFound);
    all.find(is_error).unwrap_or(ErrorCode::None)
}

fn fetched(response: OffsetFetchResponse) -> BTreeMap<Partition, Committed> {
    let entry = |topic: &Str, index, offset, leader_epoch, metadata: Option<Str>| {
        let metadata = metadata.unwrap_or_default().to_string();
        // −1: nothing is committed.
        (offset >= 0)
            .then(|| (Partition::new(topic.as_str(), index), Committed { offset, leader_epoch, metadata }))
    };
    let mut all = BTreeMap::new();
    for topic in response.topics {
        all.extend(topic.partitions.into_iter().filter_map(|p| {
            entry(&topic.name, p.partition_index, p.committed_offset, p.committed_leader_epoch, p.metadata)
        }));
    }
    for topic in response.groups.into_iter().flat_map(|group| group.topics) {
        all.extend(topic.partitions.into_iter().filter_map(|p| {
            entry(&topic.name, p.partition_index, p.committed_offset, p.committed_leader_epoch, p.metadata)
        }));
    }
    all
}
