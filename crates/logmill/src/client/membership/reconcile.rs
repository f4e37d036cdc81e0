//! Membership by Kafka's newer protocol (KIP-848): every heartbeat says what this member holds, every answer what it is
//! to hold. The broker gives a partition away only after its holder has stopped saying that it holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Partition, Uuid};
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use logmill_protocol::wire::Str;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::driver::{Driver, Next, PAUSE, let_go};
use super::round::millis;
use super::{Event, GroupProtocol, MembershipToken};
use crate::error::{Error, Result};

/// The epoch of who wants to be a member.
const JOINS: i32 = 0;

/// The epoch of who wants to be one no longer.
const LEAVES: i32 = -1;

impl Driver {
    /// Joins, and beats until something fails.
    pub(super) async fn follow(&mut self) -> Result<Next> {
        self.generation = self.generation.max(JOINS);
        let mut assigned = self.owned.clone();
        let mut told = JOINS;
        let mut releasing = None;
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                () = let_go(&mut releasing) => self.forget(&mut releasing),
                () = sleep(pause) => {}
            }
            pause = PAUSE;
            let answer = match self.report().await {
                Ok(Some(answer)) => answer,
                Ok(None) => continue,
                Err(error) if self.is_for_classic(&error) => {
                    debug!(group = self.group, %error, "the classic protocol");
                    (self.refused, self.generation) = (true, -1);
                    return Ok(Next::Rejoin);
                }
                Err(error) => return Err(error),
            };
            if let Some(assignment) = answer.assignment {
                let Some(named) = self.named(assignment).await else { continue };
                assigned = named;
            }
            // Sooner than the broker asks for does no harm: what others wait for is seen sooner.
            let asked = u64::try_from(answer.heartbeat_interval_ms).unwrap_or_default();
            pause = Duration::from_millis(asked).clamp(PAUSE, self.options.heartbeat_interval.max(PAUSE));
            let added: Vec<_> = assigned.difference(&self.owned).cloned().collect();
            let revoked: Vec<_> = self.owned.difference(&assigned).cloned().collect();
            self.owned.extend(added.iter().cloned());
            if told != self.generation || !added.is_empty() {
                debug!(group = self.group, epoch = self.generation, ?added, ?revoked, "assigned");
                let token =
                    MembershipToken { generation: self.generation, member_id: self.member_id.clone() };
                if self.tell(Event::Assigned { partitions: added, token }).await.is_none() {
                    return Ok(Next::End);
                }
                told = self.generation;
            }
            if releasing.is_none() && !revoked.is_empty() {
                releasing = Some(self.revoke(revoked).await);
            }
        }
    }

    /// One heartbeat; `None` if it was not answered, which is no reason to give anything up yet.
    async fn report(&mut self) -> Result<Option<ConsumerGroupHeartbeatResponse>> {
        // All of it each time: no answer that was lost leaves the broker, or this member, with a wrong picture.
        let request = ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: millis(self.options.rebalance_timeout),
            subscribed_topic_names: Some(
                self.options.topics.iter().map(|topic| Str::from(&**topic)).collect(),
            ),
            topic_partitions: Some(self.held()),
            ..self.heartbeat_at(self.generation)
        };
        let asked = Instant::now();
        let deadline = asked + self.session / 3;
        let answer = async { self.coordinator().await?.call(&request, deadline).await }.await;
        match answer.and_then(|answer| self.judge(answer)) {
            Ok(answer) => {
                self.heard(asked);
                self.generation = answer.member_epoch;
                Ok(Some(answer))
            }
            Err(error) if error.is_retriable() && self.is_known() => {
                debug!(group = self.group, %error, "heartbeat not answered");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the broker has the newer protocol, but not for this group: its members are classic ones that it does not
    /// convert, or the protocol is switched off.
    fn is_for_classic(&self, error: &Error) -> bool {
        self.options.protocol == GroupProtocol::Auto
            && self.generation == JOINS
            && matches!(error.code(), Some(ErrorCode::UnsupportedVersion | ErrorCode::GroupIdNotFound))
    }

    /// Says that this member leaves. On the connection of the heartbeats, so that none comes after it.
    pub(super) async fn resign(&self, deadline: Instant) -> Result<()> {
        self.judge(self.coordinator().await?.call(&self.heartbeat_at(LEAVES), deadline).await?).map(drop)
    }

    fn heartbeat_at(&self, member_epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.group.as_str().into(),
            member_id: self.member_id.clone(),
            member_epoch,
            ..Default::default()
        }
    }

    fn judge(&self, answer: ConsumerGroupHeartbeatResponse) -> Result<ConsumerGroupHeartbeatResponse> {
        let message = answer.error_message.as_ref().map(ToString::to_string);
        self.check(ApiKey::ConsumerGroupHeartbeat, answer.error_code).map_err(|error| match error {
            Error::Refused { api, code, subject, .. } => Error::Refused { api, code, subject, message },
            error => error,
        })?;
        Ok(answer)
    }

    fn held(&self) -> Vec<TopicPartitions> {
        let mut held: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for partition in &self.owned {
            if let Some(id) = self.ids.get(&partition.topic) {
                held.entry(*id).or_default().push(partition.index);
            }
        }
        held.into_iter().map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions }).collect()
    }

    /// The partitions that the broker means, which names topics by id. One that nobody knows, such as of a topic just
    /// made, is left out until the next heartbeat. `None` if nobody says.
    async fn named(&mut self, assignment: Assignment) -> Option<BTreeSet<Partition>> {
        let is_unknown = |topic: &TopicPartitions| !self.ids.values().any(|id| *id == topic.topic_id);
        if assignment.topic_partitions.iter().any(is_unknown) {
            let names: Vec<&str> = self.options.topics.iter().map(String::as_str).collect();
            let admin = self.client.admin();
            // In time for the next heartbeat. What is known stays: a broker that has not heard of a topic must not make
            // this member deny what it holds of it.
            match tokio::time::timeout(self.session / 3, admin.describe_topics(&names)).await {
                Ok(Ok(topics)) => self.ids.extend(topics.into_iter().map(|topic| (topic.name, topic.id))),
                Ok(Err(error)) => {
                    warn!(group = self.group, %error, "the assigned topics' names are not known; asking again");
                    return None;
                }
                Err(_) => return None,
            }
        }
        let mut named = BTreeSet::new();
        for topic in assignment.topic_partitions {
            if let Some((name, _)) = self.ids.iter().find(|(_, id)| **id == topic.topic_id) {
                named.extend(topic.partitions.into_iter().map(|index| Partition::new(name.clone(), index)));
            }
        }
        Some(named)
    }
}
