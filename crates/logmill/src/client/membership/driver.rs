//! The task behind a membership: rounds, and heartbeats between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Partition, Uuid};
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::heartbeat::HeartbeatRequest;
use logmill_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use logmill_protocol::wire::Str;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::alive::Alive;
use super::commit::is_stale;
use super::round::Joined;
use super::{Event, MembershipOptions, MembershipToken, Release};
use crate::client::Client;
use crate::client::cluster::Purpose;
use crate::error::{Error, Result};

/// After a round that failed.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// After a refusal that only a person can mend.
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// How often a leader looks whether topics have grown.
const RECOUNT: Duration = Duration::from_secs(10);

/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(5);

/// What comes after a round.
pub(super) enum Next {
    Rejoin,
    End,
}

/// Partitions that the owner is letting go of, and until when it may.
pub(super) type Releasing = Option<(Vec<Partition>, Instant, oneshot::Receiver<()>)>;

/// See the module.
pub(super) struct Driver {
    pub(super) client: Client,
    pub(super) group: String,
    pub(super) options: MembershipOptions,
    /// Tells this membership's connections from those of others of this client.
    pub(super) id: u64,
    pub(super) member_id: Str,
    pub(super) generation: i32,
    /// What this member holds; revoked partitions until they are let go.
    pub(super) owned: BTreeSet<Partition>,
    /// Whether it speaks the newer protocol, whose epochs are generations here.
    pub(super) newer: bool,
    /// The broker has the newer protocol, but not for this group.
    pub(super) refused: bool,
    /// How long it may be silent.
    pub(super) session: Duration,
    /// The ids that the newer protocol knows the topics by.
    pub(super) ids: BTreeMap<Arc<str>, Uuid>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
    last_heard: Instant,
    pub(super) alive: Alive,
}

