//! The first exchange on a connection: who we are, what the broker speaks, and whether it is a broker.

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use logmill_protocol::wire::{self, Message, Str};
use tokio::time::Instant;

use super::state::Shared;
use super::{ConnectionOptions, Versions};
use crate::error::{Error, Result};

/// Asks for the broker's versions, in the newest version of the question first. A broker that does
/// not know it says so in version 0, with the versions it does know if it is 2.4 or later (KIP-511).
pub(super) async fn agree(shared: &Shared, options: &ConnectionOptions) -> Result<Versions> {
    let mut version = ApiVersionsRequest::MAX;
    let told = loop {
        let response = ask(shared, version, Instant::now() + options.request_timeout).await?;
        match ErrorCode::from(response.error_code) {
            ErrorCode::None => break response,
            ErrorCode::UnsupportedVersion if version > 0 => {
                let theirs = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions as i16);
                version = theirs.map_or(0, |api| api.max_version.clamp(0, version - 1));
            }
            code => return Err(Error::refused(ApiKey::ApiVersions, code, "")),
        }
    };
    shared.throttle(told.throttle_time_ms);
    let versions = Versions::new(&told.api_keys, options.caps.clone());
    match versions.too_old() {
        Some(version) => Err(Error::TooOld { address: shared.address.clone(), version }),
        None => Ok(versions),
    }
}

async fn ask(shared: &Shared, version: i16, deadline: Instant) -> Result<ApiVersionsResponse> {
    let request = ApiVersionsRequest {
        client_software_name: Str::from_static("logmill"),
        client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
        ..Default::default()
    };
    let answer = shared.start(&request, version, deadline).await?;
    let frame = match answer.await.unwrap_or(Err(Error::Closed { what: "the connection" })) {
        Err(Error::Disconnected { address, api, reason }) => {
            let reason =
                format!("{reason} at the first request; is this a TLS listener, or not a Kafka broker?");
            return Err(Error::Disconnected { address, api, reason: reason.into() });
        }
        other => other?,
    };
    // The error stands behind the correlation id, in every version.
    let refused = frame.get(4..6) == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes()[..]);
    let answered = if refused { 0 } else { version };
    let read = wire::read_response::<ApiVersionsRequest>(frame, answered);
    read.map(|(_, response)| response).map_err(|source| {
        let error = shared.garbage(Some(ApiKey::ApiVersions), &source.to_string());
        shared.close(&error);
        error
    })
}
