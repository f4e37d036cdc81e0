//! Brings Kafka's commit and the store's state of one partition into agreement, before anything is
//! planned. Kafka is right; the store is raised or rebuilt, with the new generation in Kafka first.

use logmill_protocol::ids::{Boot, Generation, MAX_OFFSET, Offset, Partition, PartitionKey};
use logmill_protocol::messages::ApiKey;
use logmill_protocol::work::{CommitMetadata, LaneProgress, PartitionSnapshot, Raise, Range, Rebuild};
use tokio::time::Instant;
use tracing::{info, warn};

use super::held::{Committed, HeldPartition};
use super::plan::LogEnds;
use super::{Organiser, Problem};
use crate::client::admin::OffsetAt;
use crate::client::fetch::Isolation;
use crate::client::membership::{Commit, MembershipToken};
use crate::error::Error;
use crate::node::Start;

/// The longest piece that a hole between settled ranges is rebuilt in, in offsets.
const PIECE: i64 = crate::node::LARGEST_UNIT;

impl Organiser {
    /// Makes the store agree with Kafka about one partition and answers what is held then.
    pub(super) async fn recover(
        &mut self,
        partition: &Partition,
        token: &MembershipToken,
    ) -> Result<HeldPartition, Problem> {
        let topic = self.client.topic(&partition.topic).await?;
        let key = PartitionKey::new(partition.clone(), topic.id);
        let leader_epoch = self.client.leader(partition).await?.epoch;
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);

        let stored = self.store.snapshot(key.clone()).await?;
        let committed = self.committed(partition).await?;
        let commit = match (&committed, &stored) {
            // Kafka has none, the store does: Kafka forgets commits of idle groups after a week.
            (None, Some(stored)) => Anchor::of(stored, partitions),
            (None, None) => {
                let watermark = self.resolve_start(partition, partitions).await?;
                info!(%partition, offset = watermark, "the group begins here");
                Anchor {
                    watermark,
                    metadata: CommitMetadata::foreign(watermark),
                    first_partitions: partitions,
                }
            }
            (Some((watermark, text)), _) => {
                let metadata = CommitMetadata::decode(text, *watermark)
                    .unwrap_or_else(|| CommitMetadata::foreign(*watermark));
                let other_topic = !metadata.topic_id.is_zero() && metadata.topic_id != key.topic_id;
                if other_topic {
                    warn!(%partition, "the topic was deleted and made again: the group begins at its first record");
                    let watermark = self.offset(partition, OffsetAt::Start).await?.unwrap_or(0);
                    let metadata = CommitMetadata {
                        generation: metadata.generation,
                        ..CommitMetadata::foreign(watermark)
                    };
                    Anchor { watermark, metadata, first_partitions: partitions }
                } else {
                    let first_partitions = match metadata.first_partitions {
                        0 => partitions,
                        known => known,
                    };
                    Anchor { watermark: *watermark, metadata, first_partitions }
                }
            }
        };

