//! LeaveGroup, 0–5; from version 3 on for many members at once, static ones by their instance id.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};

use super::{Answer, Call, Serve};

/// The first version that names many members.
const BATCHED_FROM: i16 = 3;

impl Serve for LeaveGroupRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<LeaveGroupResponse> {
        if let Err(code) = call.coordinates_group(&self.group_id) {
            return Answer::Ready(self.refuse(code));
        }
        let now = call.state.now;
        let only = [MemberIdentity { member_id: self.member_id.clone(), ..Default::default() }];
        let members = if call.version >= BATCHED_FROM { &self.members[..] } else { &only };
        let mut left = Vec::with_capacity(members.len());
        for member in members {
            let group = call.state.groups.get_mut(&self.group_id);
            let gone = group
                .ok_or(ErrorCode::UnknownMemberId)
                .and_then(|group| group.leave(&member.member_id, member.group_instance_id.as_ref(), now));
            left.push(MemberResponse {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                error_code: gone.err().map_or(0, ErrorCode::code),
            });
        }
        call.state.wake_group(&self.group_id);
        Answer::Ready(if call.version >= BATCHED_FROM {
            LeaveGroupResponse { members: left, ..Default::default() }
        } else {
            let error_code = left.first().map_or(0, |member| member.error_code);
            LeaveGroupResponse { error_code, ..Default::default() }
        })
    }

    fn refuse(&self, code: ErrorCode) -> LeaveGroupResponse {
        LeaveGroupResponse { error_code: code.code(), ..Default::default() }
    }
}
