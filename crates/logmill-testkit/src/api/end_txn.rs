//! EndTxn, 0–4. The markers are in the logs when it is answered.
//!
//! Left out: version 5, which is for the second protocol of transactions (KIP-890).

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};

use super::{Answer, Call, Serve};
use crate::state::transactions::Claim;

impl Serve for EndTxnRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<EndTxnResponse> {
        let code = end(self, call).err().unwrap_or(ErrorCode::None);
        Answer::Ready(self.refuse(call.fenced_since(code, 2)))
    }

    fn refuse(&self, code: ErrorCode) -> EndTxnResponse {
        EndTxnResponse { error_code: code.code(), ..Default::default() }
    }
}

fn end(request: &EndTxnRequest, call: &mut Call<'_>) -> Result<(), ErrorCode> {
    let claim = Claim {
        id: &request.transactional_id,
        producer_id: request.producer_id,
        epoch: request.producer_epoch,
    };
    call.coordinates(claim.id)?;
    call.state.expire_transactions();
    call.state.end_transaction(claim, request.committed)
}
