//! Why a group does not move, each reason brought about.

#![allow(clippy::unwrap_used)]

mod rig;

#[path = "client/log.rs"]
mod log;

use std::sync::Arc;
use std::time::Duration;

use logmill::ErrorCode;
use logmill::Partition;
use logmill::client::{Client, Target};
use logmill::control::{Control, Scope};
use logmill::inspect::{Diagnosis, Doctor, Obstacle};
use logmill::ledger::Ledger;
use logmill::node::{Background, NodeBuilder, Order, Organise, Received};
use logmill::store::{MemoryStore, Store};
use logmill_protocol::ids::{Boot, Generation, PartitionKey};
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use logmill_protocol::messages::sync_group::SyncGroupRequest;
use logmill_protocol::work::Rebuild;
use logmill_testkit::{Fault, Rule};
use rig::{Rig, Tally};
use tokio::time::sleep;

const GROUP: &str = "billing";
const LEDGER: &str = "logmill.ledger.billing";
const LEASE: Duration = Duration::from_secs(3);
/// What the rig's records are dated by may lie on either side of this machine's clock.
const NO_PATIENCE: Duration = Duration::ZERO;

fn orders(index: i32) -> Partition {
    Partition::new("orders", index)
}

fn node(rig: &Rig) -> NodeBuilder {
    let builder = rig.node(GROUP).topics(["orders"]).lease(LEASE).background(Background::Here).seed(7);
    builder.session_timeout(LEASE * 2).commit_interval(Duration::from_millis(100))
}

async fn with_records(brokers: u16, records: i64) -> Rig {
    let rig = Rig::new(brokers, 1);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, records).await;
    rig
}

async fn examine(client: &Client, store: Option<&dyn Store>) -> Diagnosis {
    let (ledger, topics) = (Ledger::open(client, GROUP), ["orders".to_owned()]);
    let doctor = Doctor::new(client, GROUP, &ledger).topics(&topics).patience(NO_PATIENCE);
    match store {
        Some(store) => doctor.store(store).examine().await,
        None => doctor.examine().await,
    }
}

