//! Heartbeat, 0–4.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::{Answer, Call, Serve};

impl Serve for HeartbeatRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<HeartbeatResponse> {
        let code = beat(self, call).err().unwrap_or(ErrorCode::None);
        Answer::Ready(self.refuse(code))
    }

    fn refuse(&self, code: ErrorCode) -> HeartbeatResponse {
        HeartbeatResponse { error_code: code.code(), ..Default::default() }
    }
}

fn beat(request: &HeartbeatRequest, call: &mut Call<'_>) -> Result<(), ErrorCode> {
    call.coordinates_group(&request.group_id)?;
    let now = call.state.now;
    let group = call.state.groups.get_mut(&request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
    let instance = request.group_instance_id.as_ref();
    let alive = group.heartbeat(&request.member_id, instance, request.generation_id, now);
    call.state.wake_group(&request.group_id);
    alive
}
