//! The work queue by hand: units planned, taken and settled one at a time, without a
//! [`Node`](crate::Node).
//!
//! For tools, for work that is not a stream (a range to be handled again, an export), and for those who
//! want to write the loop themselves. Whoever publishes decides which offsets are handled; nothing is
//! committed to Kafka. Use a group of its own: a group that nodes organise is planned by them.

use std::sync::Arc;
use std::time::Duration;

use logmill_protocol::ids::{Boot, Generation, Nonce, Offset, Partition, PartitionKey};
use logmill_protocol::work::{
    Lease, MAX_PLANNED_PER_CALL, MAX_UNITS, Plan, Planned, Progress, Range, Rebuild, Renew, Renewed, Rest,
    Settle, Settled, Take,
};
use rand::RngExt as _;
use tokio::time::Instant;

use crate::client::Client;
use crate::client::fetch::{FetchOptions, RangeReader};
use crate::error::{Error, Result};
use crate::store::Store;

/// One who publishes and takes units.
#[derive(Clone, Debug)]
pub struct WorkQueue {
    client: Client,
    store: Arc<dyn Store>,
    name: String,
    lease: Duration,
}

impl WorkQueue {
    /// Works on the units in `store` under this name, unique among those who do. Units taken are leased
    /// for 30 s unless told otherwise.
    #[must_use]
    pub fn new(client: Client, store: Arc<dyn Store>, name: impl Into<String>) -> Self {
        Self { client, store, name: name.into(), lease: Duration::from_secs(30) }
    }

    /// How long a unit taken from now on is held without [`HeldUnit::renew`].
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Publishes the offsets `start..end` of a partition as units of at most `records` each. Ranges of
    /// one partition are published in order, each beginning where the last one ended; the first may
    /// begin anywhere. Answers how many units were added.
    ///
    /// # Errors
    /// The range is empty, or does not begin where the last one ended; the topic does not exist; the
    /// store does not answer, or has no room for so many units (what was added stays).
    pub async fn publish(
        &self,
        partition: &Partition,
        range: std::ops::Range<Offset>,
        records: u32,
    ) -> Result<u32> {
        let wrong = |problem: String| Error::config("publish", problem);
        let Some(range) = Range::new(range.start, range.end) else {
            return Err(wrong(format!("{}..{} is no range of offsets", range.start, range.end)));
        };
        let topic_id = self.client.topic(&partition.topic).await?.id;
        let key = PartitionKey::new(partition.clone(), topic_id);
        if self.store.snapshot(key.clone()).await?.is_none() {
            self.open(&key, range.start()).await?;
        }
        let mut added = 0;
        let mut from = range.start();
        while from < range.end() {
            let Some(known) = self.store.snapshot(key.clone()).await? else {
                return Err(wrong(format!("the store lost {partition} meanwhile; publish it again")));
            };
            let ends = (1..=MAX_PLANNED_PER_CALL as i64).map(|unit| from + unit * i64::from(records.max(1)));
            let mut ends: Vec<_> = ends.take_while(|end| *end < range.end()).collect();
            if ends.len() < MAX_PLANNED_PER_CALL {
                ends.push(range.end());
            }
            let (generation, boot) = (known.generation, known.boot);
            let plan = Plan { partition: key.clone(), generation, boot, from, ends, max_units: MAX_UNITS };
            match self.store.plan(plan).await? {
                Planned::Ok { planned, units_added } => (from, added) = (planned, added + units_added),
                Planned::Moved { planned } => {
                    return Err(wrong(format!("{partition} is published up to {planned}: go on from there")));
                }
                Planned::Full { units } => {
                    return Err(wrong(format!(
                        "{partition} has {units} units, the most there may be: settle some"
                    )));
                }
            }
        }
        Ok(added)
    }

    async fn open(&self, key: &PartitionKey, at: Offset) -> Result<()> {
        let rebuild = Rebuild {
            partition: key.clone(),
            generation: Generation(1),
            boot: Boot(rand::rng().random_range(1..1 << 53)),
            leader_epoch: -1,
            watermark: at,
            planned: at,
            done: Vec::new(),
            units: Vec::new(),
        };
        Ok(self.store.rebuild(rebuild).await?)
    }

    /// Takes one unit; waits up to `wait` for one. It moves from the work queue to the taker in one
    /// step: a crash in between cannot lose it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn take(&self, wait: Duration) -> Result<Option<HeldUnit>> {
        let deadline = Instant::now() + wait;
        loop {
            let seen = self.store.version();
            let request = Take {
                node: self.name.clone(),
                nonce: Nonce(rand::rng().random_range(1..=u128::MAX)),
                lease_ms: millis(self.lease),
                max_units: 1,
                extend: Vec::new(),
            };
            let taken = self.store.take(request).await?;
            if let Some(lease) = taken.leases.into_iter().next() {
                return Ok(Some(HeldUnit { queue: self.clone(), lease }));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let next = taken.next_in_ms.map_or(left, Duration::from_millis);
            self.store.changed(seen, left.min(next)).await;
        }
    }
}

/// A unit in the caller's hands. One that is dropped comes again when its lease ends.
#[derive(Debug)]
pub struct HeldUnit {
    queue: WorkQueue,
    lease: Lease,
}

impl HeldUnit {
    /// Where its records are.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.lease.partition.partition
    }

    /// Which offsets, from where an earlier try left off.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<Offset> {
        self.lease.position..self.lease.range.end()
    }

    /// The number of this try, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.lease.attempt
    }

    /// Reads its records.
    #[must_use]
    pub fn records(&self) -> RangeReader {
        let options = FetchOptions::from_settings(self.queue.client.settings());
        let topic_id = Some(self.lease.partition.topic_id);
        self.queue.client.fetch_range(self.partition().clone(), topic_id, self.range(), &options)
    }

    /// Keeps it for another lease; a crash from now on repeats nothing below `position`. False if it is
    /// somebody else's by now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn renew(&self, position: Offset) -> Result<bool> {
        let progress = Progress { held: self.lease.held(), position };
        let request = Renew { lease_ms: millis(self.queue.lease), held: vec![progress] };
        Ok(self.queue.store.renew(request).await?.first() == Some(&Renewed::Kept))
    }

    /// All its records are handled. False if it was somebody else's by then: they are handled again.
    ///
    /// # Errors
    /// The store does not answer. The unit comes again when its lease ends.
    pub async fn settle(self) -> Result<bool> {
        self.end(Vec::new()).await
    }

    /// Puts it back; it may be taken again after `delay`. False if it was somebody else's by then.
    ///
    /// # Errors
    /// The store does not answer. The unit comes again when its lease ends.
    pub async fn give_back(self, delay: Duration) -> Result<bool> {
        let rest = Rest { range: self.lease.range, delay_ms: millis(delay), attempt: self.lease.attempt };
        self.end(vec![rest]).await
    }

    async fn end(self, rest: Vec<Rest>) -> Result<bool> {
        let request = Settle { held: self.lease.held(), rest, gaps: Vec::new() };
        let settled = self.queue.store.settle(request).await?;
        Ok(matches!(settled, Settled::Done { .. } | Settled::Already))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
