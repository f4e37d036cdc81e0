//! A node that holds back while too many records fail: no topic is emptied into dead letters because of what handlers need.

#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use logmill::node::{Background, Breaker, Event, NodeBuilder, Order, Outcome, Received, Retry};
use rig::{Rig, until};
use tokio::time::{sleep, timeout};

const GROUP: &str = "billing";
const TOPIC: &str = "orders";
const SECOND: Duration = Duration::from_secs(1);
const HANDLERS: u64 = 4;
const RECORDS: u32 = 10;

/// What handlers need, and what they did.
#[derive(Clone, Default)]
struct Bank {
    is_down: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
}

impl Bank {
    async fn handle(self, received: Received, poisoned: fn(i64) -> bool) -> Outcome {
        sleep(Duration::from_millis(1)).await;
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) || poisoned(received.offset()) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Outcome::Retry { reason: "the bank is down".to_owned() };
        }
        Outcome::Ack
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn with_records(records: i64, seed: u64) -> Rig {
    let rig = Rig::new(1, seed);
    rig.cluster.create_topic(TOPIC, 1);
    rig.produce(TOPIC, 0, records).await;
    rig
}

fn node(rig: &Rig) -> NodeBuilder {
    let retry = Retry::exponential(Duration::from_millis(10), Duration::from_millis(50)).max_attempts(3);
    let breaker = Breaker::at(0.5).records(RECORDS).window(10 * SECOND).pause(SECOND, 8 * SECOND);
    let node = rig.node(GROUP).topics([TOPIC]).background(Background::Here).seed(7).retry(retry);
    node.concurrency(HANDLERS as usize).commit_interval(SECOND / 10).breaker(breaker)
}

fn committed(rig: &Rig) -> i64 {
    rig.cluster.committed(GROUP, TOPIC, 0).map_or(0, |committed| committed.offset)
}

#[tokio::test(start_paused = true)]
async fn while_too_many_records_fail_few_are_tried_and_no_more_are_given_up_on() {
    for order in [Order::Unordered, Order::ByKey { lanes: 3 }] {
        let rig = with_records(500, 1).await;
        let bank = Bank::default();
        bank.is_down.store(true, Ordering::SeqCst);
        let called = bank.clone();
        let handler = move |received: Received| called.clone().handle(received, |_| false);
        let once = Retry::exponential(Duration::from_millis(10), Duration::from_millis(50)).max_attempts(1);
        let node = node(&rig).retry(once).order(order).handler(handler).build().await.unwrap();
        let mut events = node.events();
        let mut pauses = Vec::new();
        while pauses.len() < 8 {
            let told = timeout(100 * SECOND, events.next()).await;
            let told = told.unwrap_or_else(|_| panic!("{order:?}: {pauses:?}")).unwrap();
            if let Event::HeldBack { failed, tried, pause, reason } = told {
                assert!(tried >= u64::from(RECORDS) && failed == tried, "{order:?}: {failed} of {tried}");
                assert_eq!(reason, "the bank is down");
                pauses.push(pause.as_secs());
            }
        }
        assert_eq!(pauses, [1, 2, 4, 8, 8, 8, 8, 8], "{order:?}");
        assert!(bank.calls() <= 8 * (u64::from(RECORDS) + HANDLERS), "{order:?}: {}", bank.calls());

        bank.is_down.store(false, Ordering::SeqCst);
        until("all is handled", || committed(&rig) == 500).await;
        let counts = node.counts();
        // Those before it held back for the first time.
        let dead = u64::from(RECORDS) - 1;
        assert_eq!((counts.handled, counts.dead_letters), (500 - dead, dead), "{order:?}");
        assert_eq!(bank.calls() - bank.refused.load(Ordering::SeqCst), 500 - dead, "{order:?}: none twice");
        node.drain().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_records_that_fail_hold_nothing_back_and_are_given_up_on() {
    let rig = with_records(1_000, 2).await;
    let bank = Bank::default();
    let called = bank.clone();
    let handler = move |received: Received| called.clone().handle(received, |offset| offset % 10 == 9);
    let node = node(&rig).handler(handler).build().await.unwrap();
    until("all is settled", || committed(&rig) == 1_000).await;
    assert_eq!((node.counts().handled, node.counts().dead_letters), (900, 100));
    assert_eq!(bank.calls(), 900 + 3 * 100);
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_poison_is_given_up_on_once_the_bank_is_back() {
    let rig = with_records(300, 3).await;
    let bank = Bank::default();
    bank.is_down.store(true, Ordering::SeqCst);
    let called = bank.clone();
    let handler = move |received: Received| called.clone().handle(received, |offset| offset == 150);
    let node = node(&rig).handler(handler).build().await.unwrap();
    sleep(40 * SECOND).await;
    assert_eq!(node.counts().dead_letters, 0);
    bank.is_down.store(false, Ordering::SeqCst);
    until("all is settled", || committed(&rig) == 300).await;
    assert_eq!((node.counts().handled, node.counts().dead_letters), (299, 1));
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_holds_back_drains_at_once() {
    let rig = with_records(100, 4).await;
    let bank = Bank::default();
    bank.is_down.store(true, Ordering::SeqCst);
    let called = bank.clone();
    let handler = move |received: Received| called.clone().handle(received, |_| false);
    let breaker = Breaker::at(0.5).records(RECORDS).pause(1_000 * SECOND, 1_000 * SECOND);
    let node = node(&rig).breaker(breaker).handler(handler).build().await.unwrap();
    let mut events = node.events();
    while !matches!(events.next().await.unwrap(), Event::HeldBack { .. }) {}
    timeout(SECOND, node.drain()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_share_that_cannot_be_meant_is_refused() {
    let rig = Rig::new(1, 5);
    let problem = node(&rig).breaker(Breaker::at(50.0)).build().await.unwrap_err().to_string();
    assert!(problem.contains("breaker") && problem.contains("at most 1"), "{problem}");
}
