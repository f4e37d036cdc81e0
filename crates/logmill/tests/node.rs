//! A node on the embedded cluster: every record handled once, and the watermark where it should be.

#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::time::Duration;

use logmill::node::{Background, Order, Received, Retry};
use logmill::store::MemoryStore;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_testkit::{Fault, Rule};
use rig::{Rig, Tally, until};

#[tokio::test]
async fn every_record_is_handled_once_and_committed() {
    let rig = Rig::new(3, 1);
    rig.cluster.create_topic("orders", 3);
    for partition in 0..3 {
        rig.produce("orders", partition, 1_000).await;
    }
    let tally = Tally::default();
    let handler = {
        let tally = tally.clone();
        move |record: Received| {
            tally.count(&record);
            async {}
        }
    };
    let node = rig.node("billing").topics(["orders"]).handler(handler).build().await.unwrap();
    tally.reaches(3_000).await;
    node.drain().await.unwrap();
    assert_eq!((tally.distinct(), tally.repeats()), (3_000, 0));
    for partition in 0..3 {
        assert_eq!(rig.committed("billing", "orders", partition).await.unwrap().0, 1_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_drains_in_a_rebalance_commits_under_its_next_membership() {
    let rig = Rig::new(1, 9);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, 100).await;
    let tally = Tally::default();
    let settings = rig.node("billing").topics(["orders"]).commit_interval(Duration::from_secs(3_600));
    let node = settings.background(Background::Here).handler(counting(&tally)).build().await.unwrap();
    tally.reaches(100).await;
    let fault = Fault::Error(ErrorCode::IllegalGeneration);
    rig.cluster.inject(Rule::new(ApiKey::OffsetCommit, fault).times(2));
    node.drain().await.unwrap();
    assert_eq!(rig.committed("billing", "orders", 0).await.unwrap().0, 100);
}

/// Counts each record, and waits a little so that several are in hand at once.
fn counting(tally: &Tally) -> impl Fn(Received) -> std::future::Ready<()> + Send + Sync + 'static + use<> {
    let tally = tally.clone();
    move |record: Received| {
        tally.count(&record);
        std::future::ready(())
    }
}

#[tokio::test]
async fn nodes_with_stores_of_their_own_share_the_partitions_out_and_hand_them_over_without_repeats() {
    let rig = Rig::new(1, 2);
    rig.cluster.create_topic("orders", 4);
    let tally = Tally::default();
    let node = |name: &str| {
        let settings =
            rig.node("billing").name(name).topics(["orders"]).session_timeout(Duration::from_secs(6));
        settings.commit_interval(Duration::from_millis(100)).handler(counting(&tally))
    };
    let first = node("first").build().await.unwrap();
    for partition in 0..4 {
        rig.produce("orders", partition, 500).await;
    }
    tally.reaches(2_000).await;
    let second = node("second").build().await.unwrap();
    while second.counts().handled == 0 {
        for partition in 0..4 {
            rig.produce("orders", partition, 100).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let total = (0..4).map(|partition| rig.cluster.high_watermark("orders", partition)).sum::<i64>();
    tally.reaches(total as usize).await;
    first.drain().await.unwrap();
    for partition in 0..4 {
        rig.produce("orders", partition, 100).await;
    }
    tally.reaches(total as usize + 400).await;
    second.drain().await.unwrap();
    assert_eq!(tally.repeats(), 0);
    for partition in 0..4 {
        let end = rig.cluster.high_watermark("orders", partition);
        assert_eq!(rig.committed("billing", "orders", partition).await.unwrap().0, end);
    }
}

#[tokio::test]
async fn nodes_that_share_a_store_share_one_partition_and_a_wiped_store_loses_nothing() {
    let rig = Rig::new(1, 3);
    rig.cluster.create_topic("orders", 1);
    let store = Arc::new(MemoryStore::new());
    let tally = Tally::default();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        let settings = rig.node("billing").name(name).topics(["orders"]).store(store.clone());
        let settings = settings.commit_interval(Duration::from_millis(100)).lease(Duration::from_secs(3));
        let tally = tally.clone();
        let handler = move |record: Received| {
            let tally = tally.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                tally.count(&record);
            }
        };
        nodes.push(settings.concurrency(8).handler(handler).build().await.unwrap());
    }
    rig.produce("orders", 0, 5_000).await;
    tally.reaches(2_000).await;
    store.wipe();
    tally.reaches(5_000).await;
    assert!(nodes.iter().all(|node| node.counts().handled > 0), "one partition, and not every node had work");
    // What was settled and not committed when the store was wiped comes again.
    let committed = || rig.cluster.committed("billing", "orders", 0).map_or(0, |committed| committed.offset);
    until("all is committed", || committed() == 5_000).await;
    for node in nodes {
        node.drain().await.unwrap();
    }
    assert_eq!(committed(), 5_000);
}

#[tokio::test]
async fn failed_records_come_again_while_others_go_on_and_panics_are_failures() {
    let rig = Rig::new(1, 4);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, 100).await;
    let tally = Tally::default();
    let counted = tally.clone();
    let handler = move |record: Received| {
        let tally = counted.clone();
        async move {
            match (record.offset(), record.attempt()) {
                (7, 1) => return Err("not now"),
                (8, 1) => panic!("on purpose"),
                _ => tally.count(&record),
            }
            Ok(())
        }
    };
    let retry = Retry::exponential(Duration::from_millis(50), Duration::from_secs(1));
    let node = rig.node("billing").topics(["orders"]).retry(retry).handler(handler).build().await.unwrap();
    tally.reaches(100).await;
    assert_eq!((tally.repeats(), node.counts().retried), (0, 2));
    node.drain().await.unwrap();
    assert_eq!(rig.committed("billing", "orders", 0).await.unwrap().0, 100);
}