/// Looks until it is found, and gives all that is found then.
async fn until(client: &Client, store: Option<&dyn Store>, is: impl Fn(&Diagnosis) -> bool) -> Vec<Obstacle> {
    for _ in 0..600 {
        let found = examine(client, store).await;
        if is(&found) {
            return found.obstacles;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not come to it: {:#?}", examine(client, store).await);
}

fn is_done(found: &Diagnosis) -> bool {
    found.obstacles.is_empty() && !found.progress.is_empty() && found.lag() == 0
}

fn counting(tally: &Tally) -> impl Fn(Received) -> std::future::Ready<()> + Send + Sync + 'static {
    let tally = tally.clone();
    move |record| {
        tally.count(&record);
        std::future::ready(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_never_was_a_topic_that_is_not_there_and_nodes_that_are_gone() {
    let rig = Rig::new(1, 1);
    let client = rig.client().await;
    let nothing = [Obstacle::NeverBegan, Obstacle::NoTopic { topic: "orders".to_owned() }, Obstacle::NoNode];
    assert_eq!(examine(&client, None).await.obstacles, nothing);
    rig.cluster.create_topic("orders", 2);
    let running = node(&rig).handler(counting(&Tally::default())).build().await.unwrap();
    assert_eq!(until(&client, None, is_done).await, []);
    let found = examine(&client, None).await;
    assert_eq!((found.topics, found.partitions, found.members, found.organised), (1, 2, 1, 2));
    assert_eq!((&*found.state, found.has_ledger), ("Stable", false));
    running.drain().await.unwrap();
    assert_eq!(examine(&client, None).await.obstacles, [Obstacle::NoNode]);
}

#[tokio::test(start_paused = true)]
async fn nodes_of_which_none_organises_and_members_of_another_store() {
    let rig = with_records(1, 10).await;
    let (client, store, other) =
        (rig.client().await, Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let tally = Tally::default();
    let organiser = node(&rig).store(store.clone()).handler(counting(&tally)).build().await.unwrap();
    tally.reaches(10).await;
    until(&client, Some(&*store), is_done).await;
    assert_eq!(examine(&client, Some(&*other)).await.obstacles, [Obstacle::OtherStore]);
    organiser.drain().await.unwrap();
    let idle = node(&rig).store(store.clone()).organise(Organise::Never).handler(counting(&tally));
    let idle = idle.build().await.unwrap();
    let found = until(&client, Some(&*store), |found| found.store.as_ref().unwrap().nodes.len() == 1).await;
    assert_eq!(found, [Obstacle::NoOrganiser { nodes: 1 }]);
    idle.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn members_that_do_not_agree_and_partitions_that_nobody_got() {
    let rig = with_records(1, 10).await;
    let client = rig.client().await;
    let first = node(&rig).name("first").handler(counting(&Tally::default())).build().await.unwrap();
    until(&client, None, is_done).await;
    // The second is let in, and the first is not heard when it is asked to join anew.
    rig.cluster.inject(Rule::new(ApiKey::JoinGroup, Fault::Hang).after(2));
    let second = node(&rig).name("second").handler(counting(&Tally::default())).build().await.unwrap();
    let rebalancing = |found: &Diagnosis| matches!(&found.obstacles[..], [Obstacle::Rebalancing { state }] if state.contains("Rebalanc"));
    until(&client, None, rebalancing).await;
    rig.cluster.clear_faults();
    assert_eq!(until(&client, None, is_done).await, []);
    rig.cluster.add_partitions("orders", 2);
    assert_eq!(examine(&client, None).await.obstacles, [Obstacle::Unassigned { partition: orders(1) }]);
    first.kill();
    second.kill();
}

/// A member that shares partitions out in a way of its own, by hand: it asks, is given an id, and leads alone.
#[tokio::test(start_paused = true)]
async fn members_that_are_another_clients() {
    let rig = with_records(1, 10).await;
    let client = rig.client().await;
    let to = || Target::Coordinator(GROUP.to_owned());
    let protocols = vec![JoinGroupRequestProtocol { name: "range".into(), ..Default::default() }];
    let mut join = JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols,
        ..Default::default()
    };
    join.member_id = client.call(to(), &join).await.unwrap().member_id;
    let joined = client.call(to(), &join).await.unwrap();
    let sync = SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        ..Default::default()
    };
    client.call(to(), &sync).await.unwrap();
    let other = Obstacle::OtherClient { assignor: "range".to_owned() };
    assert_eq!(examine(&client, None).await.obstacles, [Obstacle::NeverBegan, other]);
}

#[tokio::test(start_paused = true)]
async fn what_operators_paused() {
    let rig = with_records(1, 10).await;
    let client = rig.client().await;
    let node = node(&rig).handler(counting(&Tally::default())).build().await.unwrap();
    until(&client, None, is_done).await;
    let control = Control::open(&client, GROUP);
    control.pause(&Scope::Group, "the bank is down", "ann").await.unwrap();
    let (reason, by) = ("the bank is down".to_owned(), "ann".to_owned());
    assert_eq!(
        examine(&client, None).await.obstacles,
        [Obstacle::Paused { scope: Scope::Group, reason, by }]
    );
    control.resume(&Scope::Group).await.unwrap();
    let found = examine(&client, None).await;
    assert!(is_done(&found) && found.has_ledger, "{found:?}");
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_forgets_and_one_that_cannot_be_written() {
    let rig = with_records(2, 10).await;
    let client = rig.client().await;
    let node = node(&rig).handler(counting(&Tally::default())).build().await.unwrap();
    until(&client, None, is_done).await;
    rig.cluster.create_topic_with(LEDGER, 2, &[("cleanup.policy", "delete")]);
    let forgets = Obstacle::LedgerForgets { topic: LEDGER.to_owned(), policy: "delete".to_owned() };
    assert_eq!(examine(&client, None).await.obstacles, [forgets]);
    rig.cluster.delete_topic(LEDGER);
    rig.cluster.create_topic_with(LEDGER, 2, &[("cleanup.policy", "compact"), ("min.insync.replicas", "2")]);
    assert_eq!(until(&client, None, is_done).await, []);
    rig.cluster.on_once(ApiKey::DescribeConfigs, Fault::Error(ErrorCode::TopicAuthorizationFailed));
    let found = examine(&client, None).await.obstacles;
    assert!(matches!(&found[..], [Obstacle::Unseen { what: "the ledger's settings", .. }]), "{found:?}");
    rig.cluster.crash(1);
    let read_only =
        |index| Obstacle::LedgerReadOnly { partition: Partition::new(LEDGER, index), in_sync: 1, needed: 2 };
    let found = until(&client, None, |found| found.obstacles.contains(&read_only(0))).await;
    assert!(found.contains(&read_only(1)), "{found:?}");
    node.kill();
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_nobody_leads() {
    let rig = with_records(4, 10).await;
    let client = rig.client().await;
    let node = node(&rig).handler(counting(&Tally::default())).build().await.unwrap();
    until(&client, None, is_done).await;
    while let Some(leader) = rig.cluster.leader("orders", 0) {
        rig.cluster.crash(leader);
    }
    let no_leader = Obstacle::NoLeader { partition: orders(0) };
    let found = until(&client, None, |found| found.obstacles.contains(&no_leader)).await;
    let unseen = found.iter().filter(|it| matches!(it, Obstacle::Unseen { .. })).count();
    assert_eq!(unseen, 0, "{found:?}");
    node.kill();
}

#[tokio::test(start_paused = true)]
async fn records_that_retention_took_and_a_transaction_that_does_not_end() {
    let rig = with_records(1, 10).await;
    let client = rig.client().await;
    let running = node(&rig).handler(counting(&Tally::default())).build().await.unwrap();
    until(&client, None, is_done).await;
    running.drain().await.unwrap();
    rig.produce("orders", 0, 10).await;
    rig.cluster.delete_records("orders", 0, 15);
    let overtaken = Obstacle::Overtaken { partition: orders(0), watermark: 10, log_start: 15 };
    assert_eq!(examine(&client, None).await.obstacles, [Obstacle::NoNode, overtaken]);
    let running = node(&rig).handler(counting(&Tally::default())).build().await.unwrap();
    until(&client, None, is_done).await;
    let mut open = log::Transaction::open(&client, "open").await;
    let at = open.put(&orders(0), &["v"]).await;
    rig.produce_by_hand("orders", 0, 2);
    let found = examine(&client, None).await.obstacles;
    let [Obstacle::OpenTransaction { partition, at: first, end, .. }] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((partition, *first, *end), (&orders(0), at, at + 3));
    let (ledger, patience) = (Ledger::open(&client, GROUP), Duration::MAX);
    let patient = Doctor::new(&client, GROUP, &ledger).patience(patience).examine().await;
    assert_eq!(patient.obstacles, [], "one that is young is like any other");
    open.end(true).await;
    assert_eq!(until(&client, None, is_done).await, []);
    running.drain().await.unwrap();
}

/// The first record is never done. From Kafka's commits it is seen by what is settled above it, from the store by its
/// lease.
#[tokio::test(start_paused = true)]
async fn one_record_that_is_stuck() {
    let rig = with_records(1, 40).await;
    let (client, store) = (rig.client().await, Arc::new(MemoryStore::new()));
    let handler = |record: Received| async move {
        if record.offset() == 0 {
            std::future::pending::<()>().await;
        }
    };
    let settings = node(&rig).name("stuck").store(store.clone());
    let node = settings.handler(handler).build().await.unwrap();
    let found = until(&client, None, |found| !found.obstacles.is_empty() && found.lag() == 20).await;
    let [Obstacle::HeldUp { partition, offset: 0, settled_above: 20, .. }] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(*partition, orders(0));
    sleep(LEASE * 4).await;
    let found = examine(&client, Some(&*store)).await.obstacles;
    let held = found.iter().find_map(|it| match it {
        Obstacle::LongHeld { range, node, attempt, held, expired, .. } => {
            Some((range.clone(), &**node, *attempt, *held, *expired))
        }
        _ => None,
    });
    let Some((range, "stuck", 1, held, false)) = held else { panic!("{found:?}") };
    assert!(range == (0..20) && held > LEASE * 3, "{range:?} {held:?}");
    node.kill();
    sleep(LEASE * 2).await;
    let found = examine(&client, Some(&*store)).await.obstacles;
    let expired = |it: &Obstacle| matches!(it, Obstacle::LongHeld { expired: true, .. });
    assert!(found.iter().any(expired), "{found:?}");
}

/// Of four lanes one is stuck at its first record, and the others are through.
#[tokio::test(start_paused = true)]
async fn what_is_settled_in_other_lanes_counts_as_their_part_of_the_records() {
    let rig = Rig::new(1, 1);
    rig.cluster.create_topic("orders", 1);
    let keyed = |number: i32| (Some(number.to_string()), Some("value"));
    rig.cluster.produce_keyed("orders", 0, (0..400).map(keyed));
    let client = rig.client().await;
    let handler = |record: Received| async move {
        if record.offset() == 0 {
            std::future::pending::<()>().await;
        }
    };
    let node = node(&rig).order(Order::ByKey { lanes: 4 }).handler(handler).build().await.unwrap();
    // The stuck one goes on behind its first unit.
    until(&client, None, |found| found.progress.first().is_some_and(|it| it.settled_above >= 300)).await;
    sleep(LEASE * 4).await;
    let found = examine(&client, None).await;
    assert!((1..=100).contains(&found.lag()), "{found:?}");
    assert!(matches!(found.obstacles[..], [Obstacle::HeldUp { .. }]), "{found:?}");
    node.kill();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_empty_or_behind() {
    let rig = with_records(1, 10).await;
    let client = rig.client().await;
    for _ in 0..2 {
        let running = node(&rig).handler(counting(&Tally::default())).build().await.unwrap();
        until(&client, None, is_done).await;
        running.drain().await.unwrap();
    }
    let store = MemoryStore::new();
    let empty = Obstacle::StoreEmpty { partition: orders(0) };
    assert_eq!(examine(&client, Some(&store)).await.obstacles, [Obstacle::NoNode, empty]);
    let partition = PartitionKey::new(orders(0), rig.cluster.topic_id("orders").unwrap());
    let (generation, boot, units) = (Generation(1), Boot(1), Vec::new());
    let (leader_epoch, watermark, planned, done) = (-1, 10, 10, Vec::new());
    let rebuild = Rebuild { partition, generation, boot, leader_epoch, watermark, planned, done, units };
    store.rebuild(rebuild).await.unwrap();
    let found = examine(&client, Some(&store)).await.obstacles;
    let [Obstacle::NoNode, Obstacle::StoreBehind { stored: 1, committed, .. }] = &found[..] else {
        panic!("{found:?}")
    };
    assert!(*committed > 1, "{found:?}");
}
