//! What operators ask of single nodes: to be quiet, to take units again, to drain.

#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use logmill::control::{Control, Wish};
use logmill::inspect;
use logmill::node::{Background, Event, Node, NodeBuilder, Received};
use logmill::store::MemoryStore;
use rig::{Rig, until};
use tokio::sync::Semaphore;
use tokio::time::sleep;

const GROUP: &str = "billing";
const TOPIC: &str = "orders";

fn rig(partitions: i32, seed: u64) -> Rig {
    let rig = Rig::new(1, seed);
    rig.cluster.create_topic(TOPIC, partitions);
    rig
}

fn named(rig: &Rig, name: &str) -> NodeBuilder {
    let builder = rig.node(GROUP).topics([TOPIC]).name(name).commit_interval(Duration::from_millis(100));
    builder.background(Background::Here).lease(Duration::from_secs(10)).concurrency(4).seed(7)
}

/// A node's handlers: each takes a permit for a record.
#[derive(Clone)]
struct Hands {
    permits: Arc<Semaphore>,
    begun: Arc<AtomicU64>,
}

impl Hands {
    fn new(permits: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(permits)), begun: Arc::default() }
    }

    async fn of(&self, builder: NodeBuilder) -> Node {
        let hands = self.clone();
        let handler = move |_: Received| {
            let hands = hands.clone();
            async move {
                hands.begun.fetch_add(1, Ordering::SeqCst);
                hands.permits.acquire().await.unwrap().forget();
            }
        };
        builder.handler(handler).build().await.unwrap()
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }
}

fn committed(rig: &Rig) -> i64 {
    rig.cluster.committed(GROUP, TOPIC, 0).map_or(0, |committed| committed.offset)
}

async fn control(rig: &Rig) -> Control {
    Control::open(&rig.client().await, GROUP)
}

#[tokio::test(start_paused = true)]
async fn a_quiet_node_ends_what_it_has_stays_a_member_and_takes_units_again_when_resumed() {
    let rig = rig(1, 1);
    let (store, control) = (Arc::<MemoryStore>::default(), control(&rig).await);
    let (first, second) = (Hands::new(0), Hands::new(0));
    let node = first.of(named(&rig, "a/first").store(store.clone()).unit_records(10)).await;
    let mut events = node.events();
    rig.produce(TOPIC, 0, 100).await;
    until("handlers wait", || first.begun() == 4).await;
    assert!(control.quiet("a/first", "ann").await.unwrap());
    assert!(!control.quiet("a/first", "bob").await.unwrap(), "it is asked already");
    while events.next().await != Some(Event::Quiet) {}
    let other = second.of(named(&rig, "second").store(store.clone()).unit_records(10)).await;
    first.permits.add_permits(10_000);
    second.permits.add_permits(10_000);
    until("all is handled", || committed(&rig) == 100).await;
    let held = first.begun();
    assert!((4..100).contains(&held), "{held}: what it had read");
    assert_eq!(held + second.begun(), 100, "none was handled twice");
    rig.produce(TOPIC, 0, 500).await;
    until("the other goes on", || committed(&rig) == 600).await;
    assert_eq!(first.begun(), held, "it takes no more");
    let nodes = inspect::nodes(&rig.client().await, GROUP, Some(&*store)).await.unwrap();
    let names: Vec<_> = nodes.iter().map(|node| (&*node.node, node.leased, node.organises.len())).collect();
    assert_eq!(names, [("a/first", Some(0), 1), ("second", Some(0), 0)], "it organises as before");
    other.drain().await.unwrap();
    rig.produce(TOPIC, 0, 100).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((first.begun(), committed(&rig)), (held, 600));
    assert!(control.resume_node("a/first").await.unwrap());
    assert!(!control.resume_node("a/first").await.unwrap(), "it is not quiet");
    until("it goes on", || committed(&rig) == 700).await;
    while events.next().await != Some(Event::Woken) {}
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_asked_to_drain_does_and_what_was_asked_goes_with_it() {
    let rig = rig(2, 2);
    let control = control(&rig).await;
    let hands = Hands::new(10_000);
    // Each has a store of its own, as without Redis.
    let node = hands.of(named(&rig, "first")).await;
    let other = hands.of(named(&rig, "second")).await;
    rig.produce(TOPIC, 0, 100).await;
    until("all is handled", || committed(&rig) == 100).await;
    let client = rig.client().await;
    until("both are members", || rig.cluster.committed(GROUP, TOPIC, 1).is_some()).await;
    let nodes = inspect::nodes(&client, GROUP, None).await.unwrap();
    assert!(nodes.iter().all(|node| node.private_store && node.leased.is_none()), "{nodes:?}");
    assert_eq!(nodes.iter().map(|node| &*node.node).collect::<Vec<_>>(), ["first", "second"]);
    // Nobody has to wait for that: it leaves even if its program does not look.
    assert!(control.drain("first", "ann").await.unwrap());
    node.asked_to_drain().await;
    while control.asked().await.unwrap().of_node("first").is_some() {
        sleep(Duration::from_millis(100)).await;
    }
    let left = inspect::nodes(&client, GROUP, None).await.unwrap();
    assert_eq!(left.iter().map(|node| &*node.node).collect::<Vec<_>>(), ["second"]);
    node.run_until(std::future::pending()).await.unwrap();
    rig.produce(TOPIC, 0, 100).await;
    rig.produce(TOPIC, 1, 100).await;
    until("the other has all", || hands.begun() == 300).await;
    // Who comes back under its name works, and so does who finds what was asked of one that died.
    control.quiet("third", "ann").await.unwrap();
    control.drain("first", "ann").await.unwrap();
    let again = hands.of(named(&rig, "first")).await;
    other.drain().await.unwrap();
    rig.produce(TOPIC, 0, 100).await;
    until("it works", || committed(&rig) == 300).await;
    let asked = control.asked().await.unwrap();
    assert_eq!(
        asked.nodes().map(|asked| (&*asked.node, asked.wish)).collect::<Vec<_>>(),
        [("third", Wish::Quiet)]
    );
    control.forget_gone(|node| node == "first").await.unwrap();
    assert_eq!(control.asked().await.unwrap().nodes().count(), 0, "entries of the dead do not pile up");
    again.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn with_the_pull_form_a_drained_node_ends_the_loop() {
    let rig = rig(1, 3);
    rig.produce(TOPIC, 0, 100).await;
    let node = named(&rig, "puller").build().await.unwrap();
    let first = node.recv().await.unwrap().unwrap();
    control(&rig).await.drain("puller", "ann").await.unwrap();
    node.asked_to_drain().await;
    first.ack();
    // What nobody has begun went back.
    assert!(node.recv().await.unwrap().is_none());
    node.drain().await.unwrap();
    assert_eq!(committed(&rig), 1);
}
