//! Read-only snapshots for tools: how far a group is. The way of the records never comes here.

use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::records::{Decompressor, Limits};
use logmill_protocol::work::CommitMetadata;

use crate::client::Client;
use crate::client::admin::OffsetAt;
use crate::client::fetch::{FetchOptions, Isolation};
use crate::error::{Error, Result};

/// What one look at a log may hold in memory, in bytes.
const BUFFER: usize = 1 << 20;

/// How far a group is in one partition, by what Kafka knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionProgress {
    /// The partition.
    pub partition: Partition,
    /// The first offset that the log still has.
    pub log_start: Offset,
    /// Every offset below it is settled, as last committed.
    pub watermark: Offset,
    /// The last stable offset: where the log ends for a reader.
    pub log_end: Offset,
    /// Offsets settled above the watermark, as last committed.
    pub settled_above: u64,
    /// In how many ranges those are.
    pub settled_ranges: u64,
    /// The generation of the group's state; `None` if another client committed.
    pub generation: Option<u64>,
}

impl PartitionProgress {
    /// Offsets that are not settled yet.
    #[must_use]
    pub fn lag(&self) -> u64 {
        u64::try_from(self.log_end - self.watermark).unwrap_or(0).saturating_sub(self.settled_above)
    }
}

/// How far a group is in every partition that it has committed, by name. Empty if there is no such
/// group, or it has committed nothing.
///
/// # Errors
/// Kafka does not answer in time, or refuses.
pub async fn progress(client: &Client, group: &str) -> Result<Vec<PartitionProgress>> {
    let committed = client.admin().committed(group, None).await?;
    let asked = |at| committed.keys().map(move |partition| (partition.clone(), at));
    let starts = client.admin().list_offsets(asked(OffsetAt::Start), Isolation::Committed).await;
    let ends = client.admin().list_offsets(asked(OffsetAt::End), Isolation::Committed).await;
    let found = |listed: &std::collections::BTreeMap<_, Result<crate::client::admin::ListedOffset>>,
                 partition| {
        // A partition whose topic was deleted has none.
        listed.get(partition).and_then(|listed| listed.as_ref().ok()?.offset)
    };
    let mut all = Vec::with_capacity(committed.len());
    for (partition, commit) in &committed {
        let metadata = CommitMetadata::decode(&commit.metadata, commit.offset);
        let lanes = metadata.iter().flat_map(|metadata| &metadata.lanes);
        let (settled_above, settled_ranges) = lanes.fold((0, 0), |(offsets, ranges), lane| {
            (offsets + lane.done.offsets(), ranges + lane.done.len() as u64)
        });
        all.push(PartitionProgress {
            log_start: found(&starts, partition).unwrap_or(commit.offset),
            log_end: found(&ends, partition).unwrap_or(commit.offset),
            partition: partition.clone(),
            watermark: commit.offset,
            settled_above,
            settled_ranges,
            generation: metadata.map(|metadata| metadata.generation.0),
        });
    }
    Ok(all)
}

/// The timestamp of the first record at or above the watermark, in milliseconds since 1970: since when something waits.
/// `None` if nothing does.
///
/// # Errors
/// Kafka does not answer in time, or the batch there is damaged.
pub async fn oldest_unsettled(client: &Client, progress: &PartitionProgress) -> Result<Option<i64>> {
    let from = progress.watermark.max(progress.log_start);
    if from >= progress.log_end {
        return Ok(None);
    }
    let mut options = FetchOptions::from_settings(client.settings());
    options.buffer_bytes = BUFFER;
    let partition = &progress.partition;
    let mut reader = client.fetch_range(partition.clone(), None, from..progress.log_end, &options);
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
                return first.map(|first| Some(first.timestamp)).map_err(|error| damaged(error.to_string()));
            }
        }
    }
    Ok(None)
}