#[tokio::test]
async fn the_pull_form_gives_back_what_is_dropped() {
    let rig = Rig::new(1, 5);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, 3).await;
    let node = rig.node("billing").topics(["orders"]).build().await.unwrap();
    let first = node.recv().await.unwrap().unwrap();
    let second = node.recv().await.unwrap().unwrap();
    let third = node.recv().await.unwrap().unwrap();
    let offset = first.offset();
    drop(first);
    second.ack();
    let again = node.recv().await.unwrap().unwrap();
    assert_eq!(again.offset(), offset);
    again.ack();
    third.dead("too late");
    node.quiet();
    assert!(node.recv().await.unwrap().is_none());
    node.drain().await.unwrap();
    assert_eq!(rig.committed("billing", "orders", 0).await.unwrap().0, 3);
}

#[tokio::test]
async fn a_drain_gives_back_what_is_not_begun_and_nothing_is_handled_twice() {
    let rig = Rig::new(1, 6);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, 2_000).await;
    let tally = Tally::default();
    for _ in 0..4 {
        let counted = tally.clone();
        let handler = move |record: Received| {
            let tally = counted.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                tally.count(&record);
            }
        };
        let node = rig.node("billing").topics(["orders"]).handler(handler).build().await.unwrap();
        tally.reaches((tally.distinct() + 400).min(2_000)).await;
        node.drain().await.unwrap();
    }
    assert_eq!(tally.repeats(), 0);
}

#[tokio::test]
async fn a_node_that_asks_for_another_order_than_its_group_has_is_refused() {
    let rig = Rig::new(1, 7);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, 20).await;
    let tally = Tally::default();
    let node = |order| rig.node("billing").topics(["orders"]).order(order).handler(counting(&tally)).build();
    let first = node(Order::ByKey { lanes: 4 }).await.unwrap();
    tally.reaches(20).await;
    first.drain().await.unwrap();
    for other in [Order::Unordered, Order::ByPartition, Order::by_key()] {
        let refused = node(other).await.unwrap_err().to_string();
        assert!(refused.contains("order") && refused.contains("4 lanes"), "{other:?}: {refused}");
    }
    node(Order::ByKey { lanes: 4 }).await.unwrap().drain().await.unwrap();
}
