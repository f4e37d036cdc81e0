//! DeleteGroups, 0–3. A group with members stays.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};

impl Serve for DeleteGroupsRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<DeleteGroupsResponse> {
        let one = |id: &Str| result(id, delete(call, id).err().unwrap_or(ErrorCode::None));
        let results = self.groups_names.iter().map(one).collect();
        Answer::Ready(DeleteGroupsResponse { results, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> DeleteGroupsResponse {
        let results = self.groups_names.iter().map(|id| result(id, code)).collect();
        DeleteGroupsResponse { results, ..Default::default() }
    }
}

fn delete(call: &mut Call<'_>, id: &Str) -> Result<(), ErrorCode> {
    call.coordinates_group(id)?;
    let now = call.state.now;
    let group = call.state.groups.get_mut(id).ok_or(ErrorCode::GroupIdNotFound)?;
    group.advance(now);
    if !group.is_empty() {
        return Err(ErrorCode::NonEmptyGroup);
    }
    call.state.groups.remove(id);
    call.state.wake_group(id);
    Ok(())
}

fn result(id: &Str, code: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult { group_id: id.clone(), error_code: code.code(), ..Default::default() }
}