impl Driver {
    pub(super) fn new(
        client: Client,
        group: String,
        options: MembershipOptions,
        events: mpsc::Sender<Event>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            id: client.chance().number(),
            client,
            group,
            session: options.session_timeout,
            options,
            member_id: Str::default(),
            generation: -1,
            owned: BTreeSet::new(),
            newer: false,
            refused: false,
            ids: BTreeMap::new(),
            events,
            stop,
            last_heard: Instant::now(),
            alive: Alive::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let (stop, events) = (self.stop.clone(), self.events.clone());
        let ended = async {
            loop {
                match self.round().await {
                    Ok(Next::Rejoin) => {}
                    Ok(Next::End) => return,
                    Err(error) => self.failed(error).await,
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            // The owner is gone without leaving: to the coordinator this is a crash.
            () = events.closed() => return,
            () = ended => return,
        }
        self.leave().await;
        self.client.forget_group(self.id);
    }

    async fn round(&mut self) -> Result<Next> {
        if self.generation < 0 {
            self.choose().await?;
        }
        if self.newer { self.follow().await } else { self.classic().await }
    }

    /// Joins, tells the owner, and beats until there is a reason to join again.
    async fn classic(&mut self) -> Result<Next> {
        let asked = Instant::now();
        let joined = self.join().await?;
        self.heard(asked);
        let token = MembershipToken { generation: self.generation, member_id: self.member_id.clone() };
        let added: Vec<_> = joined.assigned.difference(&self.owned).cloned().collect();
        let revoked: Vec<_> = self.owned.difference(&joined.assigned).cloned().collect();
        debug!(group = self.group, generation = self.generation, ?added, ?revoked, "joined");
        self.owned.extend(added.iter().cloned());
        // First the token, under which what is revoked has to be committed.
        if self.tell(Event::Assigned { partitions: added, token }).await.is_none() {
            return Ok(Next::End);
        }
        let releasing = if revoked.is_empty() { None } else { Some(self.revoke(revoked).await) };
        self.beat(joined, releasing).await
    }

    /// The coordinator has answered what it was asked then.
    pub(super) fn heard(&mut self, asked: Instant) {
        self.last_heard = Instant::now();
        self.alive.set(asked + self.session);
    }

    /// Whether the coordinator may still count on this member.
    pub(super) fn is_known(&self) -> bool {
        self.last_heard.elapsed() < self.session
    }

    pub(super) async fn tell(&self, event: Event) -> Option<()> {
        self.events.send(event).await.ok()
    }

    pub(super) async fn revoke(
        &self,
        partitions: Vec<Partition>,
    ) -> (Vec<Partition>, Instant, oneshot::Receiver<()>) {
        let (held, released) = oneshot::channel();
        // In time to join again before the coordinator gives up on this member.
        let deadline = Instant::now() + self.options.rebalance_timeout.mul_f64(0.8);
        let release = Release { partitions: partitions.clone(), deadline, _held: held };
        let _ = self.tell(Event::Revoked { partitions: partitions.clone(), release }).await;
        (partitions, deadline, released)
    }

    /// They are held no more.
    pub(super) fn forget(&mut self, releasing: &mut Releasing) {
        for partition in releasing.take().map(|(partitions, ..)| partitions).unwrap_or_default() {
            self.owned.remove(&partition);
        }
    }

    async fn beat(&mut self, joined: Joined, mut releasing: Releasing) -> Result<Next> {
        let mut beat = tokio::time::interval(self.options.heartbeat_interval);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut recount = tokio::time::interval(RECOUNT);
        recount.reset();
        let mut changes = self.client.changes();
        let mut wanted = false;
        loop {
            tokio::select! {
                biased;
                () = let_go(&mut releasing) => {
                    self.forget(&mut releasing);
                    return Ok(Next::Rejoin);
                }
                _ = beat.tick() => wanted |= self.heartbeat().await?,
                _ = recount.tick() => wanted |= self.has_grown(&joined).await,
                Ok(()) = changes.changed() => wanted |= self.has_grown(&joined).await,
            }
            // What is being let go is let go first; the coordinator waits for this member meanwhile.
            if wanted && releasing.is_none() {
                return Ok(Next::Rejoin);
            }
        }
    }

    /// True if the others are waiting for this member to join again.
    async fn heartbeat(&mut self) -> Result<bool> {
        let request = HeartbeatRequest {
            group_id: self.group.as_str().into(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            ..Default::default()
        };
        let asked = Instant::now();
        let deadline = asked + self.session / 3;
        let answer = async { self.coordinator().await?.call(&request, deadline).await }.await;
        let outcome = answer.and_then(|response| self.check(ApiKey::Heartbeat, response.error_code));
        match outcome {
            Ok(()) => {
                self.heard(asked);
                Ok(false)
            }
            Err(error) if error.code() == Some(ErrorCode::RebalanceInProgress) => {
                self.heard(asked);
                Ok(true)
            }
            // A coordinator that moved or restarted knows this member again when it is back.
            Err(error) if error.is_retriable() && self.is_known() => {
                debug!(group = self.group, %error, "heartbeat not answered");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether this member leads and topics have more partitions than it shared out.
    async fn has_grown(&self, joined: &Joined) -> bool {
        let Some(counted) = &joined.counted else { return false };
        let topics: BTreeSet<_> = counted.keys().cloned().collect();
        let now: Result<BTreeMap<_, _>> = self.count(&topics).await;
        now.is_ok_and(|now| now != *counted)
    }

    /// A round did not succeed: decide what is still held, and wait a little.
    async fn failed(&mut self, error: Error) {
        let code = error.code();
        if code.is_some_and(is_stale) || !self.is_known() {
            warn!(group = self.group, %error, "no longer a member; joining anew");
            if !self.newer && code != Some(ErrorCode::IllegalGeneration) {
                self.member_id = Str::default();
            }
            self.generation = -1;
            let partitions: Vec<_> = std::mem::take(&mut self.owned).into_iter().collect();
            if !partitions.is_empty() {
                let _ = self.tell(Event::Lost { partitions }).await;
            }
            self.last_heard = Instant::now();
            return;
        }
        match code {
            Some(ErrorCode::RebalanceInProgress) => {}
            _ if error.is_retriable() => {
                debug!(group = self.group, %error, "joining again");
                tokio::time::sleep(PAUSE).await;
            }
            _ => {
                tracing::error!(group = self.group, %error, "cannot join the consumer group; trying again");
                tokio::time::sleep(LONG_PAUSE).await;
            }
        }
    }

    async fn leave(&self) {
        if self.member_id.is_empty() {
            return;
        }
        let deadline = Instant::now() + LEAVE;
        let leaving = async {
            if self.newer {
                return self.resign(deadline).await;
            }
            // Not behind a join that may still be held back on this membership's own connection.
            let coordinator = self.client.coordinator(&self.group, deadline).await?;
            let connection = self.client.connection(coordinator, Purpose::Control, deadline).await?;
            let mut request =
                LeaveGroupRequest { group_id: self.group.as_str().into(), ..Default::default() };
            let version = connection.version::<LeaveGroupRequest>()?;
            if version >= 3 {
                let member = MemberIdentity { member_id: self.member_id.clone(), ..Default::default() };
                request.members.push(member);
            } else {
                request.member_id = self.member_id.clone();
            }
            connection.start_at(&request, version, deadline).await?.await.map(drop)
        };
        match tokio::time::timeout_at(deadline, leaving).await {
            Ok(Ok(())) => debug!(group = self.group, "left the consumer group"),
            Ok(Err(error)) => debug!(group = self.group, %error, "did not leave in good order"),
            Err(_) => debug!(group = self.group, "leaving took too long"),
        }
    }
}

/// Until the owner has let go, or has had its time; for ever if there is nothing to let go of.
pub(super) async fn let_go(releasing: &mut Releasing) {
    match releasing {
        Some((_, deadline, released)) => drop(tokio::time::timeout_at(*deadline, released).await),
        None => std::future::pending().await,
    }
}
