//! FindCoordinator, 0–6, for consumer groups and transactional ids; from version 4 on many keys at once.
//!
//! Left out: share groups (key type 2).

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};

/// The first version that asks for many keys.
const BATCHED_FROM: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

impl Serve for FindCoordinatorRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<FindCoordinatorResponse> {
        let keys = if call.version >= BATCHED_FROM {
            &self.coordinator_keys[..]
        } else {
            std::slice::from_ref(&self.key)
        };
        let found = keys.iter().map(|key| find(call, self.key_type, key));
        Answer::Ready(response(call.version, found.collect()))
    }

    fn refuse(&self, code: ErrorCode) -> FindCoordinatorResponse {
        // Which version it is, the keys tell.
        let batched = !self.coordinator_keys.is_empty();
        let keys = if batched { &self.coordinator_keys[..] } else { std::slice::from_ref(&self.key) };
        let version = if batched { BATCHED_FROM } else { 0 };
        response(version, keys.iter().map(|key| refused(key, code)).collect())
    }
}

fn find(call: &Call<'_>, key_type: i8, key: &Str) -> Coordinator {
    if !matches!(key_type, GROUP | TRANSACTION) {
        return refused(key, ErrorCode::InvalidRequest);
    }
    if key.is_empty() && key_type == GROUP {
        return refused(key, ErrorCode::InvalidGroupId);
    }
    let brokers = &call.state.brokers;
    let found = brokers.coordinator(key).and_then(|id| Some((id, brokers.address(id, call.origin.entry)?)));
    let Some((node_id, address)) = found else { return refused(key, ErrorCode::CoordinatorNotAvailable) };
    let (host, port) = (address.host.clone(), address.port.into());
    Coordinator { key: key.clone(), node_id, host, port, ..Default::default() }
}

fn refused(key: &Str, code: ErrorCode) -> Coordinator {
    Coordinator {
        key: key.clone(),
        node_id: -1,
        port: -1,
        error_code: code.code(),
        error_message: Some(code.name().into()),
        ..Default::default()
    }
}

fn response(version: i16, found: Vec<Coordinator>) -> FindCoordinatorResponse {
    if version >= BATCHED_FROM {
        return FindCoordinatorResponse { coordinators: found, ..Default::default() };
    }
    let only = found.into_iter().next().unwrap_or_default();
    FindCoordinatorResponse {
        error_code: only.error_code,
        error_message: only.error_message,
        node_id: only.node_id,
        host: only.host,
        port: only.port,
        ..Default::default()
    }
}
