//! Playing an older Kafka: which versions its brokers announce and serve.

use std::ops::RangeInclusive;

use super::Cluster;
use crate::Api;

/// The releases that can be played, oldest first.
const RELEASES: [&str; 6] = ["2.1", "2.4", "2.8", "3.3", "3.9", "4.0"];
/// An API that a release does not have.
const NO: i16 = -1;

/// The newest version of each API in each release.
const NEWEST: &[(Api, [i16; RELEASES.len()])] = &[
    (Api::Produce, [7, 8, 9, 9, 11, 12]),
    (Api::Fetch, [10, 11, 12, 13, 17, 17]),
    (Api::ListOffsets, [4, 5, 6, 7, 9, 10]),
    (Api::Metadata, [7, 9, 11, 12, 12, 13]),
    (Api::OffsetCommit, [6, 8, 8, 8, 9, 9]),
    (Api::OffsetFetch, [5, 6, 7, 8, 9, 9]),
    (Api::FindCoordinator, [2, 3, 3, 4, 6, 6]),
    (Api::JoinGroup, [3, 6, 7, 9, 9, 9]),
    (Api::Heartbeat, [2, 4, 4, 4, 4, 4]),
    (Api::LeaveGroup, [2, 4, 4, 5, 5, 5]),
    (Api::SyncGroup, [2, 4, 5, 5, 5, 5]),
    (Api::DescribeGroups, [2, 5, 5, 5, 5, 6]),
    (Api::ListGroups, [2, 3, 4, 4, 5, 5]),
    (Api::ApiVersions, [2, 3, 3, 3, 4, 4]),
    (Api::CreateTopics, [3, 5, 7, 7, 7, 7]),
    (Api::DeleteTopics, [3, 4, 6, 6, 6, 6]),
    (Api::DeleteRecords, [1, 1, 2, 2, 2, 2]),
    (Api::InitProducerId, [1, 2, 4, 4, 5, 5]),
    (Api::OffsetForLeaderEpoch, [2, 3, 4, 4, 4, 4]),
    (Api::AddPartitionsToTxn, [1, 1, 3, 3, 5, 5]),
    (Api::AddOffsetsToTxn, [1, 1, 3, 3, 4, 4]),
    (Api::EndTxn, [1, 1, 3, 3, 4, 5]),
    (Api::TxnOffsetCommit, [2, 2, 3, 3, 4, 5]),
    (Api::DescribeConfigs, [2, 2, 4, 4, 4, 4]),
    (Api::CreatePartitions, [1, 1, 3, 3, 3, 3]),
    (Api::DeleteGroups, [1, 2, 2, 2, 2, 2]),
    (Api::IncrementalAlterConfigs, [NO, 1, 1, 1, 1, 1]),
    (Api::OffsetDelete, [NO, 0, 0, 0, 0, 0]),
    (Api::DescribeCluster, [NO, NO, 0, 0, 1, 2]),
    (Api::DescribeTopicPartitions, [NO, NO, NO, NO, NO, 0]),
];

impl Cluster {
    /// Has every broker announce and serve what this release of Kafka had, as far as it is served here:
    /// one of 2.1, 2.4, 2.8, 3.3, 3.9 and 4.0.
    ///
    /// # Panics
    /// The release is none of these.
    pub fn play_kafka(&self, release: &str) {
        let Some(column) = RELEASES.iter().position(|&known| known == release) else {
            panic!("Kafka {release} cannot be played; these can: {}", RELEASES.join(", "));
        };
        let had = NEWEST.iter().filter(|(_, newest)| newest[column] != NO);
        self.set_api_versions(Some(had.map(|(api, newest)| (*api, 0..=newest[column])).collect()));
    }

    /// Limits what every broker announces and serves to these APIs and versions, within what is served
    /// anyway; `None` lifts the limit. Clients that are connected keep what they were told.
    pub fn set_api_versions(&self, limits: Option<Vec<(Api, RangeInclusive<i16>)>>) {
        self.shared.lock().state.version_limits = limits.map(|limits| limits.into_iter().collect());
    }
}
