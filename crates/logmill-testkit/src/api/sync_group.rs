//! SyncGroup, 0–5: waits until the leader has handed in the assignment.

use std::ops::RangeInclusive;

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::{Answer, Call, Serve};
use crate::state::groups::SyncAnswer;
use crate::state::owned;
use crate::state::wakes::Watch;

impl Serve for SyncGroupRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    /// Whether the member waits already.
    type Memo = bool;

    fn serve(&self, call: &mut Call<'_>, waits: &mut bool) -> Answer<SyncGroupResponse> {
        match step(self, call, std::mem::replace(waits, true)) {
            Ok(answer) => answer,
            Err(code) => Answer::Ready(self.refuse(code)),
        }
    }

    fn refuse(&self, code: ErrorCode) -> SyncGroupResponse {
        SyncGroupResponse { error_code: code.code(), ..Default::default() }
    }
}

fn step(
    request: &SyncGroupRequest,
    call: &mut Call<'_>,
    waits: bool,
) -> Result<Answer<SyncGroupResponse>, ErrorCode> {
    if !waits {
        call.coordinates_group(&request.group_id)?;
    }
    let now = call.state.now;
    let group = call.state.groups.get_mut(&request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
    let answer = if waits {
        group.synced(&request.member_id, now)?
    } else {
        let assignments = request.assignments.iter();
        let instance = request.group_instance_id.as_ref();
        let protocol = (request.protocol_type.as_ref(), request.protocol_name.as_ref());
        let assignments = assignments.map(|a| (owned(&a.member_id), Bytes::copy_from_slice(&a.assignment)));
        group.sync(&request.member_id, instance, request.generation_id, protocol, assignments, now)?
    };
    let until = group.next_due().unwrap_or(now);
    if !waits {
        call.state.wake_group(&request.group_id);
    }
    Ok(match answer {
        Some(SyncAnswer { protocol_type, protocol, assignment }) => Answer::Ready(SyncGroupResponse {
            protocol_type,
            protocol_name: protocol,
            assignment,
            ..Default::default()
        }),
        None => Answer::Wait { until, on: vec![Watch::Group(request.group_id.clone())] },
    })
}
