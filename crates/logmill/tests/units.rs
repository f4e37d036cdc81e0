//! Units in an operator's hands, while nodes are at work on them.

#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use logmill::node::{Background, Event, Node, NodeBuilder, Order, Received};
use logmill::store::{MemoryStore, Store};
use logmill::units::{self, Requeued, StaleReason, Standing, UnitSeen};
use logmill_protocol::ids::Nonce;
use logmill_protocol::work::Take;
use rig::{Rig, until};
use tokio::sync::Semaphore;

const GROUP: &str = "billing";
const TOPIC: &str = "orders";
const LEASE: Duration = Duration::from_secs(9);

fn node(rig: &Rig, name: &str, store: &Arc<MemoryStore>, order: Order) -> NodeBuilder {
    let builder = rig.node(GROUP).topics([TOPIC]).name(name).store(store.clone()).order(order).lease(LEASE);
    builder.background(Background::Here).commit_interval(Duration::from_millis(100)).concurrency(1).seed(7)
}

/// Offsets as they are handled, each for a permit.
#[derive(Clone)]
struct Hands {
    permits: Arc<Semaphore>,
    begun: Arc<Mutex<Vec<i64>>>,
}

impl Hands {
    fn new(permits: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(permits)), begun: Arc::default() }
    }

    async fn of(&self, builder: NodeBuilder) -> Node {
        let hands = self.clone();
        let handler = move |record: Received| {
            let hands = hands.clone();
            async move {
                hands.begun.lock().unwrap().push(record.offset());
                hands.permits.acquire().await.unwrap().forget();
            }
        };
        builder.handler(handler).build().await.unwrap()
    }

    fn begun(&self) -> Vec<i64> {
        self.begun.lock().unwrap().clone()
    }
}

async fn all(store: &MemoryStore) -> Vec<UnitSeen> {
    let mut all = Vec::new();
    for partition in units::partitions(store).await.unwrap() {
        all.extend(units::of_partition(store, &partition).await.unwrap());
    }
    all
}

fn committed(rig: &Rig) -> i64 {
    rig.cluster.committed(GROUP, TOPIC, 0).map_or(0, |committed| committed.offset)
}

#[tokio::test(start_paused = true)]
async fn a_released_unit_goes_to_another_node_and_the_first_one_can_do_nothing_more_with_it() {
    for order in [Order::Unordered, Order::ByPartition] {
        let rig = Rig::new(1, 1);
        rig.cluster.create_topic(TOPIC, 1);
        rig.produce(TOPIC, 0, 10).await;
        let store = Arc::<MemoryStore>::default();
        let (first, second) = (Hands::new(3), Hands::new(100));
        let slow = first.of(node(&rig, "slow", &store, order)).await;
        let mut events = slow.events();
        until("a handler waits", || first.begun().len() == 4).await;
        // Its next renewal tells how far it has come.
        tokio::time::sleep(LEASE / 3).await;
        let seen = all(&store).await;
        let unit = &seen[0];
        assert_eq!((seen.len(), unit.range.clone(), unit.settled_to), (1, 0..10, 3), "{order:?}");
        assert_eq!((unit.node.as_deref(), unit.attempt), (Some("slow"), 1));
        assert!(matches!(unit.standing, Standing::Leased { left, .. } if left > LEASE / 2), "{unit:?}");

        slow.quiet();
        assert_eq!(unit.release(&*store).await.unwrap(), Requeued::Done { released: 1 });
        let stale = Requeued::Stale(StaleReason::Nonce);
        assert_eq!(unit.release(&*store).await.unwrap(), stale, "it has changed since it was seen");
        let waits = all(&store).await.remove(0);
        assert_eq!((waits.standing, waits.attempt, waits.settled_to), (Standing::Waiting, 0, 3));
        let other = second.of(node(&rig, "other", &store, order)).await;
        until("the other has done it", || committed(&rig) == 10).await;
        assert_eq!(second.begun(), [3, 4, 5, 6, 7, 8, 9], "{order:?}: what was handled stays so");
        while !matches!(events.next().await, Some(Event::LeaseLost { .. })) {}
        first.permits.add_permits(100);
        slow.drain().await.unwrap();
        assert_eq!(first.begun(), [0, 1, 2, 3], "{order:?}: it begins nothing more of it");
        other.drain().await.unwrap();
        assert_eq!(committed(&rig), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_split_so_that_two_nodes_can_have_it_and_one_comes_first() {
    let rig = Rig::new(1, 2);
    rig.cluster.create_topic(TOPIC, 1);
    let store = Arc::<MemoryStore>::default();
    // It plans, and takes none.
    let planner = Hands::new(0).of(node(&rig, "planner", &store, Order::Unordered)).await;
    planner.quiet();
    // The store's clock begins at 0, and nothing comes before that.
    tokio::time::sleep(LEASE).await;
    rig.produce(TOPIC, 0, 20).await;
    let mut seen = all(&store).await;
    while seen.last().is_none_or(|last| last.range.end < 20) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen = all(&store).await;
    }
    let last = seen.last().unwrap();
    assert_eq!((last.range.clone(), last.standing), (0..20, Standing::Waiting));
    assert_eq!(last.split(&*store, 18).await.unwrap(), Requeued::Done { released: 0 });
    assert!(last.split(&*store, 20).await.is_err(), "there is nothing to cut");
    let tail = all(&store).await.pop().unwrap();
    assert_eq!(tail.range, 18..20);
    assert_eq!(tail.requeue(&*store).await.unwrap(), Requeued::Done { released: 0 });
    let take = Take { node: "n".into(), nonce: Nonce(1), lease_ms: 1, max_units: 1, extend: Vec::new() };
    let first = store.take(take).await.unwrap().leases.remove(0);
    assert_eq!(first.range.start(), 18, "it comes before all that waits");
    let others = Hands::new(100);
    let other = others.of(node(&rig, "other", &store, Order::Unordered)).await;
    until("all is handled", || committed(&rig) == 20).await;
    let mut begun = others.begun();
    begun.sort_unstable();
    assert_eq!(begun, (0..20).collect::<Vec<_>>(), "none was handled twice");
    planner.drain().await.unwrap();
    other.drain().await.unwrap();
}
