//! The organiser: plans units for the partitions that Kafka's group coordinator assigned to this
//! node, and commits their watermarks.
//!
//! It holds nothing that cannot be rebuilt. Kafka elects it: whoever is assigned a partition plans and
//! commits it, and the broker refuses the commit of one who was replaced. Two that plan at once do no
//! harm, since a plan is a compare-and-set in the store.
//!
//! ```text
//! assigned ─► recover (Kafka and store agree) ─► watch (where does the log end) ─► plan ─► commit
//! ```

mod commit;
mod cut;
mod held;
mod plan;
mod recover;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use logmill_protocol::ids::Partition;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, Interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::held::HeldPartition;
pub(crate) use self::held::lanes_of;
use crate::client::Client;
use crate::client::fetch::{Isolation, Watch};
use crate::client::membership::{Event, Membership, MembershipToken, Release};
use crate::error::Error;
use crate::node::{self, NodeState, Settings};
use crate::store::{Store, StoreError};

/// A partition that could not be recovered is tried again after this long.
const RECOVER_AGAIN: Duration = Duration::from_millis(500);

/// An organiser that ends waits no longer for a rebalance than this.
const REBALANCED_WITHIN: Duration = Duration::from_secs(10);

/// Why a step did not succeed. The step is repeated; nothing else depends on it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(transparent)]
    Kafka(#[from] Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One node's organiser.
pub(crate) struct Organiser {
    client: Client,
    store: Arc<dyn Store>,
    membership: Membership,
    /// Tells where logs grow. One that is dropped and asked again has lost nothing.
    watch: Watch,
    /// When the watch is looked at again: while records keep coming, not for each of them.
    look_at: Instant,
    /// When partitions that have as many units as they may are planned again.
    full_at: Option<Instant>,
    node: Arc<NodeState>,
    settings: Settings,
    /// The store is this process's own: a partition that is assigned away must be empty first.
    private_store: bool,
    /// The membership under which everything held was assigned.
    token: Option<MembershipToken>,
    held: BTreeMap<Partition, HeldPartition>,
    /// Assigned, but not brought into agreement with Kafka yet.
    unready: BTreeMap<Partition, Instant>,
    leaving: FuturesUnordered<BoxFuture<'static, Release>>,
    random: StdRng,
}

impl Organiser {
    pub(crate) fn new(
        client: Client,
        membership: Membership,
        node: Arc<NodeState>,
        private_store: bool,
    ) -> Self {
        Self {
            watch: client.watch(Isolation::Committed),
            look_at: Instant::now(),
            full_at: None,
            client,
            store: node.store.clone(),
            membership,
            settings: node.settings.clone(),
            random: StdRng::seed_from_u64(node.settings.seed ^ 0x0067_616e_6973_6572),
            node,
            private_store,
            token: None,
            held: BTreeMap::new(),
            unready: BTreeMap::new(),
            leaving: FuturesUnordered::new(),
        }
    }

    /// Organises until `stop` is cancelled; then commits once more and leaves the consumer group.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut commit = tokio::time::interval(self.settings.commit_interval);
        commit.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // A step that waits for a broker that does not answer is given up: each can end anywhere, as in a crash.
        while let Some(true) = stop.run_until_cancelled(self.step(&mut commit)).await {}
        self.commit_at_last().await;
        self.membership.leave().await;
    }

    /// Commits what is settled, under the next membership if a rebalance is under way: what is not committed is handled
    /// again wherever the store goes with this process.
    async fn commit_at_last(&mut self) {
        let until = Instant::now() + REBALANCED_WITHIN;
        while !self.commit().await && Instant::now() < until {
            tokio::select! {
                biased;
                event = self.membership.next() => match event {
                    Some(event) => self.on(event).await,
                    None => return,
                },
                Some(release) = self.leaving.next() => self.release(release).await,
                () = tokio::time::sleep(RECOVER_AGAIN) => {}
            }
        }
    }

    /// Does what is due next. False when the membership has ended.
    async fn step(&mut self, commit: &mut Interval) -> bool {
        let recover_at = self.unready.values().min().copied();
        let grown = async {
            tokio::time::sleep_until(self.look_at).await;
            self.watch.next().await
        };
        tokio::select! {
            biased;
            event = self.membership.next() => match event {
                Some(event) => self.on(event).await,
                None => return false,
            },
            Some(release) = self.leaving.next() => self.release(release).await,
            () = at(recover_at) => self.recover_unready().await,
            _ = commit.tick() => drop(self.commit().await),
            () = self.node.asked.rewinds.notified() => self.rewind(),
            () = at(self.full_at) => self.plan_full().await,
            grown = grown => self.grown(grown).await,
        }
        true
    }

    async fn on(&mut self, event: Event) {
        match event {
            Event::Assigned { partitions, token } => {
                info!(?partitions, "assigned");
                self.node.teller.assigned(&partitions);
                self.node.meter.rebalanced();
                self.token = Some(token);
                self.node.resume(&partitions);
                let now = Instant::now();
                self.unready.extend(partitions.into_iter().map(|partition| (partition, now)));
            }
            Event::Revoked { partitions, release } => {
                info!(?partitions, "revoked");
                self.node.teller.unassigned(&partitions, |partitions| node::Event::Revoked { partitions });
                for partition in &partitions {
                    self.unready.remove(partition);
                }
                let (node, private) = (self.node.clone(), self.private_store);
                let deadline = Instant::now() + self.settings.drain_timeout;
                self.leaving.push(Box::pin(async move {
                    if private {
                        node.let_go(&partitions, deadline.min(release.deadline())).await;
                    }
                    release
                }));
            }
            Event::Lost { partitions } => {
                warn!(?partitions, "lost: the consumer group no longer knows this member");
                self.node.teller.unassigned(&partitions, |partitions| node::Event::Lost { partitions });
                self.token = None;
                if self.private_store {
                    self.node.let_go(&partitions, Instant::now()).await;
                }
                self.drop_held(&partitions).await;
            }
        }
    }

    /// The revoked partitions are at rest: commit them a last time, and let them go.
    async fn release(&mut self, release: Release) {
        let partitions = release.partitions().to_vec();
        self.commit_some(&partitions).await;
        self.drop_held(&partitions).await;
        release.done();
    }

    async fn drop_held(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.unready.remove(partition);
            self.watch.remove(partition);
            self.node.meter.place(partition, || None);
            let Some(held) = self.held.remove(partition).filter(|_| self.private_store) else { continue };
            for lane in held.lanes {
                if let Err(problem) = self.store.forget(lane.key).await {
                    warn!(%partition, %problem, "the store did not forget a partition that is no longer ours");
                }
            }
        }
    }

    async fn recover_unready(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self
            .unready
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in due {
            let Some(token) = self.token.clone() else { return };
            match self.recover(&partition, &token).await {
                Ok(held) => {
                    self.unready.remove(&partition);
                    self.watch.set(partition.clone(), held.planned());
                    self.retire(&partition, held.rewind);
                    self.held.insert(partition, held);
                }
                // A rebalance came in between; a new token is on its way.
                Err(Problem::Kafka(Error::NotOwner { .. })) => {
                    self.unready.insert(partition, Instant::now() + RECOVER_AGAIN);
                }
                Err(problem) => {
                    warn!(%partition, %problem, "not ready to plan; trying again");
                    self.unready.insert(partition, Instant::now() + RECOVER_AGAIN);
                }
            }
        }
    }

    /// Partitions for which a rewind was asked are brought into agreement with that.
    fn rewind(&mut self) {
        for partition in self.held.keys().cloned().collect::<Vec<_>>() {
            if self.node.asked.rewind_of(&partition).is_some() {
                self.doubt(&partition);
            }
        }
    }

    /// What was asked of the partition and is done is taken out of the ledger.
    fn retire(&self, partition: &Partition, rewind: u64) {
        let asked = self.node.asked.rewinds_of(partition);
        // The oldest first: the last one that is left is never one that was replaced.
        let Some(done) = asked.iter().position(|asked| asked.id == rewind) else { return };
        let (ledger, mut asked) = (self.node.dead.ledger.clone(), asked);
        asked.truncate(done + 1);
        self.node.engine.spawn(async move {
            for rewind in asked {
                if let Err(problem) = ledger.remove(&rewind.key()).await {
                    warn!(partition = %rewind.partition, %problem, "a rewind that is done stays in the ledger for now");
                    return;
                }
            }
        });
    }

    /// Something does not fit what was known of the partition: find out anew.
    fn doubt(&mut self, partition: &Partition) {
        self.held.remove(partition);
        self.watch.remove(partition);
        self.unready.insert(partition.clone(), Instant::now());
    }

    /// A number below 2^53, and not zero.
    fn random(&mut self) -> u64 {
        self.random.random_range(1..1 << 53)
    }
}

/// Waits until then, for ever if there is no then.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}
