//! Brings Kafka's commit and the store's state of one partition into agreement, before anything is
//! planned. Kafka is right; the store is raised or rebuilt, with the new generation in Kafka first.

use logmill_protocol::ids::{Boot, Generation, MAX_OFFSET, Offset, Partition, PartitionKey};
use logmill_protocol::messages::ApiKey;
use logmill_protocol::work::{CommitMetadata, LaneProgress, PartitionSnapshot, Raise, Range, Rebuild};
use tokio::time::Instant;
use tracing::{info, warn};

use super::held::{Committed, HeldLane, HeldPartition, lanes_of, progress};
use super::plan::LogEnds;
use super::{Organiser, Problem};
use crate::client::admin::OffsetAt;
use crate::client::fetch::Isolation;
use crate::client::membership::{Commit, MembershipToken};
use crate::control::{Rewind, skipped};
use crate::error::Error;
use crate::node::{Event, Start};
use crate::store::Store;

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

        let committed = self.committed(partition).await?;
        let anchor = self.anchor_of(&key, &committed, partitions).await?;
        let mut stored = Vec::with_capacity(anchor.lanes.len());
        for lane in lanes_of(&key, anchor.of) {
            stored.push(self.store.snapshot(lane).await?);
        }
        // Kafka has none, the store does: Kafka forgets commits of idle groups after a week.
        let anchor = match (&committed, stored.iter().flatten().next()) {
            (None, Some(first)) if stored.iter().all(Option::is_some) => CommitMetadata {
                generation: first.generation,
                lanes: stored.iter().flatten().map(progress).collect(),
                ..anchor
            },
            _ => anchor,
        };

        let rewind = match self.node.asked.rewind_of(partition) {
            Some(asked) if asked.id != anchor.rewind && self.is_still_asked(&asked).await? => Some(asked),
            _ => None,
        };
        let anchor = match &rewind {
            Some(rewind) => self.rewound(partition, anchor, rewind).await?,
            None => anchor,
        };

        let whole =
            stored.iter().flatten().filter(|lane| lane.generation == anchor.generation && !lane.is_torn());
        let boot = whole.clone().next().map(|lane| lane.boot);
        let agrees = whole.filter(|lane| Some(lane.boot) == boot).count() == stored.len() && rewind.is_none();
        let lanes = lanes_of(&key, anchor.of).into_iter().zip(&anchor.lanes).zip(&stored);
        let lane = |((key, progress), stored): ((_, &LaneProgress), &Option<PartitionSnapshot>)| HeldLane {
            key,
            planned: stored.as_ref().map_or(progress.watermark, |stored| stored.planned),
            committed: progress.watermark,
        };
        let mut held = HeldPartition {
            lanes: lanes.map(lane).collect(),
            key,
            generation: anchor.generation,
            boot: boot.unwrap_or_default(),
            leader_epoch,
            of: anchor.of,
            first_partitions: anchor.first_partitions,
            rewind: anchor.rewind,
            ends: LogEnds::default(),
            full: false,
            committed: Committed {
                offset: anchor.watermark(),
                metadata: committed.map(|(_, text)| text).unwrap_or_default(),
                at: Instant::now(),
            },
        };
        if !agrees {
            let before = stored.iter().flatten().map(|stored| stored.generation.0).max().unwrap_or(0);
            held.generation = Generation(before.max(anchor.generation.0) + 1);
            self.anchor(&mut held, &anchor, token).await?;
            self.rebuild(&mut held, &anchor).await?;
            return Ok(held);
        }
        for (lane, stored) in held.lanes.iter_mut().zip(stored.iter().flatten()) {
            if stored.watermark < lane.committed {
                raise(&*self.store, held.generation, held.boot, lane).await?;
            }
        }
        if held.committed.metadata.is_empty() {
            self.anchor(&mut held, &anchor, token).await?;
        }
        Ok(held)
    }

    /// What Kafka says of a partition; what it is going to be told of one that the group never read.
    async fn anchor_of(
        &mut self,
        key: &PartitionKey,
        committed: &Option<(Offset, String)>,
        partitions: i32,
    ) -> Result<CommitMetadata, Problem> {
        let partition = &key.partition;
        let begin = |watermark, generation, of: u16| CommitMetadata {
            generation,
            topic_id: key.topic_id,
            first_partitions: partitions,
            rewind: 0,
            of,
            lanes: vec![LaneProgress { watermark, ..Default::default() }; usize::from(of.max(1))],
        };
        let of = self.settings.order.lanes();
        let Some((offset, text)) = committed else {
            let watermark = self.resolve_start(partition, partitions).await?;
            info!(%partition, offset = watermark, "the group begins here");
            return Ok(begin(watermark, Generation(0), of));
        };
        let Some(mut metadata) = CommitMetadata::decode(text, *offset) else {
            return Ok(begin(*offset, Generation(0), of));
        };
        if !metadata.topic_id.is_zero() && metadata.topic_id != key.topic_id {
            warn!(%partition, "the topic was deleted and made again: the group begins at its first record");
            let watermark = self.offset(partition, OffsetAt::Start).await?.unwrap_or(0);
            return Ok(begin(watermark, metadata.generation, metadata.of));
        }
        if metadata.of != of {
            warn!(%partition, lanes = metadata.of, wanted = of,
                "the group reads this partition in another order than this node was told to; it keeps the one it has");
        }
        if metadata.first_partitions == 0 {
            metadata.first_partitions = partitions;
        }
        Ok(metadata)
    }

    /// Whether the ledger still has it. A process that slept hears first what was asked, and then that its operator
    /// gave up waiting and was told that nothing was done.
    async fn is_still_asked(&mut self, rewind: &Rewind) -> Result<bool, Problem> {
        let mut asked = self.node.dead.ledger.asked().await?;
        while let Some(entry) = asked.next().await? {
            if entry.key == rewind.key() {
                return Ok(true);
            }
        }
        info!(partition = %rewind.partition, to = rewind.to, "another offset was asked for, and is no longer");
        Ok(false)
    }

    /// What Kafka is going to be told because an operator asked for it. Offsets that are passed over are in the ledger
    /// first.
    async fn rewound(
        &mut self,
        partition: &Partition,
        before: CommitMetadata,
        rewind: &Rewind,
    ) -> Result<CommitMetadata, Problem> {
        let start = self.offset(partition, OffsetAt::Start).await?.unwrap_or(0);
        let end = self.offset(partition, OffsetAt::End).await?.unwrap_or(0);
        let (from, to) = (before.watermark(), rewind.to.clamp(start, end.max(start)));
        if to > from {
            let entry = skipped(partition, from, to, &rewind.by)?;
            self.node.dead.ledger.append(&entry).await?;
        }
        warn!(%partition, from, to, by = rewind.by, "the group goes on at another offset, as was asked");
        self.node.meter.skipped(partition, "rewind", (to - from).max(0) as u64);
        self.node.teller.tell(|| Event::Rewound { partition: partition.clone(), from, to });
        Ok(before.rewound(to, rewind.id))
    }

    /// Writes watermark and generation to Kafka: whatever belongs to an older one is refused from
    /// then on.
    async fn anchor(
        &mut self,
        held: &mut HeldPartition,
        anchor: &CommitMetadata,
        token: &MembershipToken,
    ) -> Result<(), Problem> {
        let metadata = held.metadata(anchor.lanes.clone());
        let (offset, text) = (metadata.watermark(), metadata.encode());
        let one = Commit {
            partition: held.key.partition.clone(),
            offset,
            leader_epoch: held.leader_epoch,
            metadata: text.clone(),
        };
        let refused = self.membership.commit(token, vec![one]).await?;
        if let Some((partition, code)) = refused.into_iter().next() {
            return Err(Error::refused(ApiKey::OffsetCommit, code, partition.to_string()).into());
        }
        held.committed = Committed { offset, metadata: text, at: Instant::now() };
        Ok(())
    }

    async fn rebuild(&mut self, held: &mut HeldPartition, anchor: &CommitMetadata) -> Result<(), Problem> {
        held.boot = Boot(self.random());
        // All lanes are planned to one offset, so that they are cut alike and read together.
        let end = |lane: &LaneProgress| lane.done.last().map_or(lane.watermark, Range::end);
        let planned = anchor.lanes.iter().map(end).max().unwrap_or(0);
        for (lane, LaneProgress { watermark, done }) in held.lanes.iter_mut().zip(&anchor.lanes) {
            let done: Vec<Range> = done.iter().collect();
            let units = Range::new(*watermark, planned)
                .map(|whole| whole.without(done.iter().copied()).flat_map(pieces).collect())
                .unwrap_or_default();
            let rebuild = Rebuild {
                partition: lane.key.clone(),
                generation: held.generation,
                boot: held.boot,
                leader_epoch: held.leader_epoch,
                watermark: *watermark,
                planned,
                done,
                units,
            };
            self.store.rebuild(rebuild).await?;
            (lane.planned, lane.committed) = (planned, *watermark);
        }
        info!(partition = %held.key.partition, watermark = anchor.watermark(), generation = %held.generation,
            "store built from Kafka's commit");
        self.node.teller.tell(|| Event::Rebuilt {
            partition: held.key.partition.clone(),
            watermark: anchor.watermark(),
            generation: held.generation.0,
        });
        Ok(())
    }

    /// The store is behind Kafka: a failover lost its last writes.
    pub(super) async fn raise(&mut self, partition: &Partition, lane: usize) -> Result<(), Problem> {
        let Some(held) = self.held.get_mut(partition) else { return Ok(()) };
        let (generation, boot) = (held.generation, held.boot);
        match held.lanes.get_mut(lane) {
            Some(lane) => raise(&*self.store, generation, boot, lane).await,
            None => Ok(()),
        }
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

async fn raise(
    store: &dyn Store,
    generation: Generation,
    boot: Boot,
    lane: &mut HeldLane,
) -> Result<(), Problem> {
    let (partition, watermark) = (lane.key.clone(), lane.committed);
    info!(lane = %partition, watermark, "the store is behind Kafka: raised");
    store.raise(Raise { partition, generation, boot, watermark }).await?;
    lane.planned = lane.planned.max(watermark);
    Ok(())
}

/// A hole in pieces that a node can keep track of.
fn pieces(hole: Range) -> impl Iterator<Item = Range> {
    let starts = (hole.start()..hole.end()).step_by(PIECE as usize);
    starts.filter_map(move |start| Range::new(start, hole.end().min(start + PIECE)))
}
