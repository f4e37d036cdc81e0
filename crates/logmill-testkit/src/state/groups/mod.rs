//! Consumer groups by the classic protocol: who is a member, which generation holds, when a rebalance
//! begins and ends. Times come in with each call; what is due since the last one is done first, in the
//! order of its times, so the outcome does not depend on when somebody looked.

mod join;
mod offsets;
mod rebalance;
mod sync;

pub(crate) use join::{JoinAnswer, JoinRequest, Joining};
pub(crate) use offsets::{Committed, Committer};
pub(crate) use sync::SyncAnswer;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use logmill_protocol::wire::{Message, Reader, Str};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Member {
    /// The identity of a static member (KIP-345).
    pub(crate) instance: Option<Str>,
    pub(crate) client_id: Str,
    pub(crate) client_host: Str,
    /// The protocols it offers, the one it likes best first, each with its subscription.
    pub(crate) protocols: Vec<(Str, Bytes)>,
    pub(crate) assignment: Bytes,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    /// When it counts as dead, unless it is heard of before.
    deadline: Instant,
    /// How many members joined before it, ever.
    order: u64,
    /// Whether its JoinGroup waits for the rebalance to end.
    joining: bool,
    joined: Option<JoinAnswer>,
    /// Whether its SyncGroup waits for the leader's.
    syncing: bool,
    synced: Option<Result<Bytes, ErrorCode>>,
    /// Whether it asked for its assignment in this generation.
    has_synced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No member; only offsets, if anything.
    Empty,
    /// Members are to join again until then. While it is a new group's first rebalance, `extend_to`
    /// is how long newcomers may put that off.
    Preparing {
        until: Instant,
        extend_to: Option<Instant>,
    },
    /// All have joined; the leader's assignment is awaited, and every member until then.
    Completing {
        until: Instant,
    },
    Stable,
}

