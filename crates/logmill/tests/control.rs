//! What operators ask of a running group: pauses and rewinds, heard by every node.

#![allow(clippy::unwrap_used)]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use logmill::control::{Control, Planned, Scope, Target};
use logmill::ledger::Ledger;
use logmill::node::{Background, Event, Node, NodeBuilder, Order, Received};
use logmill::store::{MemoryStore, Store};
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::work::CommitMetadata;
use logmill_testkit::{Fault, Rule};
use rig::{Rig, until};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

const GROUP: &str = "billing";
const TOPIC: &str = "orders";
const COMMIT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);

fn orders(partition: i32) -> Partition {
    Partition::new(TOPIC, partition)
}

fn rig(partitions: i32, seed: u64) -> Rig {
    let rig = Rig::new(1, seed);
    rig.cluster.create_topic(TOPIC, partitions);
    rig
}

fn node(rig: &Rig, name: &str, store: &Arc<MemoryStore>) -> NodeBuilder {
    let builder = rig.node(GROUP).topics([TOPIC]).name(name).store(store.clone()).commit_interval(COMMIT);
    builder.background(Background::Here).lease(Duration::from_secs(10)).seed(7)
}

async fn control(rig: &Rig) -> Control {
    Control::open(&rig.client().await, GROUP)
}

/// A handler that takes a permit for each record, and what it has begun and ended.
#[derive(Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    begun: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    /// Of each record, how often it was begun.
    times: Arc<std::sync::Mutex<BTreeMap<(i32, i64), u32>>>,
}

impl Gate {
    fn new(permits: usize) -> Self {
        let count = Arc::<AtomicU64>::default;
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            begun: count(),
            ended: count(),
            times: Arc::default(),
        }
    }

    async fn handle(self, record: Received) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        *self.times.lock().unwrap().entry((record.partition(), record.offset())).or_default() += 1;
        self.permits.acquire().await.unwrap().forget();
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    /// How often records of a partition from an offset on were begun, at least.
    fn times_from(&self, partition: i32, offset: i64) -> u32 {
        let times = self.times.lock().unwrap();
        times.range((partition, offset)..(partition + 1, 0)).map(|(_, times)| *times).min().unwrap_or(0)
    }
}

fn committed(rig: &Rig, partition: i32) -> i64 {
    rig.cluster.committed(GROUP, TOPIC, partition).map_or(0, |committed| committed.offset)
}

async fn metadata(rig: &Rig, partition: i32) -> CommitMetadata {
    let (offset, text) = rig.committed(GROUP, TOPIC, partition).await.unwrap();
    CommitMetadata::decode(&text, offset).unwrap()
}

async fn start(builder: NodeBuilder, gate: &Gate) -> Node {
    let gate = gate.clone();
    builder.handler(move |record: Received| gate.clone().handle(record)).build().await.unwrap()
}

fn to(offset: i64) -> BTreeMap<Partition, Target> {
    BTreeMap::from([(orders(0), Target::Offset(offset))])
}

