//! Joining a consumer group.

use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::wire::Str;
use tokio::time::Instant;

use super::{Group, Member, Phase};

/// The most members of a group, ids given out to future ones included. Kafka's own bound is none
/// (`group.max.size`); this one only keeps memory bounded.
const MOST_MEMBERS: usize = 10_000;

/// A wish to join, with what is known of who has it.
#[derive(Debug)]
pub(crate) struct JoinRequest {
    /// Empty for a newcomer.
    pub(crate) member: Str,
    pub(crate) instance: Option<Str>,
    pub(crate) client_id: Str,
    pub(crate) client_host: Str,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: Str,
    pub(crate) protocols: Vec<(Str, Bytes)>,
    /// The id that a newcomer gets.
    pub(crate) fresh_id: Str,
    /// Whether a newcomer has to join again with the id it is given (KIP-394).
    pub(crate) id_required: bool,
    /// Whether the client understands that a static leader need not assign again (KIP-814).
    pub(crate) may_skip_assignment: bool,
}

/// Where a wish to join leads at first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    /// The member waits under this id for the rebalance to end: see [`Group::joined`].
    Waits(Str),
    Answered(JoinAnswer),
    /// Refused; with MEMBER_ID_REQUIRED the id to come back with.
    Refused(ErrorCode, Str),
}

/// What a member learns when it has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinAnswer {
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Str>,
    pub(crate) protocol: Option<Str>,
    pub(crate) leader: Str,
    pub(crate) member: Str,
    pub(crate) skip_assignment: bool,
    /// Id, instance id and subscription of each member, in the order they first joined; only the
    /// leader gets it.
    pub(crate) members: Vec<(Str, Option<Str>, Bytes)>,
}

impl Group {
    /// A member or newcomer asks to join.
    pub(crate) fn join(&mut self, request: JoinRequest, now: Instant) -> Joining {
        self.advance(now);
        let joining = self.begin_join(request, now);
        // A first rebalance without delay is over at once.
        self.advance(now);
        joining
    }

    fn begin_join(&mut self, request: JoinRequest, now: Instant) -> Joining {
        if !self.fits(&request) {
            return Joining::Refused(ErrorCode::InconsistentGroupProtocol, request.member);
        }
        let id = request.member.clone();
        if id.is_empty() {
            return self.join_new(request, now);
        }
        if self.pending.remove(&id).is_some() {
            return self.admit(id, request, now);
        }
        if let Err(code) = self.member_mut(&id, request.instance.as_ref()) {
            return Joining::Refused(code, id);
        }
        let unchanged = self.members.get(&id).is_some_and(|m| m.protocols == request.protocols);
        let leads = self.leader.as_ref() == Some(&id);
        let again = match self.phase {
            Phase::Preparing { .. } => false,
            Phase::Completing { .. } if unchanged => return Joining::Answered(self.join_answer(&id)),
            Phase::Stable if unchanged && !leads => return Joining::Answered(self.join_answer(&id)),
            Phase::Completing { .. } | Phase::Stable => true,
            Phase::Empty => return Joining::Refused(ErrorCode::UnknownMemberId, id),
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.update(request);
        }
        if again {
            self.rebalance(now);
        } else {
            self.complete_if_all_joined(now);
        }
        Joining::Waits(id)
    }

    fn join_new(&mut self, request: JoinRequest, now: Instant) -> Joining {
        if self.members.len() + self.pending.len() >= MOST_MEMBERS {
            return Joining::Refused(ErrorCode::GroupMaxSizeReached, request.member);
        }
        let id = request.fresh_id.clone();
        let Some(instance) = &request.instance else {
            if request.id_required {
                self.pending.insert(id.clone(), now + request.session_timeout);
                return Joining::Refused(ErrorCode::MemberIdRequired, id);
            }
            return self.admit(id, request, now);
        };
        let holder = self.members.iter().find(|(_, m)| m.instance.as_ref() == Some(instance));
        let Some(old) = holder.map(|(id, _)| id.clone()) else { return self.admit(id, request, now) };
        self.replace(old, id, request, now)
    }