impl Phase {
    /// Kafka's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing { .. } => "PreparingRebalance",
            Self::Completing { .. } => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// One consumer group.
#[derive(Debug)]
pub(crate) struct Group {
    phase: Phase,
    generation: i32,
    protocol_type: Option<Str>,
    protocol: Option<Str>,
    leader: Option<Str>,
    members: BTreeMap<Str, Member>,
    /// Member ids given out and not yet used (KIP-394), and when each expires.
    pending: BTreeMap<Str, Instant>,
    /// How many members ever joined.
    joins: u64,
    /// Whether somebody came while a first rebalance was put off.
    grew: bool,
    initial_delay: Duration,
    offsets: BTreeMap<(Str, i32), Committed>,
    /// Offsets committed inside transactions that are open, by producer id.
    open_offsets: BTreeMap<i64, BTreeMap<(Str, i32), Committed>>,
}

/// Something that becomes due.
enum Due {
    Session(Str),
    Pending(Str),
    Join,
    Sync,
}

impl Group {
    /// A group without members. Its first rebalance is put off by `initial_delay`.
    pub(crate) fn new(initial_delay: Duration) -> Self {
        Self {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            joins: 0,
            grew: false,
            initial_delay,
            offsets: BTreeMap::new(),
            open_offsets: BTreeMap::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn protocol_type(&self) -> Option<&Str> {
        self.protocol_type.as_ref()
    }

    /// The protocol that the members agreed on.
    pub(crate) fn protocol(&self) -> Option<&Str> {
        self.protocol.as_ref()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&Str, &Member)> {
        self.members.iter()
    }

    /// Whether a member is subscribed to the topic, as far as the group is one of consumers. A
    /// subscription that cannot be read counts as one to everything.
    pub(crate) fn subscribes_to(&self, topic: &str) -> bool {
        if self.protocol_type.as_ref().is_some_and(|kind| *kind != "consumer") {
            return false;
        }
        self.members.values().any(|member| {
            let mut input = Reader::new(member.metadata(self.protocol.as_ref()));
            let read = input.i16("version").and_then(|version| {
                let known =
                    version.clamp(ConsumerProtocolSubscription::MIN, ConsumerProtocolSubscription::MAX);
                ConsumerProtocolSubscription::decode(&mut input, known)
            });
            read.map_or(true, |subscription| subscription.topics.iter().any(|name| *name == *topic))
        })
    }

    /// Whether it has neither members nor ids given out to future ones.
    pub(crate) fn is_empty(&self) -> bool {
        self.phase == Phase::Empty && self.pending.is_empty()
    }

    /// When the next thing becomes due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due().map(|(at, _)| at)
    }

    fn due(&self) -> Option<(Instant, Due)> {
        let alive = |m: &Member| m.joining || m.syncing;
        let sessions = self
            .members
            .iter()
            .filter(|(_, m)| !alive(m))
            .map(|(id, m)| (m.deadline, Due::Session(id.clone())));
        let pending = self.pending.iter().map(|(id, &at)| (at, Due::Pending(id.clone())));
        let phase = match self.phase {
            Phase::Preparing { until, .. } => Some((until, Due::Join)),
            Phase::Completing { until } => Some((until, Due::Sync)),
            Phase::Empty | Phase::Stable => None,
        };
        sessions.chain(pending).chain(phase).min_by_key(|(at, _)| *at)
    }

    /// Does everything that became due up to `now`. Tells whether anything did.
    pub(crate) fn advance(&mut self, now: Instant) -> bool {
        let mut changed = false;
        while let Some((at, due)) = self.due().filter(|(at, _)| *at <= now) {
            changed = true;
            match due {
                Due::Session(id) => self.remove(&id, at),
                Due::Pending(id) => {
                    self.pending.remove(&id);
                    self.complete_if_all_joined(at);
                }
                Due::Join => self.join_is_due(at),
                Due::Sync => self.sync_is_due(at),
            }
        }
        changed
    }

    /// Takes a member out and rebalances what is left.
    fn remove(&mut self, id: &Str, at: Instant) {
        if self.members.remove(id).is_none() {
            return;
        }
        if self.leader.as_ref() == Some(id) {
            self.leader = None;
        }
        match self.phase {
            Phase::Stable | Phase::Completing { .. } => self.rebalance(at),
            Phase::Preparing { .. } => self.complete_if_all_joined(at),
            Phase::Empty => {}
        }
    }

    /// The member, if the request that names it is its own: a static member is fenced by another that
    /// took its instance id.
    fn member_mut(&mut self, id: &Str, instance: Option<&Str>) -> Result<&mut Member, ErrorCode> {
        if let Some(instance) = instance {
            let holder = self.members.iter().find(|(_, m)| m.instance.as_ref() == Some(instance));
            match holder {
                None => return Err(ErrorCode::UnknownMemberId),
                Some((holder, _)) if holder != id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        self.members.get_mut(id).ok_or(ErrorCode::UnknownMemberId)
    }

    /// A sign of life. Tells the member to join again if a rebalance is on.
    pub(crate) fn heartbeat(
        &mut self,
        id: &Str,
        instance: Option<&Str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.advance(now);
        let (phase, current) = (self.phase, self.generation);
        let member = self.member_mut(id, instance)?;
        if generation != current {
            return Err(ErrorCode::IllegalGeneration);
        }
        member.deadline = now + member.session_timeout;
        match phase {
            Phase::Empty => Err(ErrorCode::UnknownMemberId),
            Phase::Preparing { .. } => Err(ErrorCode::RebalanceInProgress),
            Phase::Completing { .. } | Phase::Stable => Ok(()),
        }
    }

    /// A member says goodbye. A static one may be named by its instance id alone.
    pub(crate) fn leave(&mut self, id: &Str, instance: Option<&Str>, now: Instant) -> Result<(), ErrorCode> {
        self.advance(now);
        if self.pending.remove(id).is_some() {
            self.complete_if_all_joined(now);
            return Ok(());
        }
        let id = match instance {
            Some(instance) if id.is_empty() => {
                let holder = self.members.iter().find(|(_, m)| m.instance.as_ref() == Some(instance));
                holder.map(|(id, _)| id.clone()).ok_or(ErrorCode::UnknownMemberId)?
            }
            _ => id.clone(),
        };
        self.member_mut(&id, instance)?;
        self.remove(&id, now);
        // A group whose last member left has nothing to wait for.
        self.advance(now);
        Ok(())
    }
}

impl Member {
    fn offers(&self, name: &Str) -> bool {
        self.protocols.iter().any(|(offered, _)| offered == name)
    }

    /// What it sent with this protocol.
    pub(crate) fn metadata(&self, protocol: Option<&Str>) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| Some(name) == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}
