//! What metrics have to ask for, so seldom that nobody notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use logmill_protocol::ids::Partition;
use tracing::debug;

use super::Publisher;
use crate::client::fetch::Isolation;
use crate::node::state::lock;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);

/// The oldest record of so many partitions at most is looked at: those that are furthest behind.
const MOST: usize = 32;

impl Publisher {
    /// Looks for ever.
    pub(super) async fn look(&self) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let mut overview = None;
            if self.speaks_for_the_group() {
                match self.state.store.overview().await {
                    Ok(seen) => overview = Some(seen),
                    Err(problem) => debug!(%problem, "the store is not seen for the metrics"),
                }
            }
            lock(&self.state.meter.looked).overview = overview;
            let oldest_ms = self.oldest().await;
            lock(&self.state.meter.looked).oldest_ms = oldest_ms;
        }
    }

    /// One node tells what is the whole group's, so that sums over nodes are right: the one that organises its first
    /// partition.
    pub(super) fn speaks_for_the_group(&self) -> bool {
        let first = self.state.settings.topics.iter().min();
        let first = first.map(|topic| Partition::new(topic.as_str(), 0));
        self.private_store || first.is_some_and(|first| lock(&self.state.meter.places).contains_key(&first))
    }

    async fn oldest(&self) -> BTreeMap<Arc<str>, i64> {
        let mut behind: Vec<_> = lock(&self.state.meter.places)
            .iter()
            .filter(|(_, place)| place.lag() > 0)
            .map(|(partition, place)| {
                (place.lag(), partition.clone(), place.watermark.max(place.start)..place.end)
            })
            .collect();
        behind.sort_by_key(|(lag, ..)| std::cmp::Reverse(*lag));
        behind.truncate(MOST);
        let mut oldest: BTreeMap<Arc<str>, i64> = BTreeMap::new();
        for (_, partition, range) in behind {
            match self.client.first_timestamp(&partition, range, Isolation::Committed).await {
                Ok(Some(timestamp)) => {
                    let of_topic = oldest.entry(partition.topic).or_insert(timestamp);
                    *of_topic = timestamp.min(*of_topic);
                }
                Ok(None) => {}
                Err(problem) => debug!(%partition, %problem, "the oldest record is not seen for the metrics"),
            }
        }
        oldest
    }
}
