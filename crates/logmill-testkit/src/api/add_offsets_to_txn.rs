//! AddOffsetsToTxn, 0–4.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{Answer, Call, Serve};
use crate::state::owned;
use crate::state::transactions::Claim;

impl Serve for AddOffsetsToTxnRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<AddOffsetsToTxnResponse> {
        let code = add(self, call).err().unwrap_or(ErrorCode::None);
        Answer::Ready(self.refuse(call.fenced_since(code, 2)))
    }

    fn refuse(&self, code: ErrorCode) -> AddOffsetsToTxnResponse {
        AddOffsetsToTxnResponse { error_code: code.code(), ..Default::default() }
    }
}

fn add(request: &AddOffsetsToTxnRequest, call: &mut Call<'_>) -> Result<(), ErrorCode> {
    let claim = Claim {
        id: &request.transactional_id,
        producer_id: request.producer_id,
        epoch: request.producer_epoch,
    };
    call.coordinates(claim.id)?;
    call.state.expire_transactions();
    let now = call.state.now;
    call.state.transactions.open(claim, now)?.add_group(owned(&request.group_id));
    Ok(())
}
