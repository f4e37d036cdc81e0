//! With `-e`: everything that was there at the start, and whether the group is through with it.

use std::collections::BTreeMap;
use std::time::Duration;

use logmill::client::Client;
use logmill::client::admin::OffsetAt;
use logmill::client::fetch::Isolation;
use logmill::{Offset, Partition};

use crate::exit::Outcome;
use crate::input::Connect;

/// How often it is looked whether the group is through, and how often such a node commits watermarks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The end of each partition, at the start.
pub(crate) struct Goal {
    client: Client,
    group: String,
    ends: BTreeMap<Partition, Offset>,
}

impl Goal {
    pub(crate) async fn new(connect: &Connect, group: &str, topics: &[String]) -> Outcome<Self> {
        let client = connect.client().await?;
        let mut asked = Vec::new();
        for topic in topics {
            let partitions = client.topic(topic).await?.partitions.len();
            asked.extend(
                (0..partitions).map(|index| (Partition::new(topic.as_str(), index as i32), OffsetAt::End)),
            );
        }
        let mut ends = BTreeMap::new();
        for (partition, listed) in client.admin().list_offsets(asked, Isolation::Committed).await {
            ends.insert(partition, listed?.offset.unwrap_or(0));
        }
        Ok(Self { client, group: group.to_owned(), ends })
    }

    /// Returns when the group, this node or another, has committed all of it; never if there is no goal.
    pub(crate) async fn reached(goal: Option<&Self>) -> Outcome {
        let Some(goal) = goal else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let committed = goal.client.admin().committed(&goal.group, None).await?;
            let is_past = |(partition, end): (&Partition, &Offset)| {
                committed.get(partition).is_some_and(|committed| committed.offset >= *end)
            };
            if goal.ends.iter().all(is_past) {
                return Ok(());
            }
        }
    }
}
