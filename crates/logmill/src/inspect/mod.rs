//! Read-only snapshots for tools: how far a group is, what keeps it from moving, and its nodes. The way of the records
//! never comes here.

mod doctor;
mod logs;
mod nodes;
mod obstacle;
mod units;

use std::collections::BTreeMap;

use logmill_protocol::ids::{Offset, Partition};
use logmill_protocol::messages::fetch::FetchRequest;
use logmill_protocol::messages::produce::ProduceRequest;
use logmill_protocol::work::CommitMetadata;

pub use self::doctor::{Diagnosis, Doctor};
pub use self::nodes::{NodeSeen, nodes};
pub use self::obstacle::Obstacle;
use crate::client::admin::{Committed, ListedOffset, OffsetAt};
use crate::client::fetch::Isolation;
use crate::client::{BrokerId, Client, Purpose};
use crate::error::Result;

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
    /// Offsets settled above the watermark, as last committed. Of a partition in lanes, in how many a mean lane is.
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
    Ok(positions(client, &client.admin().committed(group, None).await?).await)
}

/// How far the group that committed this is.
async fn positions(client: &Client, committed: &BTreeMap<Partition, Committed>) -> Vec<PartitionProgress> {
    let asked = |at| committed.keys().map(move |partition| (partition.clone(), at));
    let starts = client.admin().list_offsets(asked(OffsetAt::Start), Isolation::Committed).await;
    let ends = client.admin().list_offsets(asked(OffsetAt::End), Isolation::Committed).await;
    let found = |listed: &BTreeMap<_, Result<ListedOffset>>, partition| {
        // A partition whose topic was deleted has none.
        listed.get(partition).and_then(|listed| listed.as_ref().ok()?.offset)
    };
    let mut all = Vec::with_capacity(committed.len());
    for (partition, commit) in committed {
        let metadata = CommitMetadata::decode(&commit.metadata, commit.offset);
        let lanes = metadata.as_ref().map_or(&[][..], |metadata| &metadata.lanes);
        let (settled, settled_ranges) = lanes.iter().fold((0, 0), |(offsets, ranges), lane| {
            let ahead = u64::try_from(lane.watermark - commit.offset).unwrap_or(0);
            (offsets + ahead + lane.done.offsets(), ranges + lane.done.len() as u64)
        });
        // Each lane spans all offsets, and has its part of the records.
        let settled_above = settled / lanes.len().max(1) as u64;
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
    all
}

/// In which versions of its requests a broker is spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spoken {
    /// Of Produce.
    pub produce: i16,
    /// Of Fetch.
    pub fetch: i16,
}

/// In which versions one of the brokers is spoken with.
///
/// # Errors
/// None can be reached, or there are none in common.
pub async fn spoken(client: &Client) -> Result<Spoken> {
    let broker = client.brokers().first().map_or(BrokerId(-1), |(broker, _)| *broker);
    let connection = client.connection(broker, Purpose::Control, client.api_deadline()).await?;
    Ok(Spoken {
        produce: connection.version::<ProduceRequest>()?,
        fetch: connection.version::<FetchRequest>()?,
    })
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
    client.first_timestamp(&progress.partition, from..progress.log_end, Isolation::Committed).await
}
