//! What stands in a group's way in the logs it reads.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use logmill_protocol::ids::{Offset, Partition};

use super::doctor::{Diagnosis, Doctor};
use super::obstacle::Obstacle;
use super::{PartitionProgress, oldest_unsettled, positions};
use crate::client::TopicInfo;
use crate::client::admin::{Committed, OffsetAt};
use crate::client::fetch::Isolation;

/// A record of so many partitions at most is looked at: of those with the most to do.
const LOOKED_AT: usize = 32;

impl Doctor<'_> {
    /// How far the group is in what somebody leads, and what stands in the logs in its way.
    pub(super) async fn look_at_logs(
        &self,
        committed: &BTreeMap<Partition, Committed>,
        topics: &BTreeMap<String, TopicInfo>,
        found: &mut Diagnosis,
    ) {
        let is_led = |partition: &Partition| {
            let topic = topics.get(&*partition.topic);
            topic.and_then(|topic| topic.partition(partition.index)).is_some_and(|it| it.leader.is_some())
        };
        let led = committed.iter().filter(|(partition, _)| is_led(partition));
        let led: BTreeMap<_, _> =
            led.map(|(partition, commit)| (partition.clone(), commit.clone())).collect();
        let mut progress = positions(self.client, &led).await;
        let ends = led.keys().map(|partition| (partition.clone(), OffsetAt::End));
        let ends = self.client.admin().list_offsets(ends, Isolation::Uncommitted).await;
        progress.sort_by_key(|it| std::cmp::Reverse(it.lag()));
        for (looked_at, it) in progress.iter().enumerate() {
            if it.watermark < it.log_start {
                let partition = it.partition.clone();
                let (watermark, log_start) = (it.watermark, it.log_start);
                found.add(Obstacle::Overtaken { partition, watermark, log_start });
            }
            let listed = match ends.get(&it.partition) {
                Some(Ok(listed)) => listed.offset,
                Some(Err(problem)) => {
                    let problem = problem.to_string();
                    found.add(Obstacle::Unseen { what: "the end of a partition", problem });
                    None
                }
                None => None,
            };
            if looked_at < LOOKED_AT {
                self.look_at_log(it, listed.unwrap_or(it.log_end), found).await;
            }
        }
        progress.sort_by(|a, b| a.partition.cmp(&b.partition));
        found.progress = progress;
    }

    async fn look_at_log(&self, it: &PartitionProgress, end: Offset, found: &mut Diagnosis) {
        let partition = || it.partition.clone();
        // What lies below can be worked on meanwhile.
        if it.watermark >= it.log_end && it.log_end < end {
            let first =
                self.client.first_timestamp(&it.partition, it.log_end..end, Isolation::Uncommitted).await;
            let first = found.seen("the first record of a transaction", first).flatten();
            if let Some(since) = first.map(age).filter(|since| *since >= self.patience) {
                found.add(Obstacle::OpenTransaction { partition: partition(), at: it.log_end, end, since });
            }
        }
        if it.settled_above > 0 {
            let oldest = oldest_unsettled(self.client, it).await;
            let oldest = found.seen("the oldest record", oldest).flatten();
            if let Some(age) = oldest.map(age).filter(|age| *age >= self.patience) {
                let (offset, settled_above) = (it.watermark.max(it.log_start), it.settled_above);
                found.add(Obstacle::HeldUp { partition: partition(), offset, age, settled_above });
            }
        }
    }
}

/// How long ago that was, in milliseconds since 1970.
fn age(timestamp: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(timestamp.try_into().unwrap_or(0)))
}
