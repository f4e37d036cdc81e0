//! The second half of a rebalance: the leader hands in the assignment, every member fetches its own.

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::wire::Str;
use tokio::time::Instant;

use super::{Group, Phase};

/// What SyncGroup answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyncAnswer {
    pub(crate) protocol_type: Option<Str>,
    pub(crate) protocol: Option<Str>,
    pub(crate) assignment: Bytes,
}

impl Group {
    /// A member asks for its assignment; the leader brings everybody's. `None`: it has to wait, see
    /// [`Group::synced`].
    pub(crate) fn sync(
        &mut self,
        id: &Str,
        instance: Option<&Str>,
        generation: i32,
        protocol: (Option<&Str>, Option<&Str>),
        assignments: impl Iterator<Item = (Str, Bytes)>,
        now: Instant,
    ) -> Result<Option<SyncAnswer>, ErrorCode> {
        self.advance(now);
        self.member_mut(id, instance)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |named: Option<&Str>, ours: &Option<Str>| named.is_some() && named != ours.as_ref();
        if differs(protocol.0, &self.protocol_type) || differs(protocol.1, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::Empty => Err(ErrorCode::UnknownMemberId),
            Phase::Preparing { .. } => Err(ErrorCode::RebalanceInProgress),
            Phase::Stable => {
                let member = self.member_mut(id, instance)?;
                member.deadline = now + member.session_timeout;
                member.has_synced = true;
                let assignment = member.assignment.clone();
                Ok(Some(self.sync_answer(assignment)))
            }
            Phase::Completing { .. } => {
                if let Some(member) = self.members.get_mut(id) {
                    (member.syncing, member.synced, member.has_synced) = (true, None, true);
                }
                if self.leader.as_ref() == Some(id) {
                    self.assign(assignments, now);
                }
                self.synced(id, now)
            }
        }
    }

    fn assign(&mut self, assignments: impl Iterator<Item = (Str, Bytes)>, now: Instant) {
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        for member in self.members.values_mut().filter(|member| member.syncing) {
            member.syncing = false;
            member.synced = Some(Ok(member.assignment.clone()));
            member.deadline = now + member.session_timeout;
        }
        self.phase = Phase::Stable;
    }

    /// What a member that waits has been answered, once it has.
    pub(crate) fn synced(&mut self, id: &Str, now: Instant) -> Result<Option<SyncAnswer>, ErrorCode> {
        self.advance(now);
        let member = self.members.get_mut(id).ok_or(ErrorCode::UnknownMemberId)?;
        match member.synced.take() {
            None => Ok(None),
            Some(Ok(assignment)) => Ok(Some(self.sync_answer(assignment))),
            Some(Err(code)) => Err(code),
        }
    }

    fn sync_answer(&self, assignment: Bytes) -> SyncAnswer {
        SyncAnswer { protocol_type: self.protocol_type.clone(), protocol: self.protocol.clone(), assignment }
    }
}
