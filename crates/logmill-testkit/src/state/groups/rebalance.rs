//! How a rebalance begins, who is waited for, and how it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::wire::Str;
use tokio::time::Instant;

use super::{Group, Phase};

impl Group {
    /// Calls all members to join again.
    pub(super) fn rebalance(&mut self, at: Instant) {
        for member in self.members.values_mut().filter(|member| member.syncing) {
            member.syncing = false;
            member.synced = Some(Err(ErrorCode::RebalanceInProgress));
            member.deadline = at + member.session_timeout;
        }
        self.phase = if self.phase == Phase::Empty {
            let (delay, most) = (self.initial_delay, self.rebalance_timeout());
            self.grew = false;
            Phase::Preparing { until: at + delay.min(most), extend_to: Some(at + most) }
        } else {
            Phase::Preparing { until: at + self.rebalance_timeout(), extend_to: None }
        };
        self.complete_if_all_joined(at);
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    pub(super) fn complete_if_all_joined(&mut self, at: Instant) {
        if matches!(self.phase, Phase::Preparing { extend_to: None, .. })
            && self.pending.is_empty()
            && self.members.values().all(|member| member.joining)
        {
            self.complete_join(at);
        }
    }

    pub(super) fn join_is_due(&mut self, at: Instant) {
        if let Phase::Preparing { extend_to: Some(most), .. } = self.phase
            && std::mem::take(&mut self.grew)
            && at < most
            && !self.initial_delay.is_zero()
        {
            self.phase =
                Phase::Preparing { until: (at + self.initial_delay).min(most), extend_to: Some(most) };
            return;
        }
        self.complete_join(at);
    }

    /// Ends the first half of a rebalance: whoever has not joined again is out, static members
    /// excepted, and the rest learn of their generation.
    fn complete_join(&mut self, at: Instant) {
        self.members.retain(|_, member| member.joining || member.instance.is_some());
        if !self.members.is_empty() && !self.members.values().any(|member| member.joining) {
            // Only static members are left, and none of them has come back yet.
            self.phase = Phase::Preparing { until: at + self.rebalance_timeout(), extend_to: None };
            return;
        }
        self.generation += 1;
        let leads = |group: &Self, id: &Str| group.members.get(id).is_some_and(|member| member.joining);
        if !self.leader.as_ref().is_some_and(|leader| leads(self, leader)) {
            let joined = self.members.iter().filter(|(_, member)| member.joining);
            self.leader = joined.min_by_key(|(_, member)| member.order).map(|(id, _)| id.clone());
        }
        self.protocol = self.choose_protocol();
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            return;
        }
        self.phase = Phase::Completing { until: at + self.rebalance_timeout() };
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        let answers: Vec<_> = ids.iter().map(|id| self.join_answer(id)).collect();
        for (member, answer) in self.members.values_mut().zip(answers) {
            if std::mem::take(&mut member.joining) {
                member.deadline = at + member.session_timeout;
                member.joined = Some(answer);
            }
            member.assignment = Bytes::new();
            member.has_synced = false;
        }
    }

    /// Members that never asked for their assignment hold the others up: they go.
    pub(super) fn sync_is_due(&mut self, at: Instant) {
        let late: Vec<Str> =
            self.members.iter().filter(|(_, m)| !m.has_synced).map(|(id, _)| id.clone()).collect();
        for id in &late {
            self.members.remove(id);
            if self.leader.as_ref() == Some(id) {
                self.leader = None;
            }
        }
        self.rebalance(at);
    }

    /// The protocol that most members like best, of those that all of them have. Where votes are
    /// equal, the leader's taste decides.
    fn choose_protocol(&self) -> Option<Str> {
        let all_have = |name: &Str| self.members.values().all(|member| member.offers(name));
        let votes = self.members.values().filter_map(|m| m.protocols.iter().find(|(name, _)| all_have(name)));
        let mut count = BTreeMap::<&Str, usize>::new();
        for (name, _) in votes {
            *count.entry(name).or_default() += 1;
        }
        let most = count.values().copied().max()?;
        let leader = self.members.get(self.leader.as_ref()?)?;
        let liked = leader.protocols.iter().map(|(name, _)| name).find(|name| count.get(name) == Some(&most));
        liked.or_else(|| count.iter().find(|(_, votes)| **votes == most).map(|(name, _)| *name)).cloned()
    }
}
