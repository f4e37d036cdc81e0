//! Going back or forward in a group's partitions: planned first, then done by the partition's organiser, or at once
//! where the group has no members.

use std::collections::BTreeMap;
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::{Generation, Offset, Partition};
use logmill_protocol::messages::ApiKey;
use logmill_protocol::work::CommitMetadata;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::Control;
use super::asked::Rewind;
use crate::client::admin::{Committed, OffsetAt};
use crate::client::fetch::Isolation;
use crate::error::{Error, Result};
use crate::ledger::{Entry, EntryKey, SKIPPED};

/// How often it is looked whether the organisers are through.
const LOOK: Duration = Duration::from_millis(200);

/// Where a group is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// At the first record that the log has.
    Earliest,
    /// After the last one.
    Latest,
    /// At the first record of this time or later, in milliseconds since 1970; after the last one if there is none.
    Time(i64),
    /// At this offset.
    Offset(Offset),
    /// So many offsets before the end.
    Last(i64),
    /// So many offsets after where the group is, or before it.
    By(i64),
}

/// Where a group goes on in a partition if what was planned is done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Planned {
    /// The partition.
    pub partition: Partition,
    /// The watermark that is committed; none if the group never read it.
    pub current: Option<Offset>,
    /// Where the group goes on: what was asked for, within what the log has.
    pub to: Offset,
    /// The offset that was asked for, where the log does not have it.
    pub outside: Option<Offset>,
}

#[derive(Serialize, Deserialize)]
struct SkippedBody {
    /// The first offset that is not passed over.
    to: Offset,
    by: String,
}

/// Says that an operator had the group pass over these offsets. None of them is said to be handled.
pub(crate) fn skipped(partition: &Partition, from: Offset, to: Offset, by: &str) -> Result<Entry> {
    Entry::new(EntryKey::of_offset(SKIPPED, partition, from), &SkippedBody { to, by: by.to_owned() })
}

impl Control {
    /// What would be done. Nothing is changed.
    ///
    /// # Errors
    /// A partition does not exist, or Kafka does not answer in time.
    pub async fn plan(&self, targets: &BTreeMap<Partition, Target>) -> Result<Vec<Planned>> {
        let admin = self.client.admin();
        let partitions: Vec<Partition> = targets.keys().cloned().collect();
        let committed = admin.committed(&self.group, Some(&partitions)).await?;
        let mut planned = Vec::with_capacity(targets.len());
        for (partition, target) in targets {
            let at =
                async |at| Ok::<_, Error>(admin.offset_at(partition, at, Isolation::Committed).await?.offset);
            let (start, end) =
                (at(OffsetAt::Start).await?.unwrap_or(0), at(OffsetAt::End).await?.unwrap_or(0));
            let current = committed.get(partition).map(|committed| committed.offset);
            let wanted = match *target {
                Target::Earliest => start,
                Target::Latest => end,
                Target::Time(ms) => at(OffsetAt::Time(ms)).await?.unwrap_or(end),
                Target::Offset(offset) => offset,
                Target::Last(records) => end.saturating_sub(records).max(start),
                Target::By(records) => current.unwrap_or(start).saturating_add(records),
            };
            let to = wanted.clamp(start, end.max(start));
            let outside = (to != wanted).then_some(wanted);
            planned.push(Planned { partition: partition.clone(), current, to, outside });
        }
        Ok(planned)
    }

