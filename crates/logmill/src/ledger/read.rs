//! The entries a ledger has now.

use std::collections::{HashMap, VecDeque};
use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use logmill_protocol::ids::Offset;
use logmill_protocol::records::{Decompressor, Limits};

use super::Ledger;
use super::entry::{EntryKey, Logged, Shelf};
use crate::client::admin::OffsetAt;
use crate::client::fetch::{FetchOptions, Fetched, Isolation, RangeReader};
use crate::error::{Error, Result};

/// The entries that a shelf of a ledger had when it was asked; made by [`Ledger::entries`] and [`Ledger::asked`].
#[derive(Debug)]
pub struct Entries {
    ledger: Ledger,
    /// Where the newest value of each key stands.
    newest: HashMap<EntryKey, Offset>,
    scan: Option<Scan>,
    waiting: VecDeque<Logged>,
}

/// The log of a shelf, from where it stands to an end.
#[derive(Debug)]
struct Scan {
    reader: RangeReader,
    shelf: Shelf,
    start: Offset,
    end: Offset,
}

impl Entries {
    /// The next entry, in the order they were written. Entries written after the ledger was asked are none of
    /// these; one that was replaced meanwhile may be missing.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn next(&mut self) -> Result<Option<Logged>> {
        while self.waiting.is_empty() {
            let Some(scan) = &mut self.scan else { return Ok(None) };
            match self.ledger.scan(scan).await? {
                None => self.scan = None,
                Some(found) => {
                    let newest = |it: &Logged<Option<Bytes>>| self.newest.get(&it.key) == Some(&it.at);
                    let live = found.into_iter().filter(newest);
                    self.waiting.extend(live.filter_map(|Logged { key, value, at, written_ms }| {
                        Some(Logged { key, value: value?, at, written_ms })
                    }));
                }
            }
        }
        Ok(self.waiting.pop_front())
    }
}

impl Ledger {
    /// The entries that the ledger has of records as of now, the newest value of each key. Holds the keys in memory,
    /// and what one fetch brings of values. A ledger that does not exist is empty.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn entries(&self) -> Result<Entries> {
        self.entries_of(Shelf::Records).await
    }

    /// What operators ask of the group as of now, as [`Ledger::entries`].
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn asked(&self) -> Result<Entries> {
        self.entries_of(Shelf::Asked).await
    }

    async fn entries_of(&self, shelf: Shelf) -> Result<Entries> {
        let mut newest = HashMap::new();
        let mut scan = None;
        if let Some(range) = self.range(shelf).await? {
            // Twice: which value of a key is its newest is known only at the end.
            let mut keys = self.scan_of(shelf, range.clone());
            while let Some(found) = self.scan(&mut keys).await? {
                for logged in found {
                    match logged.value {
                        Some(_) => newest.insert(logged.key, logged.at),
                        None => newest.remove(&logged.key),
                    };
                }
            }
            scan = Some(self.scan_of(shelf, range));
        }
        Ok(Entries { ledger: self.clone(), newest, scan, waiting: VecDeque::new() })
    }

    /// Shows the visitor each of [`Ledger::entries`], until it breaks off.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn read(&self, mut visit: impl FnMut(Logged) -> ControlFlow<()>) -> Result<()> {
        let mut entries = self.entries().await?;
        while let Some(logged) = entries.next().await? {
            if visit(logged).is_break() {
                break;
            }
        }
        Ok(())
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

    /// From where to where the log is now; none if there is none.
    pub(super) async fn range(&self, shelf: Shelf) -> Result<Option<Range<Offset>>> {
        let admin = self.inner.client.admin();
        let topic = admin.describe_topics(&[self.topic()]).await?.into_iter().next();
        if topic.is_none_or(|topic| topic.partitions.len() <= shelf.partition() as usize) {
            return Ok(None);
        }
        let (place, isolation) = (self.place(shelf), Isolation::Uncommitted);
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

    fn scan_of(&self, shelf: Shelf, Range { start, end }: Range<Offset>) -> Scan {
        let options = self.fetch_options();
        let reader = self.inner.client.fetch_range(self.place(shelf), None, start..end, &options);
        Scan { reader, shelf, start, end }
    }

    /// What the next fetch brings; none at the end.
    async fn scan(&self, scan: &mut Scan) -> Result<Option<Vec<Logged<Option<Bytes>>>>> {
        loop {
            match scan.reader.next().await {
                Ok(Some(fetched)) => return self.logged(fetched).map(Some),
                Ok(None) => return Ok(None),
                // Somebody cut its beginning off meanwhile.
                Err(Error::Deleted { log_start, .. }) if log_start > scan.start => {
                    *scan = self.scan_of(scan.shelf, log_start.min(scan.end)..scan.end);
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    /// The entries of what a fetch brought.
    pub(super) fn logged(&self, fetched: Fetched) -> Result<Vec<Logged<Option<Bytes>>>> {
        let mut decompressor = Decompressor::new(Limits::default());
        let mut entries = Vec::new();
        for batch in fetched.batches {
            let damaged = |problem: &dyn std::fmt::Display| Error::Corrupt {
                partition: fetched.partition.clone(),
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
