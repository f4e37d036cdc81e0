//! What it means when a broker says that a position is out of range.

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::messages::ApiKey;

use super::Isolation;
use crate::client::admin::OffsetAt;
use crate::client::cluster::Client;
use crate::error::{Error, Result};

/// Tells deletion from truncation by asking the leader where its log begins and ends. Below the start,
/// the records were deleted. Above the end, either the leader lags behind what this reader was told,
/// which passes, or the log was cut back: the error is retriable, and whoever retries in vain has a
/// truncation. The position is never moved from here.
pub(super) async fn out_of_range(client: &Client, partition: &Partition, position: Offset) -> Error {
    match log_range(client, partition).await {
        Err(error) => error,
        Ok((log_start, _)) if position < log_start => {
            Error::Deleted { partition: partition.clone(), position, log_start }
        }
        Ok((_, end)) if position > end => Error::BeyondEnd { partition: partition.clone(), position, end },
        // It is in range by now: whoever answered was behind.
        Ok(_) => Error::refused(ApiKey::Fetch, ErrorCode::OffsetNotAvailable, partition.to_string()),
    }
}

/// Where the leader's log begins and ends, transactions or not.
async fn log_range(client: &Client, partition: &Partition) -> Result<(Offset, Offset)> {
    let admin = client.admin();
    let start = admin.offset_at(partition, OffsetAt::Start, Isolation::Uncommitted).await?;
    let end = admin.offset_at(partition, OffsetAt::End, Isolation::Uncommitted).await?;
    let missing =
        || Error::refused(ApiKey::ListOffsets, ErrorCode::OffsetNotAvailable, partition.to_string());
    Ok((start.offset.ok_or_else(missing)?, end.offset.ok_or_else(missing)?))
}