    /// Does what was planned, and answers the partitions where it is not done within `patience`: there it is no longer
    /// asked for. While the group has members, each partition's organiser does it: Kafka first, then the store, as a new
    /// generation, so that what is in hand of the old one no longer counts. Else it is committed here.
    ///
    /// # Errors
    /// The group's members are another client's, or Kafka or the ledger does not answer in time. It may be done in part.
    pub async fn rewind(&self, planned: &[Planned], by: &str, patience: Duration) -> Result<Vec<Partition>> {
        let deadline = Instant::now() + patience;
        let mut asked: BTreeMap<Partition, Rewind> = BTreeMap::new();
        for Planned { partition, to, .. } in planned {
            let id = (self.client.chance().number() >> 11).max(1);
            let rewind = Rewind { partition: partition.clone(), to: *to, id, by: by.to_owned() };
            asked.insert(partition.clone(), rewind);
        }
        if self.commit_without_members(&asked).await? {
            return Ok(Vec::new());
        }
        for rewind in asked.values() {
            self.ledger.append(&rewind.entry()?).await?;
        }
        let outcome = self.wait(&mut asked, deadline).await;
        // Those that are done were taken away by who did it.
        for rewind in asked.values() {
            self.ledger.remove(&rewind.key()).await?;
        }
        outcome?;
        if !asked.is_empty() {
            // One may have been done in the last moment.
            self.leave_out_done(&mut asked).await?;
        }
        Ok(asked.into_keys().collect())
    }

    async fn leave_out_done(&self, asked: &mut BTreeMap<Partition, Rewind>) -> Result<()> {
        let partitions: Vec<Partition> = asked.keys().cloned().collect();
        let committed = self.client.admin().committed(&self.group, Some(&partitions)).await?;
        asked.retain(|partition, rewind| {
            let metadata =
                committed.get(partition).and_then(|it| CommitMetadata::decode(&it.metadata, it.offset));
            metadata.is_none_or(|metadata| metadata.rewind != rewind.id)
        });
        Ok(())
    }

    /// Until nothing is left to be done.
    async fn wait(&self, asked: &mut BTreeMap<Partition, Rewind>, deadline: Instant) -> Result<()> {
        loop {
            self.leave_out_done(asked).await?;
            if asked.is_empty() || Instant::now() >= deadline {
                return Ok(());
            }
            // Its last member may have gone without a word.
            if self.commit_without_members(asked).await? {
                for rewind in std::mem::take(asked).into_values() {
                    self.ledger.remove(&rewind.key()).await?;
                }
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }

    async fn has_members(&self) -> Result<bool> {
        let described = self.client.admin().describe_group(&self.group).await?;
        let Some(group) = described.filter(|group| !group.members.is_empty()) else { return Ok(false) };
        if group.has_nodes() {
            return Ok(true);
        }
        let subject = format!(
            "consumer group {:?}: its members are another client's ({}), stop them first",
            self.group, group.assignor
        );
        Err(Error::refused(ApiKey::OffsetCommit, ErrorCode::NonEmptyGroup, subject))
    }

    /// Commits what is asked if the group has no members; false if it has.
    async fn commit_without_members(&self, asked: &BTreeMap<Partition, Rewind>) -> Result<bool> {
        if self.has_members().await? {
            return Ok(false);
        }
        match self.commit(asked).await {
            // One came in between: its organiser is to do it.
            Err(problem) if problem.code() == Some(ErrorCode::NonEmptyGroup) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// Commits for a group without members. The next generation of what logmill has committed, so that the store is
    /// built anew; for another client's commit, the offset.
    async fn commit(&self, asked: &BTreeMap<Partition, Rewind>) -> Result<()> {
        let admin = self.client.admin();
        let partitions: Vec<Partition> = asked.keys().cloned().collect();
        let committed = admin.committed(&self.group, Some(&partitions)).await?;
        let mut commits = BTreeMap::new();
        for (partition, Rewind { to, id, by, .. }) in asked {
            let mut commit = Committed::at(*to);
            if let Some(before) = committed.get(partition) {
                if *to > before.offset {
                    warn!(%partition, from = before.offset, to, "these offsets are passed over");
                    self.ledger.append(&skipped(partition, before.offset, *to, by)?).await?;
                }
                if let Some(metadata) = CommitMetadata::decode(&before.metadata, before.offset) {
                    let next = Generation(metadata.generation.0 + 1);
                    commit.metadata =
                        CommitMetadata { generation: next, ..metadata }.rewound(*to, *id).encode();
                }
            }
            commits.insert(partition.clone(), commit);
        }
        admin.commit(&self.group, &commits).await
    }
}

impl Planned {
    /// How many offsets the group goes forward, or back if it is negative.
    #[must_use]
    pub fn change(&self) -> Offset {
        self.current.map_or(0, |current| self.to - current)
    }
}
