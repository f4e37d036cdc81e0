//! DescribeGroups, 0–6.
//!
//! Left out: authorised operations.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};
use crate::state::groups::{Group, Member};

/// The first version that tells a group that does not exist from one that is dead.
const NOT_FOUND_FROM: i16 = 6;

impl Serve for DescribeGroupsRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<DescribeGroupsResponse> {
        let groups = self.groups.iter().map(|id| describe(call, id)).collect();
        Answer::Ready(DescribeGroupsResponse { groups, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> DescribeGroupsResponse {
        let groups = self.groups.iter().map(|id| refused(id, code)).collect();
        DescribeGroupsResponse { groups, ..Default::default() }
    }
}

fn describe(call: &mut Call<'_>, id: &Str) -> DescribedGroup {
    if let Err(code) = call.coordinates_group(id) {
        return refused(id, code);
    }
    let now = call.state.now;
    let Some(group) = call.state.groups.get_mut(id) else {
        let dead = DescribedGroup { group_state: "Dead".into(), ..refused(id, ErrorCode::None) };
        return if call.version < NOT_FOUND_FROM {
            dead
        } else {
            let text = format!("Group {id} not found.");
            let error_code = ErrorCode::GroupIdNotFound.code();
            DescribedGroup { error_code, error_message: Some(text.into()), ..dead }
        };
    };
    group.advance(now);
    DescribedGroup {
        group_id: id.clone(),
        group_state: group.phase().name().into(),
        protocol_type: group.protocol_type().cloned().unwrap_or_default(),
        protocol_data: group.protocol().cloned().unwrap_or_default(),
        members: group.members().map(|(id, member)| shown(group, id, member)).collect(),
        ..Default::default()
    }
}

fn shown(group: &Group, id: &Str, member: &Member) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: id.clone(),
        group_instance_id: member.instance.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        member_metadata: member.metadata(group.protocol()),
        member_assignment: member.assignment.clone(),
    }
}

fn refused(id: &Str, code: ErrorCode) -> DescribedGroup {
    DescribedGroup { group_id: id.clone(), error_code: code.code(), ..Default::default() }
}
