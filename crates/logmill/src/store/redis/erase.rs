//! Deletes all that a Redis has of a group. Kafka has what counts; a group that goes on has it rebuilt.

use super::{RedisOptions, RedisStore};
use crate::store::StoreError;

/// Keys looked at in one step, so that no step keeps the server busy for long.
const STEP: u32 = 500;

impl RedisStore {
    /// Deletes the keys of `group`, or only counts them unless `execute`.
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    pub async fn delete_group(url: &str, group: &str, execute: bool) -> Result<u64, StoreError> {
        let store = Self::connect(url, group, RedisOptions::default()).await?;
        let (mut cursor, mut found) = ("0".to_owned(), 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(format!("{}*", store.prefix)).arg("COUNT").arg(STEP);
            let (next, keys): (String, Vec<Vec<u8>>) = store.link.send(&scan).await?;
            found += keys.len() as u64;
            if execute && !keys.is_empty() {
                let mut unlink = redis::cmd("UNLINK");
                unlink.arg(keys);
                let _: u64 = store.link.send(&unlink).await?;
            }
            if next == "0" {
                return Ok(found);
            }
            cursor = next;
        }
    }
}