    /// A static member came back under a new member id: it takes the old one's place, and nothing is
    /// rebalanced if it wants what it had.
    fn replace(&mut self, old: Str, id: Str, request: JoinRequest, now: Instant) -> Joining {
        let Some(mut member) = self.members.remove(&old) else {
            return Joining::Refused(ErrorCode::UnknownMemberId, old);
        };
        let led = self.leader.as_ref() == Some(&old);
        let unchanged = member.metadata(self.protocol.as_ref())
            == request
                .protocols
                .iter()
                .find(|(n, _)| Some(n) == self.protocol.as_ref())
                .map(|(_, m)| m.clone())
                .unwrap_or_default();
        let may_skip = request.may_skip_assignment;
        member.update(request);
        if led {
            self.leader = Some(id.clone());
        }
        let stays = self.phase == Phase::Stable && unchanged;
        if stays {
            member.joining = false;
            member.deadline = now + member.session_timeout;
        }
        self.members.insert(id.clone(), member);
        if stays {
            let mut answer = self.join_answer(&id);
            if led && may_skip {
                answer.skip_assignment = true;
            } else if led {
                // An older client would assign anew if it saw itself lead.
                answer.leader = old;
                answer.members.clear();
            }
            return Joining::Answered(answer);
        }
        match self.phase {
            Phase::Preparing { .. } => self.complete_if_all_joined(now),
            _ => self.rebalance(now),
        }
        Joining::Waits(id)
    }

    /// Adds a member and rebalances.
    fn admit(&mut self, id: Str, request: JoinRequest, now: Instant) -> Joining {
        self.joins += 1;
        self.grew = true;
        self.protocol_type = Some(request.protocol_type.clone());
        let mut member = Member {
            instance: None,
            client_id: Str::default(),
            client_host: Str::default(),
            protocols: Vec::new(),
            assignment: Bytes::new(),
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            deadline: now,
            order: self.joins,
            joining: true,
            joined: None,
            syncing: false,
            synced: None,
            has_synced: false,
        };
        member.update(request);
        self.members.insert(id.clone(), member);
        match self.phase {
            Phase::Preparing { .. } => self.complete_if_all_joined(now),
            _ => self.rebalance(now),
        }
        Joining::Waits(id)
    }

    /// Whether somebody who offers these protocols can be in the group with those who are.
    fn fits(&self, request: &JoinRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        let mut others =
            self.members.iter().filter(|(id, _)| **id != request.member).map(|(_, m)| m).peekable();
        if others.peek().is_none() {
            return true;
        }
        let others: Vec<_> = others.collect();
        let common = |name: &Str| others.iter().all(|member| member.offers(name));
        self.protocol_type.as_ref() == Some(&request.protocol_type)
            && request.protocols.iter().any(|(name, _)| common(name))
    }

    /// What a member that waits has been answered, once it has. `Err` if it is no member any more.
    pub(crate) fn joined(&mut self, id: &Str, now: Instant) -> Result<Option<JoinAnswer>, ErrorCode> {
        self.advance(now);
        let member = self.members.get_mut(id).ok_or(ErrorCode::UnknownMemberId)?;
        Ok(member.joined.take())
    }

    pub(super) fn join_answer(&self, id: &Str) -> JoinAnswer {
        let leads = self.leader.as_ref() == Some(id);
        let mut members: Vec<_> = self.members.iter().filter(|_| leads).collect();
        members.sort_by_key(|(_, member)| member.order);
        let entry = |(id, member): (&Str, &Member)| {
            (id.clone(), member.instance.clone(), member.metadata(self.protocol.as_ref()))
        };
        JoinAnswer {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: id.clone(),
            skip_assignment: false,
            members: members.into_iter().map(entry).collect(),
        }
    }
}

impl Member {
    /// Takes over what a member says of itself when it joins, and has it wait.
    fn update(&mut self, request: JoinRequest) {
        self.instance = request.instance;
        self.client_id = request.client_id;
        self.client_host = request.client_host;
        self.protocols = request.protocols;
        self.session_timeout = request.session_timeout;
        self.rebalance_timeout = request.rebalance_timeout;
        self.joining = true;
        self.joined = None;
        self.syncing = false;
        self.synced = None;
    }
}
