//! Commits watermarks to Kafka.

use std::time::Duration;

use logmill_protocol::ids::Partition;
use logmill_protocol::work::CommitMetadata;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, warn};

use super::Organiser;
use super::held::{Committed, progress};
use super::plan::LogEnds;
use crate::client::membership::{Commit, MembershipToken};
use crate::error::Error;
use crate::node::Place;
use crate::spans;

/// An unchanged watermark is committed again this often: brokers drop old commits.
const UNCHANGED: Duration = Duration::from_secs(60 * 60);

impl Organiser {
    /// Commits every partition whose watermark or done-range map has changed. False if the membership has changed
    /// meanwhile: nothing is committed then.
    pub(super) async fn commit(&mut self) -> bool {
        let (all, begun): (Vec<_>, _) = (self.held.keys().cloned().collect(), Instant::now());
        let committed = self.commit_some(&all).await;
        self.node.meter.passed(begun);
        committed
    }

    pub(super) async fn commit_some(&mut self, partitions: &[Partition]) -> bool {
        // A commit goes under the membership that was valid when its snapshot was read. Under a newer
        // one, a snapshot from before a takeover could pass for the successor's.
        let Some(token) = self.token.clone() else { return true };
        let mut commits = Vec::new();
        for partition in partitions {
            commits.extend(self.changed(partition).await);
        }
        commits.is_empty() || self.send(token, commits).await
    }

    /// What to commit for a partition, if anything.
    async fn changed(&mut self, partition: &Partition) -> Option<Commit> {
        let held = self.held.get(partition)?.clone();
        let mut seen = Vec::with_capacity(held.lanes.len());
        for (index, lane) in held.lanes.iter().enumerate() {
            let snapshot = match self.store.snapshot(lane.key.clone()).await {
                Ok(Some(snapshot)) => snapshot,
                Ok(None) => {
                    self.doubt(partition);
                    return None;
                }
                Err(problem) => {
                    debug!(%partition, %problem, "not committed: the store cannot be read");
                    self.node.meter.not_committed("store");
                    return None;
                }
            };
            if (snapshot.generation, snapshot.boot) != (held.generation, held.boot) || snapshot.is_torn() {
                // Another organiser rebuilt it, or the store went back in time: nothing of this snapshot
                // may reach Kafka before both agree again.
                self.doubt(partition);
                return None;
            }
            if snapshot.planned < lane.planned {
                self.plan_again(partition, index, snapshot.planned);
            }
            if snapshot.watermark < lane.committed {
                // Within a generation a commit never lowers what Kafka has.
                if let Err(problem) = self.raise(partition, index).await {
                    warn!(%partition, %problem, "the store is behind Kafka and could not be raised");
                    self.doubt(partition);
                }
                return None;
            }
            seen.push(snapshot);
        }
        let LogEnds { log_start, last_stable } = held.ends;
        self.node.meter.place(partition, || Some(Place::new(&seen, log_start, last_stable)));
        let lanes = seen.iter().map(progress).collect();
        let metadata = held.metadata(lanes);
        let (offset, text) = (metadata.watermark(), metadata.encode());
        let unchanged = offset == held.committed.offset && text == held.committed.metadata;
        if unchanged && held.committed.at.elapsed() < UNCHANGED {
            return None;
        }
        let leader_epoch = held.leader_epoch;
        Some(Commit { partition: partition.clone(), offset, leader_epoch, metadata: text })
    }

    async fn send(&mut self, token: MembershipToken, commits: Vec<Commit>) -> bool {
        let span = spans::commit(&self.settings.group, commits.len());
        let answer = self.membership.commit(&token, commits.clone()).instrument(span.clone()).await;
        if let Err(problem) = &answer {
            spans::failed(&span, problem.code().map_or("unreachable", |code| code.name()));
        }
        match answer {
            Ok(refused) => {
                let at = Instant::now();
                for (partition, code) in &refused {
                    warn!(%partition, %code, "Kafka does not take this partition's commit");
                    self.node.meter.not_committed(code.name());
                }
                for commit in commits {
                    if refused.iter().any(|(partition, _)| *partition == commit.partition) {
                        continue;
                    }
                    if let Some(held) = self.held.get_mut(&commit.partition) {
                        let now = CommitMetadata::decode(&commit.metadata, commit.offset);
                        for (lane, now) in
                            held.lanes.iter_mut().zip(now.into_iter().flat_map(|now| now.lanes))
                        {
                            lane.committed = now.watermark;
                        }
                        held.committed = Committed { offset: commit.offset, metadata: commit.metadata, at };
                    }
                }
            }
            // The membership will say what is lost; until then nothing more is committed under it.
            Err(problem @ Error::NotOwner { .. }) => {
                debug!(%problem, "not committed");
                self.node.meter.not_committed("not_owner");
                return false;
            }
            Err(problem) => {
                warn!(%problem, "not committed; trying again");
                self.node.meter.not_committed(problem.code().map_or("unreachable", |code| code.name()));
            }
        }
        true
    }
}
