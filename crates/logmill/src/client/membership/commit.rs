//! Commits, each under exactly the membership it was read under.

use std::collections::BTreeMap;
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use logmill_protocol::wire::Str;

use super::{Membership, MembershipToken};
use crate::client::cluster::{Ask, Target};
use crate::error::{Error, Result};

/// The newest version that names topics by name; later ones name them by id.
const NEWEST: i16 = 9;

/// How long a commit is tried. The next one carries a newer offset anyway.
const WITHIN: Duration = Duration::from_secs(10);

/// One partition's offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Which partition.
    pub partition: Partition,
    /// Every record below it is handled.
    pub offset: Offset,
    /// The leader epoch it was learnt under, or −1.
    pub leader_epoch: i32,
    /// Kept beside it by the broker, at most `offset.metadata.max.bytes` (4,096 by default).
    pub metadata: String,
}

impl Membership {
    /// Commits under `token`. Answers which partitions the broker refused for reasons of their own (a
    /// deleted topic, metadata that is too long); all others are committed.
    ///
    /// # Errors
    /// [`Error::NotOwner`]: the membership is stale, and nothing was committed. Otherwise no
    /// coordinator answered in time.
    pub async fn commit(
        &self,
        token: &MembershipToken,
        commits: Vec<Commit>,
    ) -> Result<Vec<(Partition, ErrorCode)>> {
        let request = request(&self.group, token, commits);
        let ask = Ask {
            newest: NEWEST,
            within: Some(WITHIN),
            ..Ask::new(Target::Coordinator(self.group.clone()), &self.group)
        };
        match self.client.ask(ask, |_| request.clone(), of_the_whole).await {
            Ok(answer) => Ok(of_partitions(&answer.response)),
            Err(error) => Err(match error.code() {
                Some(code) if is_stale(code) => Error::NotOwner { group: self.group.clone(), code },
                _ => error,
            }),
        }
    }
}

fn request(group: &str, token: &MembershipToken, commits: Vec<Commit>) -> OffsetCommitRequest {
    let mut topics: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for commit in commits {
        let partitions = topics.entry(commit.partition.topic).or_default();
        partitions.push(OffsetCommitRequestPartition {
            partition_index: commit.partition.index,
            committed_offset: commit.offset,
            committed_leader_epoch: commit.leader_epoch,
            committed_metadata: Some(commit.metadata.into()),
        });
    }
    let topics = topics.into_iter().map(|(topic, partitions)| OffsetCommitRequestTopic {
        name: Str::from(&*topic),
        partitions,
        ..Default::default()
    });
    OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: token.generation,
        member_id: token.member_id.clone(),
        topics: topics.collect(),
        ..Default::default()
    }
}

/// The membership that a commit came under is not the coordinator's present one.
pub(super) fn is_stale(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::FencedInstanceId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::StaleMemberEpoch
    )
}

fn codes(response: &OffsetCommitResponse) -> impl Iterator<Item = (Partition, ErrorCode)> {
    response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let name = Partition::new(topic.name.as_str(), partition.partition_index);
            (name, ErrorCode::from(partition.error_code))
        })
    })
}

fn is_of_one(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::None
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::OffsetMetadataTooLarge
            | ErrorCode::InvalidCommitOffsetSize
            | ErrorCode::TopicAuthorizationFailed
    )
}

/// An error that concerns the commit as a whole, which the protocol repeats for every partition.
fn of_the_whole(response: &OffsetCommitResponse) -> ErrorCode {
    codes(response).map(|(_, code)| code).find(|code| !is_of_one(*code)).unwrap_or(ErrorCode::None)
}

fn of_partitions(response: &OffsetCommitResponse) -> Vec<(Partition, ErrorCode)> {
    codes(response).filter(|(_, code)| *code != ErrorCode::None).collect()
}
