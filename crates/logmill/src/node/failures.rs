//! When records failed first, as far as this node saw: for the dead letter that may come of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use logmill_protocol::ids::{Offset, PartitionKey};

/// So many are remembered. Beyond that all are forgotten: it only makes "first" later.
const MOST: usize = 10_000;

/// Failed records and when each failed first, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct FirstFailures(Mutex<HashMap<(PartitionKey, Offset), i64>>);

impl FirstFailures {
    /// The record failed now. Tells when it did first.
    pub(crate) fn note(&self, partition: &PartitionKey, offset: Offset, now_ms: i64) -> i64 {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= MOST {
            since.clear();
        }
        *since.entry((partition.clone(), offset)).or_insert(now_ms)
    }

    /// The record is handled or given up on.
    pub(crate) fn forget(&self, partition: &PartitionKey, offset: Offset) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(partition.clone(), offset));
    }
}

/// Now, in milliseconds since 1970: what people and record timestamps are told, never what a lease is
/// measured by.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