async fn rewind(control: &Control, offset: i64) -> Vec<Partition> {
    let planned = control.plan(&to(offset)).await.unwrap();
    control.rewind(&planned, "ann", PATIENCE).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_paused_group_begins_nothing_ends_what_it_has_and_goes_on_when_resumed() {
    for order in [Order::Unordered, Order::ByKey { lanes: 3 }] {
        let rig = rig(2, 1);
        rig.produce(TOPIC, 0, 500).await;
        rig.produce(TOPIC, 1, 500).await;
        let (store, gate, control) = (Arc::default(), Gate::new(100), control(&rig).await);
        let first = start(node(&rig, "first", &store).order(order).concurrency(4), &gate).await;
        until("handlers wait", || gate.ended() == 100 && gate.begun() == 104).await;
        assert!(control.pause(&Scope::Group, "the bank is down", "ann").await.unwrap());
        assert!(!control.pause(&Scope::Group, "the bank is down", "ann").await.unwrap(), "it is already");
        sleep(Duration::from_secs(3)).await;
        gate.permits.add_permits(10_000);
        // A node that comes later knows it before it takes anything.
        let second = start(node(&rig, "second", &store).order(order).concurrency(4), &gate).await;
        sleep(Duration::from_secs(120)).await;
        assert_eq!((gate.begun(), gate.ended()), (104, 104), "{order:?}");
        let settled = async |index| {
            let metadata = metadata(&rig, index).await;
            metadata.lanes.iter().map(|lane| lane.watermark as u64 + lane.done.offsets()).sum::<u64>()
        };
        if order == Order::Unordered {
            assert_eq!(settled(0).await + settled(1).await, 104, "what was in hand is settled and committed");
        }
        let paused = control.asked().await.unwrap();
        assert_eq!(paused.pauses().map(|pause| &*pause.reason).collect::<Vec<_>>(), ["the bank is down"]);
        assert!(control.resume(&Scope::Group).await.unwrap());
        assert!(!control.resume(&Scope::Group).await.unwrap(), "it is not paused");
        until("all is handled", || committed(&rig, 0) == 500 && committed(&rig, 1) == 500).await;
        assert_eq!(gate.begun(), 1_000, "{order:?}: none was handled twice");
        first.drain().await.unwrap();
        second.drain().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_or_topic_is_paused_alone() {
    let rig = rig(2, 2);
    let (store, gate, control) = (Arc::default(), Gate::new(10_000), control(&rig).await);
    control.pause(&Scope::Partition(orders(0)), "", "ann").await.unwrap();
    let node = start(node(&rig, "node", &store), &gate).await;
    rig.produce(TOPIC, 0, 300).await;
    rig.produce(TOPIC, 1, 300).await;
    until("the other goes on", || committed(&rig, 1) == 300).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((gate.begun(), committed(&rig, 0)), (300, 0));
    assert!(node.counts().units < 100, "{:?}: what is paused is taken over and over", node.counts());
    control.pause(&Scope::Topic(TOPIC.to_owned()), "", "ann").await.unwrap();
    control.resume(&Scope::Partition(orders(0))).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(gate.begun(), 300);
    control.resume(&Scope::Topic(TOPIC.to_owned())).await.unwrap();
    until("it goes on", || committed(&rig, 0) == 300).await;
    assert_eq!(gate.begun(), 600, "none was handled twice, and no try was counted");
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rewind_under_work_brings_everything_again_before_the_watermark_passes_it() {
    for order in [Order::Unordered, Order::ByKey { lanes: 3 }] {
        let rig = rig(1, 3);
        rig.produce(TOPIC, 0, 1_000).await;
        let (store, gate, control) = (Arc::default(), Gate::new(600), control(&rig).await);
        let node = start(node(&rig, "node", &store).order(order).concurrency(8), &gate).await;
        until("it is in the middle", || gate.ended() == 600 && committed(&rig, 0) > 100).await;
        let before = metadata(&rig, 0).await.generation;
        assert_eq!(rewind(&control, 50).await, []);
        let after = metadata(&rig, 0).await;
        assert!(after.generation > before && after.watermark() == 50, "{after:?}");
        assert!(control.asked().await.unwrap().rewind_of(&orders(0)).is_none(), "it is done, and forgotten");
        gate.times.lock().unwrap().clear();
        gate.permits.add_permits(100_000);
        until("all is handled", || committed(&rig, 0) == 1_000).await;
        assert!(gate.times_from(0, 50) >= 1 && gate.times.lock().unwrap().len() == 950, "{order:?}");
        node.drain().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_tells_what_is_asked_of_it() {
    let rig = rig(1, 8);
    rig.produce(TOPIC, 0, 100).await;
    let (store, gate, control) = (Arc::default(), Gate::new(10_000), control(&rig).await);
    let node = start(node(&rig, "node", &store), &gate).await;
    let mut events = node.events();
    until("all is handled", || committed(&rig, 0) == 100).await;
    control.pause(&Scope::Group, "", "ann").await.unwrap();
    control.resume(&Scope::Group).await.unwrap();
    assert_eq!(rewind(&control, 40).await, []);
    let mut told = async || loop {
        match events.next().await.unwrap() {
            Event::Assigned { .. } | Event::Rebuilt { .. } => {}
            event => return event,
        }
    };
    assert_eq!(told().await, Event::Paused(Scope::Group));
    assert_eq!(told().await, Event::Resumed(Scope::Group));
    assert_eq!(told().await, Event::Rewound { partition: orders(0), from: 100, to: 40 });
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_over_stands_in_the_ledger() {
    let rig = rig(1, 4);
    rig.produce(TOPIC, 0, 1_000).await;
    let (store, gate, control) = (Arc::default(), Gate::new(0), control(&rig).await);
    let node = start(node(&rig, "node", &store).concurrency(8), &gate).await;
    until("handlers wait", || gate.begun() == 8).await;
    assert_eq!(rewind(&control, 900).await, []);
    gate.permits.add_permits(10_000);
    until("the rest is handled", || committed(&rig, 0) == 1_000).await;
    assert!(gate.times.lock().unwrap().len() < 200 && gate.times_from(0, 900) == 1, "{} begun", gate.begun());
    let entries = Ledger::open(&rig.client().await, GROUP).read_all().await.unwrap();
    let (key, value) = (entries[0].key.as_str(), std::str::from_utf8(&entries[0].value).unwrap());
    assert_eq!((key, value), ("skipped/orders/0/0", r#"{"v":1,"to":900,"by":"ann"}"#));
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rewind_is_not_done_twice_when_its_organiser_dies_in_the_middle() {
    let rig = rig(1, 5);
    rig.produce(TOPIC, 0, 100).await;
    let (store, gate): (Arc<MemoryStore>, _) = (Arc::default(), Gate::new(10_000));
    let first = start(node(&rig, "first", &store), &gate).await;
    until("all is handled", || committed(&rig, 0) == 100).await;
    let control = control(&rig).await;
    // So that the ledger exists.
    control.pause(&Scope::Topic("other".to_owned()), "", "ann").await.unwrap();
    let planned = control.plan(&to(40)).await.unwrap();
    // Asked for; who asked goes away at once, and takes nothing back.
    let asking = tokio::spawn(async move { control.rewind(&planned, "ann", PATIENCE).await });
    // The organiser cannot take it out of the ledger.
    until("it is asked for", || rig.cluster.log("logmill.ledger.billing", 1).len() == 2).await;
    asking.abort();
    rig.cluster.inject(Rule::new(ApiKey::Produce, Fault::Error(ErrorCode::TopicAuthorizationFailed)));
    until("all is handled again", || gate.begun() == 160 && committed(&rig, 0) == 100).await;
    let generation = metadata(&rig, 0).await.generation;
    first.kill();
    rig.cluster.clear_faults();
    let second = start(node(&rig, "second", &store), &gate).await;
    rig.produce_by_hand(TOPIC, 0, 10);
    until("the other goes on", || committed(&rig, 0) == 110).await;
    assert_eq!((gate.begun(), metadata(&rig, 0).await.generation), (170, generation));
    second.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_without_members_is_rewound_at_once_and_an_emptied_store_changes_nothing() {
    let rig = rig(1, 6);
    rig.produce(TOPIC, 0, 100).await;
    let (store, gate, control): (Arc<MemoryStore>, _, _) =
        (Arc::default(), Gate::new(10_000), control(&rig).await);
    let first = start(node(&rig, "first", &store), &gate).await;
    until("all is handled", || committed(&rig, 0) == 100).await;
    first.drain().await.unwrap();
    let before = metadata(&rig, 0).await.generation;
    assert_eq!(rewind(&control, 30).await, []);
    assert!(metadata(&rig, 0).await.generation > before && committed(&rig, 0) == 30);
    // With the store as it was, which is behind now, and with an empty one.
    let second = start(node(&rig, "second", &store), &gate).await;
    until("70 come again", || gate.begun() == 170 && committed(&rig, 0) == 100).await;
    for key in store.partitions(Default::default()).await.unwrap().items {
        store.forget(key).await.unwrap();
    }
    assert_eq!(rewind(&control, 60).await, []);
    until("40 come again", || gate.begun() >= 210 && committed(&rig, 0) == 100).await;
    second.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_members_come_and_go_meanwhile_is_rewound_all_the_same() {
    let rig = rig(1, 9);
    rig.produce(TOPIC, 0, 100).await;
    let (store, gate, control) = (Arc::default(), Gate::new(10_000), control(&rig).await);
    let first = start(node(&rig, "first", &store), &gate).await;
    until("all is handled", || committed(&rig, 0) == 100).await;
    first.drain().await.unwrap();
    // Nobody is there when Kafka is asked, somebody is when it is told, and nobody again after that.
    let refuse = Rule::new(ApiKey::OffsetCommit, Fault::Error(ErrorCode::UnknownMemberId));
    rig.cluster.inject(refuse.times(1));
    assert_eq!(rewind(&control, 40).await, []);
    assert_eq!(committed(&rig, 0), 40);
    assert_eq!(
        rig.cluster.log("logmill.ledger.billing", 1).len(),
        2,
        "asked of an organiser, and taken back"
    );
    let second = start(node(&rig, "second", &store), &gate).await;
    until("60 come again", || gate.begun() == 160 && committed(&rig, 0) == 100).await;
    second.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_may_not_read_the_ledger_works_all_the_same() {
    for (seed, api) in [(10, ApiKey::ListOffsets), (11, ApiKey::Fetch)] {
        let rig = rig(1, seed);
        rig.produce(TOPIC, 0, 100).await;
        let (store, gate, control) = (Arc::default(), Gate::new(10_000), control(&rig).await);
        control.pause(&Scope::Group, "", "ann").await.unwrap();
        let forbidden = Fault::Error(ErrorCode::TopicAuthorizationFailed);
        rig.cluster.inject(Rule::new(api, forbidden).partition("logmill.ledger.billing", 1));
        let node = start(node(&rig, "node", &store), &gate).await;
        until("all is handled", || committed(&rig, 0) == 100).await;
        // It may, later, and hears then what was asked.
        rig.cluster.clear_faults();
        sleep(Duration::from_secs(5)).await;
        rig.produce(TOPIC, 0, 100).await;
        sleep(Duration::from_secs(30)).await;
        assert_eq!(gate.begun(), 100, "{api:?}");
        node.drain().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_calls_recv_is_given_nothing_of_a_paused_group() {
    let rig = rig(1, 12);
    rig.produce(TOPIC, 0, 100).await;
    let (store, control) = (Arc::default(), control(&rig).await);
    let node = node(&rig, "node", &store).build().await.unwrap();
    let first = node.recv().await.unwrap().unwrap();
    control.pause(&Scope::Group, "", "ann").await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(timeout(Duration::from_secs(60), node.recv()).await.is_err());
    first.ack();
    control.resume(&Scope::Group).await.unwrap();
    for _ in 1..100 {
        let next = node.recv().await.unwrap().unwrap();
        assert_eq!(next.attempt(), 1, "what was not begun counts as no try");
        next.ack();
    }
    until("all is settled", || committed(&rig, 0) == 100).await;
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_where_a_group_would_go_on_and_stays_within_the_log() {
    let rig = rig(1, 7);
    rig.produce(TOPIC, 0, 100).await;
    let (store, gate, control) = (Arc::default(), Gate::new(80), control(&rig).await);
    let node = start(node(&rig, "node", &store).concurrency(1), &gate).await;
    until("it is in the middle", || committed(&rig, 0) == 80).await;
    node.drain().await.unwrap();
    let plan = async |target| {
        let planned: Vec<Planned> = control.plan(&BTreeMap::from([(orders(0), target)])).await.unwrap();
        (planned[0].current, planned[0].to, planned[0].outside)
    };
    for (target, to, outside) in [
        (Target::Earliest, 0, None),
        (Target::Latest, 100, None),
        (Target::Offset(7), 7, None),
        (Target::Offset(107), 100, Some(107)),
        (Target::Last(30), 70, None),
        (Target::Last(300), 0, None),
        (Target::By(-30), 50, None),
        (Target::By(30), 100, Some(110)),
        (Target::Time(0), 0, None),
        (Target::Time(i64::MAX), 100, None),
    ] {
        assert_eq!(plan(target).await, (Some(80), to, outside), "{target:?}");
    }
}
