//! JoinGroup, 0–9: waits until the rebalance is over.
//!
//! Left out: a bound on the size of a group that can be set; it is 10,000.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};
use crate::state::groups::{JoinAnswer, JoinRequest, Joining};
use crate::state::owned;
use crate::state::wakes::Watch;

/// The first version in which a newcomer has to come back with the id it is given (KIP-394).
const ID_REQUIRED_FROM: i16 = 4;
/// The first version with a rebalance timeout of its own.
const REBALANCE_TIMEOUT_FROM: i16 = 1;
/// The first version in which the name of the chosen protocol may be null, and its type is told.
const PROTOCOL_TYPE_FROM: i16 = 7;
/// The first version in which a leader may be told not to assign (KIP-814).
const SKIP_FROM: i16 = 9;
/// The longest session timeout that a member may ask for (`group.max.session.timeout.ms`).
const LONGEST_SESSION: Duration = Duration::from_secs(1800);

impl Serve for JoinGroupRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=9;
    /// The id under which the member waits.
    type Memo = Option<Str>;

    fn serve(&self, call: &mut Call<'_>, waits: &mut Option<Str>) -> Answer<JoinGroupResponse> {
        let now = call.state.now;
        let id = match waits {
            Some(id) => id.clone(),
            None => match begin(self, call) {
                Ok(Joining::Waits(id)) => waits.insert(id).clone(),
                Ok(Joining::Answered(answer)) => return Answer::Ready(respond(answer, call.version)),
                Ok(Joining::Refused(code, id)) => return Answer::Ready(refused(code, id, call.version)),
                Err(code) => return Answer::Ready(refused(code, self.member_id.clone(), call.version)),
            },
        };
        let version = call.version;
        let Some(group) = call.state.groups.get_mut(&self.group_id) else {
            return Answer::Ready(refused(ErrorCode::UnknownMemberId, id, version));
        };
        match group.joined(&id, now) {
            Ok(Some(answer)) => Answer::Ready(respond(answer, version)),
            Err(code) => Answer::Ready(refused(code, id, version)),
            Ok(None) => {
                let until = group.next_due().unwrap_or(now + LONGEST_SESSION);
                Answer::Wait { until, on: vec![Watch::Group(self.group_id.clone())] }
            }
        }
    }

    fn refuse(&self, code: ErrorCode) -> JoinGroupResponse {
        refused(code, self.member_id.clone(), 0)
    }
}

fn begin(request: &JoinGroupRequest, call: &mut Call<'_>) -> Result<Joining, ErrorCode> {
    call.coordinates_group(&request.group_id)?;
    let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let session_timeout = millis(request.session_timeout_ms);
    if !(call.state.options.group_min_session_timeout..=LONGEST_SESSION).contains(&session_timeout) {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    let rebalance_timeout = if call.version >= REBALANCE_TIMEOUT_FROM {
        millis(request.rebalance_timeout_ms)
    } else {
        session_timeout
    };
    if !request.member_id.is_empty() && !call.state.groups.contains_key(&request.group_id) {
        return Err(ErrorCode::UnknownMemberId);
    }
    let client_id = &call.origin.client_id;
    let name = request.group_instance_id.as_ref().unwrap_or(client_id);
    let fresh_id = format!("{name}-{}", call.state.random.uuid_text()).into();
    let protocols = request.protocols.iter();
    let wish = JoinRequest {
        member: owned(&request.member_id),
        instance: request.group_instance_id.as_ref().map(owned),
        client_id: owned(client_id),
        client_host: call.origin.host.clone(),
        session_timeout,
        rebalance_timeout,
        protocol_type: owned(&request.protocol_type),
        protocols: protocols.map(|p| (owned(&p.name), Bytes::copy_from_slice(&p.metadata))).collect(),
        fresh_id,
        id_required: call.version >= ID_REQUIRED_FROM,
        may_skip_assignment: call.version >= SKIP_FROM,
    };
    let now = call.state.now;
    let joining = call.state.group_or_new(&request.group_id).join(wish, now);
    call.state.wake_group(&request.group_id);
    Ok(joining)
}

fn respond(answer: JoinAnswer, version: i16) -> JoinGroupResponse {
    let member = |(member_id, group_instance_id, metadata): (Str, Option<Str>, Bytes)| {
        JoinGroupResponseMember { member_id, group_instance_id, metadata }
    };
    let protocol = if version >= PROTOCOL_TYPE_FROM {
        answer.protocol
    } else {
        Some(answer.protocol.unwrap_or_default())
    };
    JoinGroupResponse {
        generation_id: answer.generation,
        protocol_type: answer.protocol_type,
        protocol_name: protocol,
        leader: answer.leader,
        skip_assignment: answer.skip_assignment,
        member_id: answer.member,
        members: answer.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn refused(code: ErrorCode, member_id: Str, version: i16) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: code.code(),
        protocol_name: (version < PROTOCOL_TYPE_FROM).then(Str::default),
        member_id,
        ..Default::default()
    }
}
