//! One look at a log: how old is what stands there.

use std::ops::Range;

use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::records::{Decompressor, Limits};

use super::{FetchOptions, Isolation};
use crate::client::Client;
use crate::error::{Error, Result};

/// How much is fetched to see one record; a batch that is larger comes all the same.
const FETCHED: usize = 16 << 10;

impl Client {
    /// The timestamp, in milliseconds since 1970, of the first record in these offsets that such a reader can see.
    pub(crate) async fn first_timestamp(
        &self,
        partition: &Partition,
        range: Range<Offset>,
        isolation: Isolation,
    ) -> Result<Option<i64>> {
        let mut options = FetchOptions::from_settings(self.settings());
        (options.isolation, options.partition_bytes) = (isolation, FETCHED);
        let mut reader = self.fetch_range(partition.clone(), None, range, &options);
        let mut decompressor = Decompressor::new(Limits::default());
        while let Some(fetched) = reader.next().await? {
            for batch in fetched.batches {
                let damaged = |reason: String| Error::Corrupt {
                    partition: partition.clone(),
                    offset: batch.batch().base_offset(),
                    reason,
                };
                let records = batch.records(&mut decompressor).map_err(|error| damaged(error.to_string()))?;
                if let Some(first) = records.iter().next() {
                    let first = first.map_err(|error| damaged(error.to_string()))?;
                    return Ok(Some(first.timestamp));
                }
            }
        }
        Ok(None)
    }
}
