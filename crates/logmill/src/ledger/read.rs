//! The entries a ledger has now.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use logmill_protocol::ids::Offset;
use logmill_protocol::records::{Decompressor, Limits};

use super::Ledger;
use super::entry::{EntryKey, Logged};
use crate::client::admin::OffsetAt;
use crate::client::fetch::{FetchOptions, Fetched, Isolation};
use crate::error::{Error, Result};

impl Ledger {
    /// Shows the visitor each entry that the ledger has as of now, the newest value of each key, in the
    /// order they were written, until it breaks off. Holds the keys in memory, and one fetch of values.
    /// A ledger that does not exist is empty.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read(&self, mut visit: impl FnMut(Logged) -> ControlFlow<()>) -> Result<()> {
        let Some(range) = self.range().await? else { return Ok(()) };
        // Twice: which value of a key is its newest is known only at the end.
        let mut newest: HashMap<EntryKey, Offset> = HashMap::new();
        self.scan(range.clone(), |logged| {
            match logged.value {
                Some(_) => newest.insert(logged.key, logged.at),
                None => newest.remove(&logged.key),
            };
            ControlFlow::Continue(())
        })
        .await?;
        self.scan(range, |logged| match logged {
            Logged { key, value: Some(value), at, written_ms } if newest.get(&key) == Some(&at) => {
                visit(Logged { key, value, at, written_ms })
            }
            _ => ControlFlow::Continue(()),
        })
        .await
    }

    /// All entries at once, with their values. [`Ledger::read`] needs less memory.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read_all(&self) -> Result<Vec<Logged>> {
        let mut all = Vec::new();
        let visit = |logged| {
            all.push(logged);
            ControlFlow::Continue(())
        };
        self.read(visit).await?;
        Ok(all)
    }

    /// From where to where the log is now; none if the topic does not exist.
    pub(super) async fn range(&self) -> Result<Option<Range<Offset>>> {
        let admin = self.inner.client.admin();
        if admin.describe_topics(&[self.topic()]).await?.is_empty() {
            return Ok(None);
        }
        let (place, isolation) = (self.place(), Isolation::Uncommitted);
        let start = admin.offset_at(&place, OffsetAt::Start, isolation).await?.offset;
        let end = admin.offset_at(&place, OffsetAt::End, isolation).await?.offset;
        Ok(Some(start.unwrap_or(0)..end.unwrap_or(0)))
    }

    /// What entries are read with: all that was appended, whoever did it.
    pub(super) fn fetch_options(&self) -> FetchOptions {
        let mut options = FetchOptions::from_settings(self.inner.client.settings());
        options.isolation = Isolation::Uncommitted;
        options.buffer_bytes = 4 << 20;
        options
    }

    async fn scan(
        &self,
        range: Range<Offset>,
        mut visit: impl FnMut(Logged<Option<Bytes>>) -> ControlFlow<()>,
    ) -> Result<()> {
        let options = self.fetch_options();
        let mut start = range.start;
        while start < range.end {
            let mut reader = self.inner.client.fetch_range(self.place(), None, start..range.end, &options);
            loop {
                let fetched = match reader.next().await {
                    Ok(Some(fetched)) => fetched,
                    Ok(None) => return Ok(()),
                    // Somebody cut its beginning off meanwhile.
                    Err(Error::Deleted { log_start, .. }) if log_start > start => {
                        start = log_start;
                        break;
                    }
                    Err(problem) => return Err(problem),
                };
                for logged in self.logged(fetched)? {
                    if visit(logged).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The entries of what a fetch brought.
    pub(super) fn logged(&self, fetched: Fetched) -> Result<Vec<Logged<Option<Bytes>>>> {
        let mut decompressor = Decompressor::new(Limits::default());
        let mut entries = Vec::new();
        for batch in fetched.batches {
            let damaged = |problem: &dyn std::fmt::Display| Error::Corrupt {
                partition: self.place(),
                offset: batch.batch().base_offset(),
                reason: problem.to_string(),
            };
            for record in batch.records(&mut decompressor).map_err(|error| damaged(&error))?.iter() {
                let record = record.map_err(|error| damaged(&error))?;
                // A key that is no text is none of ours.
                let Some(key) = record.key.and_then(|key| std::str::from_utf8(key).ok()) else { continue };
                entries.push(Logged {
                    key: EntryKey::from_text(key),
                    value: record.value.map(Bytes::copy_from_slice),
                    at: record.offset,
                    written_ms: record.timestamp,
                });
            }
        }
        Ok(entries)
    }
}
