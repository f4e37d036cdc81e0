//! Offsets that a consumer group committed, also inside transactions, and who may commit.

use std::collections::BTreeMap;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::wire::Str;
use tokio::time::Instant;

use super::{Group, Phase};

/// The longest metadata of a commit, in bytes (`offset.metadata.max.bytes`).
const MOST_METADATA: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Str,
}

impl Committed {
    /// Refuses metadata that is too long.
    pub(crate) fn checked(offset: i64, leader_epoch: i32, metadata: Option<&Str>) -> Result<Self, ErrorCode> {
        let metadata = metadata.map(Str::as_str).unwrap_or_default();
        if metadata.len() > MOST_METADATA {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        // A copy, so that the request's buffer is not kept.
        Ok(Self { offset, leader_epoch, metadata: metadata.into() })
    }
}

/// Who commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committer<'a> {
    pub(crate) member: &'a Str,
    pub(crate) instance: Option<&'a Str>,
    /// −1 for somebody outside the group.
    pub(crate) generation: i32,
}

impl Group {
    /// Whether this committer may commit now. Membership and generation are checked, ownership of the
    /// partitions is not, as in Kafka. From outside one may commit while the group has no members.
    pub(crate) fn may_commit(
        &mut self,
        by: Committer<'_>,
        transactional: bool,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.advance(now);
        let outside = by.generation < 0 && by.member.is_empty() && by.instance.is_none();
        if outside {
            // A transactional producer that names no member is believed (KIP-447 came later).
            let allowed = transactional || self.phase == Phase::Empty;
            return if allowed { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        }
        let (phase, generation) = (self.phase, self.generation);
        let member = self.member_mut(by.member, by.instance)?;
        if by.generation != generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match phase {
            Phase::Completing { .. } if !transactional => Err(ErrorCode::RebalanceInProgress),
            _ => {
                member.deadline = now + member.session_timeout;
                Ok(())
            }
        }
    }

    pub(crate) fn commit(&mut self, topic: &Str, index: i32, committed: Committed) {
        self.offsets.insert((topic.clone(), index), committed);
    }

    /// Commits inside a transaction: it counts when that commits.
    pub(crate) fn commit_in(&mut self, producer_id: i64, topic: &Str, index: i32, committed: Committed) {
        self.open_offsets.entry(producer_id).or_default().insert((topic.clone(), index), committed);
    }

    /// Ends a transaction: its offsets count now, or are dropped.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        if let Some(open) = self.open_offsets.remove(&producer_id).filter(|_| commit) {
            self.offsets.extend(open);
        }
    }

    /// Whether a transaction that is open has committed an offset for the partition.
    pub(crate) fn is_unstable(&self, topic: &str, index: i32) -> bool {
        self.open_offsets.values().flat_map(BTreeMap::keys).any(|(t, i)| t == topic && *i == index)
    }

    pub(crate) fn committed(&self, topic: &Str, index: i32) -> Option<&Committed> {
        self.offsets.get(&(topic.clone(), index))
    }

    /// Every partition with a committed offset.
    pub(crate) fn all_committed(&self) -> impl Iterator<Item = (&Str, i32, &Committed)> {
        self.offsets.iter().map(|((topic, index), committed)| (topic, *index, committed))
    }

    pub(crate) fn delete_committed(&mut self, topic: &Str, index: i32) {
        self.offsets.remove(&(topic.clone(), index));
    }

    /// Forgets the offsets of a topic that was deleted.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.offsets.retain(|(name, _), _| name != topic);
        for open in self.open_offsets.values_mut() {
            open.retain(|(name, _), _| name != topic);
        }
    }
}
