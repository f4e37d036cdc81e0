//! One round of the protocol: join, and learn what is assigned.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use logmill_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use logmill_protocol::wire::Str;
use tokio::time::Instant;
use tracing::warn;

use super::assignor::{self, Member, Members};
use super::driver::Driver;
use super::protocol::{self, ASSIGNOR};
use crate::client::cluster::Purpose;
use crate::client::connection::Connection;
use crate::error::{Error, Result};

/// How much longer than the rebalance timeout a join may take to be answered.
const MARGIN: Duration = Duration::from_secs(5);

/// What a round ended with.
pub(super) struct Joined {
    pub(super) assigned: BTreeSet<Partition>,
    /// If this member is the leader: how many partitions each topic had when it shared them out.
    pub(super) counted: Option<BTreeMap<String, i32>>,
}

impl Driver {
    /// A connection of this membership's own to its coordinator: a join that is held back must not
    /// hold back commits.
    pub(super) async fn coordinator(&self) -> Result<Connection> {
        let deadline = Instant::now() + self.options.session_timeout;
        let outcome = match self.client.coordinator(&self.group, deadline).await {
            Ok(broker) => self.client.connection(broker, Purpose::Group(self.id), deadline).await,
            Err(error) => Err(error),
        };
        outcome.inspect_err(|_| self.client.forget_coordinator(&self.group))
    }

    /// Joins and syncs once. The coordinator answers when all members have joined.
    pub(super) async fn join(&mut self) -> Result<Joined> {
        let connection = self.coordinator().await?;
        let response = self.send_join(&connection).await?;
        self.member_id = response.member_id.clone();
        self.generation = response.generation_id;
        let leads = response.leader == self.member_id && !response.skip_assignment;
        let (assignments, counted) = if leads {
            let (assignments, counted) = self.share_out(&response).await?;
            (assignments, Some(counted))
        } else {
            (Vec::new(), None)
        };
        let request = SyncGroupRequest {
            group_id: self.group.as_str().into(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            protocol_type: Some(Str::from_static("consumer")),
            protocol_name: Some(Str::from_static(ASSIGNOR)),
            assignments,
            ..Default::default()
        };
        let deadline = Instant::now() + self.options.rebalance_timeout + MARGIN;
        let response = connection.call(&request, deadline).await?;
        self.check(ApiKey::SyncGroup, response.error_code)?;
        let assigned = protocol::decode_assignment(response.assignment).map_err(|source| Error::Garbage {
            address: connection.address().clone(),
            api: Some(ApiKey::SyncGroup),
            reason: source.to_string().into(),
        })?;
        Ok(Joined { assigned, counted })
    }

    async fn send_join(&mut self, connection: &Connection) -> Result<JoinGroupResponse> {
        loop {
            let member = Member {
                topics: self.options.topics.iter().cloned().collect(),
                owned: self.owned.iter().cloned().collect(),
                generation: self.generation,
            };
            let encoded = protocol::encode_member(&member, &self.options.about);
            let metadata = encoded.map_err(|source| Error::Encode { api: ApiKey::JoinGroup, source })?;
            let request = JoinGroupRequest {
                group_id: self.group.as_str().into(),
                session_timeout_ms: millis(self.options.session_timeout),
                rebalance_timeout_ms: millis(self.options.rebalance_timeout),
                member_id: self.member_id.clone(),
                protocol_type: Str::from_static("consumer"),
                protocols: vec![JoinGroupRequestProtocol { name: Str::from_static(ASSIGNOR), metadata }],
                ..Default::default()
            };
            let deadline = Instant::now() + self.options.rebalance_timeout + MARGIN;
            let response = connection.call(&request, deadline).await?;
            match ErrorCode::from(response.error_code) {
                // KIP-394: the coordinator names the member first, and lets it in when it comes again.
                ErrorCode::MemberIdRequired if self.member_id != response.member_id => {
                    self.member_id = response.member_id;
                }
                _ => {
                    self.check(ApiKey::JoinGroup, response.error_code)?;
                    return Ok(response);
                }
            }
        }
    }

    /// The leader's part: who gets what.
    async fn share_out(
        &self,
        response: &JoinGroupResponse,
    ) -> Result<(Vec<SyncGroupRequestAssignment>, BTreeMap<String, i32>)> {
        let mut members = Members::new();
        for joined in &response.members {
            match protocol::decode_member(joined.metadata.clone()) {
                Ok(member) => {
                    members.insert(joined.member_id.to_string(), member);
                }
                Err(error) => {
                    warn!(member = %joined.member_id, %error, "a member cannot be understood: it gets no partitions");
                    members.insert(joined.member_id.to_string(), Member::default());
                }
            }
        }
        let topics: BTreeSet<_> = members.values().flat_map(|member| member.topics.iter().cloned()).collect();
        let counted = self.count(&topics).await?;
        let mut assignments = Vec::with_capacity(members.len());
        for (member, partitions) in assignor::assign(&members, &counted) {
            let encoded = protocol::encode_assignment(&partitions);
            let assignment = encoded.map_err(|source| Error::Encode { api: ApiKey::SyncGroup, source })?;
            assignments.push(SyncGroupRequestAssignment { member_id: member.into(), assignment });
        }
        Ok((assignments, counted))
    }

    /// How many partitions each topic has. One that does not exist has none, yet.
    pub(super) async fn count(&self, topics: &BTreeSet<String>) -> Result<BTreeMap<String, i32>> {
        let mut counted = BTreeMap::new();
        for topic in topics {
            match self.client.topic(topic).await {
                Ok(info) => {
                    counted.insert(topic.clone(), i32::try_from(info.partitions.len()).unwrap_or(i32::MAX));
                }
                Err(error @ Error::UnknownTopic { .. }) => {
                    warn!(%topic, %error, "looked for again until it is there");
                    counted.insert(topic.clone(), 0);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(counted)
    }

    /// Judges the answer's error.
    pub(super) fn check(&self, api: ApiKey, code: i16) -> Result<()> {
        ErrorCode::check(code).map_err(|code| {
            if matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
                self.client.forget_coordinator(&self.group);
            }
            Error::refused(api, code, format!("consumer group {:?}", self.group))
        })
    }
}

pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