        let mut held = HeldPartition {
            key: key.clone(),
            generation: commit.metadata.generation,
            boot: Boot::default(),
            leader_epoch,
            planned: commit.watermark,
            first_partitions: commit.first_partitions,
            ends: LogEnds::default(),
            full: false,
            committed: Committed {
                watermark: commit.watermark,
                metadata: committed.map(|(_, text)| text).unwrap_or_default(),
                at: Instant::now(),
            },
        };
        match stored {
            Some(stored) if stored.generation == held.generation && !stored.is_torn() => {
                held.boot = stored.boot;
                held.planned = stored.planned;
                if stored.watermark < commit.watermark {
                    self.raise(&mut held).await?;
                }
                if held.committed.metadata.is_empty() {
                    self.anchor(&mut held, &commit, token).await?;
                }
            }
            stored => {
                let before = stored.map_or(Generation(0), |stored| stored.generation);
                held.generation = Generation(before.0.max(held.generation.0) + 1);
                self.anchor(&mut held, &commit, token).await?;
                self.rebuild(&mut held, &commit).await?;
            }
        }
        Ok(held)
    }

    /// Writes watermark and generation to Kafka: whatever belongs to an older one is refused from
    /// then on.
    async fn anchor(
        &mut self,
        held: &mut HeldPartition,
        commit: &Anchor,
        token: &MembershipToken,
    ) -> Result<(), Problem> {
        let metadata = CommitMetadata {
            generation: held.generation,
            topic_id: held.key.topic_id,
            first_partitions: held.first_partitions,
            of: commit.metadata.of,
            lanes: commit.metadata.lanes.clone(),
        }
        .encode();
        let one = Commit {
            partition: held.key.partition.clone(),
            offset: commit.watermark,
            leader_epoch: held.leader_epoch,
            metadata: metadata.clone(),
        };
        let refused = self.membership.commit(token, vec![one]).await?;
        if let Some((partition, code)) = refused.into_iter().next() {
            return Err(Error::refused(ApiKey::OffsetCommit, code, partition.to_string()).into());
        }
        held.committed = Committed { watermark: commit.watermark, metadata, at: Instant::now() };
        Ok(())
    }

    async fn rebuild(&mut self, held: &mut HeldPartition, commit: &Anchor) -> Result<(), Problem> {
        let done: Vec<Range> = commit.metadata.lanes.iter().flat_map(|lane| lane.done.iter()).collect();
        let planned = done.last().map_or(commit.watermark, |range| range.end());
        let units = Range::new(commit.watermark, planned)
            .map(|whole| whole.without(done.iter().copied()).flat_map(pieces).collect())
            .unwrap_or_default();
        held.boot = Boot(self.random());
        held.planned = planned;
        self.store
            .rebuild(Rebuild {
                partition: held.key.clone(),
                generation: held.generation,
                boot: held.boot,
                leader_epoch: held.leader_epoch,
                watermark: commit.watermark,
                planned,
                done,
                units,
            })
            .await?;
        info!(partition = %held.key.partition, watermark = commit.watermark, generation = %held.generation,
            "store built from Kafka's commit");
        Ok(())
    }

    /// The store is behind Kafka: a failover lost its last writes.
    pub(super) async fn raise(&mut self, held: &mut HeldPartition) -> Result<(), Problem> {
        let watermark = held.committed.watermark;
        info!(partition = %held.key.partition, watermark, "the store is behind Kafka: raised");
        let (partition, generation, boot) = (held.key.clone(), held.generation, held.boot);
        self.store.raise(Raise { partition, generation, boot, watermark }).await?;
        held.planned = held.planned.max(watermark);
        Ok(())
    }

    /// What Kafka has committed for the partition.
    async fn committed(&mut self, partition: &Partition) -> Result<Option<(Offset, String)>, Problem> {
        let one = std::slice::from_ref(partition);
        let mut committed = self.client.admin().committed(&self.settings.group, Some(one)).await?;
        let committed = committed.remove(partition);
        Ok(committed.map(|committed| (committed.offset.clamp(0, MAX_OFFSET), committed.metadata)))
    }

    /// Where a group begins that has no commit for this partition.
    async fn resolve_start(&mut self, partition: &Partition, partitions: i32) -> Result<Offset, Problem> {
        let all: Vec<_> =
            (0..partitions).map(|index| Partition::new(partition.topic.clone(), index)).collect();
        let others = self.client.admin().committed(&self.settings.group, Some(&all)).await?;
        let first = others.values().find_map(|committed| {
            Some(CommitMetadata::decode(&committed.metadata, committed.offset)?.first_partitions)
        });
        let found_later = first.is_some_and(|first| first > 0 && partition.index >= first);
        let at = match self.settings.start {
            Start::Latest if !found_later => OffsetAt::End,
            Start::Timestamp(at) if !found_later => OffsetAt::Time(at),
            _ => OffsetAt::Start,
        };
        match self.offset(partition, at).await? {
            Some(offset) => Ok(offset),
            // No record is that young: begin with the next one.
            None => Ok(self.offset(partition, OffsetAt::End).await?.unwrap_or(0)),
        }
    }

    async fn offset(&mut self, partition: &Partition, at: OffsetAt) -> Result<Option<Offset>, Problem> {
        Ok(self.client.admin().offset_at(partition, at, Isolation::Committed).await?.offset)
    }
}

/// What Kafka says of a partition, or what it is going to be told.
struct Anchor {
    watermark: Offset,
    metadata: CommitMetadata,
    first_partitions: i32,
}

impl Anchor {
    fn of(stored: &PartitionSnapshot, first_partitions: i32) -> Self {
        let whole = LaneProgress { watermark: stored.watermark, done: stored.done.iter().copied().collect() };
        let metadata = CommitMetadata {
            generation: stored.generation,
            lanes: vec![whole],
            ..CommitMetadata::foreign(stored.watermark)
        };
        Self { watermark: stored.watermark, metadata, first_partitions }
    }
}

/// A hole in pieces that a node can keep track of.
fn pieces(hole: Range) -> impl Iterator<Item = Range> {
    let starts = (hole.start()..hole.end()).step_by(PIECE as usize);
    starts.filter_map(move |start| Range::new(start, hole.end().min(start + PIECE)))
}
