//! ApiVersions, 0–4. A version that is not served is answered in version 0 with the error and, as from
//! Kafka 2.4 on, with the versions of ApiVersions itself (KIP-511).
//!
//! Left out: features (none are announced, so transactional clients keep to the first protocol of
//! transactions), and version 5's check of the cluster's id.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};

use super::{Answer, Call, SERVED, Serve, versions};
use crate::state::State;

impl Serve for ApiVersionsRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<ApiVersionsResponse> {
        let api_keys = SERVED.iter().filter_map(|&(api, _)| entry(call.state, api)).collect();
        Answer::Ready(ApiVersionsResponse { api_keys, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> ApiVersionsResponse {
        ApiVersionsResponse { error_code: code.code(), ..Default::default() }
    }
}

fn entry(state: &State, api: ApiKey) -> Option<ApiVersion> {
    let versions = versions(state, api)?;
    // librdkafka before 2.8 believes a broker useless that does not list Produce 0, so Kafka 4 lists
    // it and refuses it (KAFKA-18659). So do we.
    let oldest = if api == ApiKey::Produce { 0 } else { *versions.start() };
    Some(ApiVersion { api_key: api as i16, min_version: oldest, max_version: *versions.end() })
}

/// The answer to a version of ApiVersions that is not served, to be sent as version 0.
pub(crate) fn unsupported(state: &State) -> ApiVersionsResponse {
    let own = entry(state, ApiKey::ApiVersions);
    // Version 3 came with Kafka 2.4, and with it KIP-511.
    let api_keys = own.filter(|own| own.max_version >= 3).into_iter().collect();
    let error_code = ErrorCode::UnsupportedVersion.code();
    ApiVersionsResponse { error_code, api_keys, ..Default::default() }
}
