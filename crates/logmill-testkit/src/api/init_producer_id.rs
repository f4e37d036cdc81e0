//! InitProducerId, 0–5.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Answer, Call, Serve};

impl Serve for InitProducerIdRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<InitProducerIdResponse> {
        Answer::Ready(match init(self, call) {
            Ok((producer_id, producer_epoch)) => {
                InitProducerIdResponse { producer_id, producer_epoch, ..Default::default() }
            }
            Err(code) => self.refuse(code),
        })
    }

    fn refuse(&self, code: ErrorCode) -> InitProducerIdResponse {
        let error_code = code.code();
        InitProducerIdResponse { error_code, producer_id: -1, producer_epoch: -1, ..Default::default() }
    }
}

/// A producer id and its epoch. A producer that has one and asks again gets it with the next epoch.
fn init(request: &InitProducerIdRequest, call: &mut Call<'_>) -> Result<(i64, i16), ErrorCode> {
    let held = (request.producer_id, request.producer_epoch);
    let state = &mut *call.state;
    match held {
        (-1, -1) => Ok((state.new_producer_id(), 0)),
        // Where epochs end, a new id begins.
        (0.., i16::MAX) => Ok((state.new_producer_id(), 0)),
        (id @ 0.., epoch @ 0..) => Ok((id, epoch + 1)),
        _ => Err(ErrorCode::InvalidRequest),
    }
}
