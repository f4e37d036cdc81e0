//! InitProducerId, 0–5, with and without a transactional id.
//!
//! Left out: two-phase commit (version 6), and the expiry of ids.

use std::ops::RangeInclusive;
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Answer, Call, Serve};

/// The first version that knows PRODUCER_FENCED.
const FENCED_FROM: i16 = 4;

impl Serve for InitProducerIdRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<InitProducerIdResponse> {
        Answer::Ready(match init(self, call) {
            Ok((producer_id, producer_epoch)) => {
                InitProducerIdResponse { producer_id, producer_epoch, ..Default::default() }
            }
            Err(code) => self.refuse(call.fenced_since(code, FENCED_FROM)),
        })
    }

    fn refuse(&self, code: ErrorCode) -> InitProducerIdResponse {
        let error_code = code.code();
        InitProducerIdResponse { error_code, producer_id: -1, producer_epoch: -1, ..Default::default() }
    }
}

/// A producer id and its epoch. A producer that has one and asks again gets it with the next epoch.
fn init(request: &InitProducerIdRequest, call: &mut Call<'_>) -> Result<(i64, i16), ErrorCode> {
    let held = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (id @ 0.., epoch @ 0..) => Some((id, epoch)),
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let Some(id) = &request.transactional_id else {
        return Ok(match held {
            // Where epochs end, a new id begins.
            None | Some((_, i16::MAX)) => (call.state.new_producer_id(), 0),
            Some((id, epoch)) => (id, epoch + 1),
        });
    };
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    call.coordinates(id)?;
    call.state.expire_transactions();
    let timeout = Duration::from_millis(u64::try_from(request.transaction_timeout_ms).unwrap_or(0));
    call.state.take_transactional_id(id, timeout, held)
}
