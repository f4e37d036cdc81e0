//! What operators do to a group while the storms come.

use std::collections::BTreeMap;
use std::time::Duration;

use logmill::Partition;
use logmill::client::Client;
use logmill::control::{Control, Scope, Target};
use logmill::store::StoreError;
use logmill::units;
use logmill_testkit::Cluster;
use tokio::time::sleep;

use super::gate::Gate;
use super::store::Link;
use super::world::GROUP;

/// How long an operator waits for organisers before asking again.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an operator wishes.
pub(crate) enum Wish {
    /// The group rests for this time.
    Pause(Duration),
    /// It goes back to this part of what it has done of a partition, in per cent.
    Rewind(Partition, i64),
    /// A node takes no units for this time.
    Quiet(String, Duration),
    /// A unit of the store is released, requeued or split, by this number.
    Requeue(Link, u64),
}

impl Wish {
    /// # Errors
    /// Kafka or the store did not do it; it may be done all the same.
    pub(crate) async fn ask(&self, cluster: &Cluster, seed: u64) -> Result<(), String> {
        match self {
            Self::Requeue(store, number) => {
                requeue(store, *number).await.map_err(|problem| problem.to_string())
            }
            _ => self.write(cluster, seed).await.map_err(|problem| problem.to_string()),
        }
    }

    /// What goes by the ledger.
    async fn write(&self, cluster: &Cluster, seed: u64) -> logmill::Result<()> {
        let builder = Client::builder().brokers(cluster.bootstrap()).seed(seed);
        let client = builder.transport(Gate::default().transport(cluster)).connect().await?;
        let control = Control::open(&client, GROUP);
        match self {
            Self::Pause(time) => {
                control.pause(&Scope::Group, "", "operator").await?;
                sleep(*time).await;
                control.resume(&Scope::Group).await.map(drop)
            }
            Self::Rewind(partition, percent) => {
                let plan = |target| BTreeMap::from([(partition.clone(), target)]);
                let current = control.plan(&plan(Target::By(0))).await?[0].current.unwrap_or(0);
                let planned = control.plan(&plan(Target::Offset(current * percent / 100))).await?;
                control.rewind(&planned, "operator", PATIENCE).await.map(drop)
            }
            Self::Quiet(node, time) => {
                control.quiet(node, "operator").await?;
                sleep(*time).await;
                control.resume_node(node).await.map(drop)
            }
            Self::Requeue(..) => Ok(()),
        }
    }
}

/// One that is leased, if any is.
async fn requeue(store: &Link, number: u64) -> Result<(), StoreError> {
    let mut all = Vec::new();
    for partition in units::partitions(store).await? {
        all.extend(units::of_partition(store, &partition).await?);
    }
    let mut wanted: Vec<_> = all.iter().filter(|unit| unit.is_leased()).collect();
    if wanted.is_empty() {
        wanted = all.iter().collect();
    }
    let Some(at) = (number / 3).checked_rem(wanted.len() as u64) else { return Ok(()) };
    let unit = wanted[at as usize];
    let middle = unit.range.start + (unit.range.end - unit.range.start) / 2;
    match number % 3 {
        0 => unit.release(store).await,
        1 => unit.requeue(store).await,
        _ if middle == unit.range.start => unit.release(store).await,
        _ => unit.split(store, middle).await,
    }
    .map(drop)
}
