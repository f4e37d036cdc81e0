//! A node whose broker goes away, whose store cannot be reached, whose handlers never end: what it must not
//! do, and that the group goes on.

#![allow(clippy::unwrap_used)]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use logmill::client::admin::Committed;
use logmill::node::{Background, NodeBuilder, Order, Received, Retry};
use logmill::store::{MemoryStore, Store};
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::ApiKey;
use logmill_testkit::{Fault, Rule};
use rig::cut::Way;
use rig::{Rig, Tally};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

const LEASE: Duration = Duration::from_secs(3);
/// Whatever is to happen has happened by then.
const SOON: Duration = Duration::from_secs(60);

fn node(rig: &Rig) -> NodeBuilder {
    let settings = rig.node("billing").topics(["orders"]).lease(LEASE).background(Background::Here);
    settings.session_timeout(LEASE * 2).commit_interval(Duration::from_millis(500))
}

/// Longer than the session, and than a commit is tried: at each moment of it another part of a node waits
/// for the broker, and none may keep what the others need.
#[tokio::test(start_paused = true)]
async fn nodes_go_on_when_the_only_broker_comes_back_however_long_it_was_away() {
    for away in [1, 5, 8, 15, 40] {
        let rig = Rig::new(1, away);
        rig.cluster.create_topic("orders", 4);
        let store = Arc::new(MemoryStore::new());
        let tally = Tally::default();
        let mut nodes = Vec::new();
        for name in ["a", "b", "c"] {
            let counted = tally.clone();
            let handler = move |record: Received| {
                let tally = counted.clone();
                async move {
                    sleep(Duration::from_millis(1)).await;
                    tally.count(&record);
                }
            };
            let settings = node(&rig).name(name).store(store.clone()).seed(away).concurrency(8);
            nodes.push(settings.handler(handler).build().await.unwrap());
        }
        for partition in 0..4 {
            rig.produce("orders", partition, 3_000).await;
        }
        tally.reaches(2_000).await;
        rig.cluster.crash(1);
        sleep(Duration::from_secs(away)).await;
        rig.cluster.restart(1);
        tally.reaches(12_000).await;
        let committed = async {
            for partition in 0..4 {
                while rig.committed("billing", "orders", partition).await.is_none_or(|(at, _)| at != 3_000) {
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        assert!(timeout(SOON, committed).await.is_ok(), "away for {away} s: not committed");
        for node in nodes {
            node.drain().await.unwrap();
        }
        assert_eq!(tally.repeats(), 0, "away for {away} s");
    }
}

/// Ten records, and a store that two nodes may share.
async fn ten_records(seed: u64) -> (Rig, Arc<MemoryStore>) {
    let rig = Rig::new(1, seed);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, 10).await;
    (rig, Arc::new(MemoryStore::new()))
}

/// Another node handles all ten.
async fn another_handles_all(rig: &Rig, store: Arc<MemoryStore>) {
    let tally = Tally::default();
    let counted = tally.clone();
    let handler = move |record: Received| {
        counted.count(&record);
        std::future::ready(())
    };
    let _other = node(rig).name("other").store(store).handler(handler).build().await.unwrap();
    tally.reaches(10).await;
}

#[tokio::test(start_paused = true)]
async fn what_no_handler_has_finished_is_not_settled() {
    let (rig, store) = ten_records(1).await;
    let begun = Tally::default();
    let counted = begun.clone();
    let handler = move |record: Received| {
        counted.count(&record);
        std::future::pending::<()>()
    };
    let victim = node(&rig).store(store.clone()).concurrency(10).handler(handler).build().await.unwrap();
    begun.reaches(10).await;
    // Checkpoints and commits have been made of what there was.
    sleep(SOON).await;
    victim.kill();
    another_handles_all(&rig, store).await;
}

/// A record that failed waits in the older lease, which nobody looks at once the newer one stands in its place.
#[tokio::test(start_paused = true)]
async fn a_lane_that_a_node_is_given_again_while_it_has_an_older_lease_of_it_goes_on() {
    let (rig, store) = ten_records(4).await;
    let tally = Tally::default();
    let counted = tally.clone();
    let handler = move |record: Received| {
        let first = record.offset() == 5 && record.attempt() == 1;
        counted.count(&record);
        std::future::ready(if first { Err("on purpose") } else { Ok(()) })
    };
    let wait = Duration::from_secs(2);
    let settings =
        node(&rig).store(store.clone()).order(Order::ByPartition).retry(Retry::exponential(wait, wait));
    let _node = settings.handler(handler).build().await.unwrap();
    tally.reaches(6).await;
    // Its organiser rebuilds it, and the node takes it, before a renewal tells that the older lease is over.
    store.wipe();
    let committed = async {
        while rig.committed("billing", "orders", 0).await.is_none_or(|(at, _)| at != 10) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(SOON, committed).await.is_ok(), "{} of 10 handled", tally.distinct());
}

/// Nothing is to be read there: the reading must not begin there over and over.
#[tokio::test(start_paused = true)]
async fn records_that_are_gone_between_two_units_of_a_lane_do_not_hold_up_its_reading() {
    let rig = Rig::new(1, 5);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, 40).await;
    let client = rig.client().await;
    // 10..20 and 25..30 are to be handled, and what comes after 31.
    let mut commit = Committed::at(10);
    let id = client.topic("orders").await.unwrap().id;
    commit.metadata = format!("logmill1 g=1 t={id} n=1 l=0:10+5,5+1");
    let orders = Partition::new("orders", 0);
    client.admin().commit("billing", &BTreeMap::from([(orders, commit)])).await.unwrap();
    let store = Arc::new(MemoryStore::new());
    let lane = || node(&rig).store(store.clone()).order(Order::ByPartition);
    let planner = lane().name("planner").build().await.unwrap();
    planner.quiet();
    while store.overview().await.unwrap().ready == 0 {
        sleep(Duration::from_millis(100)).await;
    }
    rig.cluster.delete_records("orders", 0, 22);
    let tally = Tally::default();
    let counted = tally.clone();
    let handler = move |record: Received| {
        counted.count(&record);
        std::future::ready(())
    };
    // So many handlers that it takes all of the lane at once, and reads it in one go.
    let node = lane().name("reader").concurrency(1_000).handler(handler).build().await.unwrap();
    assert!(timeout(SOON, tally.reaches(14)).await.is_ok(), "{} of 14 handled", tally.distinct());
    node.drain().await.unwrap();
    planner.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn past_its_lease_a_node_that_cannot_renew_hands_out_nothing_more() {
    let (rig, store) = ten_records(2).await;
    let way = Way::to(&store);
    let begun = Tally::default();
    let gate = Arc::new(Semaphore::new(0));
    let handler = {
        let (begun, gate) = (begun.clone(), gate.clone());
        move |record: Received| {
            begun.count(&record);
            let gate = gate.clone();
            async move { gate.acquire().await.unwrap().forget() }
        }
    };
    let cut_off = node(&rig).name("cut").store(way.clone()).concurrency(1).handler(handler);
    let cut_off = cut_off.build().await.unwrap();
    begun.reaches(1).await;
    way.cut();
    sleep(LEASE).await;
    gate.add_permits(10);
    sleep(LEASE).await;
    assert_eq!(begun.distinct(), 1, "records of a lease that has ended were handed out");
    another_handles_all(&rig, store).await;
    way.mend();
    sleep(LEASE).await;
    assert_eq!((begun.distinct(), cut_off.counts().leases_lost), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn past_its_lease_a_node_that_cannot_renew_gives_its_caller_nothing_more() {
    let (rig, store) = ten_records(3).await;
    let way = Way::to(&store);
    let cut_off = node(&rig).name("cut").store(way.clone()).build().await.unwrap();
    let first = cut_off.recv().await.unwrap().unwrap();
    way.cut();
    sleep(LEASE).await;
    first.ack();
    assert!(timeout(LEASE, cut_off.recv()).await.is_err(), "a record of a lease that has ended");
    another_handles_all(&rig, store).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_with_a_store_of_its_own_hands_nothing_out_while_it_may_be_no_member_any_more() {
    let rig = Rig::new(1, 21);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, 2).await;
    // Renewing a lease in its own store says nothing about others.
    let settings = rig.node("billing").topics(["orders"]).lease(Duration::from_secs(600)).seed(3);
    let settings = settings.session_timeout(Duration::from_secs(6)).background(Background::Here);
    let node = settings.build().await.unwrap();
    let first = node.recv().await.unwrap().unwrap();
    assert!(first.is_leased());
    rig.cluster.inject(Rule::new(ApiKey::Heartbeat, Fault::Hang));
    rig.cluster.inject(Rule::new(ApiKey::JoinGroup, Fault::Hang));
    // Before it notices by itself: its heartbeat is still on its way.
    sleep(Duration::from_millis(6_100)).await;
    assert!(!first.is_leased());
    assert!(timeout(SOON, node.recv()).await.is_err(), "it may be another's");
    drop(first);
    rig.cluster.clear_faults();
    for offset in 0..2 {
        let delivery = node.recv().await.unwrap().unwrap();
        assert!(delivery.offset() == offset && delivery.is_leased());
        delivery.ack();
    }
    node.drain().await.unwrap();
}
