//! What a node tells while it runs: each kind of event, on the embedded cluster, and that a slow listener holds up nobody.

#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::time::Duration;

use logmill::ErrorCode;
use logmill::ledger::DeadReason;
use logmill::node::{
    Background, Event, Events, Failure, GapCause, Json, NodeBuilder, Outcome, Received, Retry,
};
use logmill::store::MemoryStore;
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::ApiKey;
use logmill_testkit::Fault;
use rig::cut::Way;
use rig::{Rig, Tally};
use tokio::time::{sleep, timeout};

const LEASE: Duration = Duration::from_secs(3);
/// Paused time: whatever is to come has come by then.
const SOON: Duration = Duration::from_secs(600);

fn node(rig: &Rig) -> NodeBuilder {
    let settings = rig.node("billing").topics(["orders"]).lease(LEASE).background(Background::Here).seed(7);
    let retry = Retry::exponential(Duration::from_millis(50), Duration::from_secs(1)).max_attempts(2);
    settings.session_timeout(LEASE * 2).commit_interval(Duration::from_millis(500)).retry(retry)
}

async fn with_records(records: i64, seed: u64) -> Rig {
    let rig = Rig::new(1, seed);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, records).await;
    rig
}

fn orders(index: i32) -> Partition {
    Partition::new("orders", index)
}

/// All that is told up to and with the first for which `last` holds.
async fn until(events: &mut Events, last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut told = Vec::new();
    while !told.last().is_some_and(&last) {
        match timeout(SOON, events.next()).await {
            Ok(Some(event)) => told.push(event),
            Ok(None) => panic!("the node ended; told: {told:#?}"),
            Err(_) => panic!("nothing more is told; told: {told:#?}"),
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_records_that_fail_is_told() {
    let rig = with_records(4, 1).await;
    rig.cluster.produce("orders", 0, ["{not json"]);
    let handler = |Json(number): Json<i64>, record: Received| async move {
        match (number, record.attempt()) {
            (0, 1) => panic!("on purpose"),
            (1, 1) => std::future::pending().await,
            (2, 1) => Outcome::RetryAfter { delay: Duration::from_secs(2), reason: "not yet".into() },
            (3, _) => Outcome::Retry { reason: "never".into() },
            _ => Outcome::Ack,
        }
    };
    let limit = Duration::from_secs(1);
    let node = node(&rig).handler_timeout(limit).handler(handler).build().await.unwrap();
    let mut events = node.events();
    let mut told = Vec::new();
    let count = |told: &[Event], which: fn(&Event) -> bool| told.iter().filter(|event| which(event)).count();
    while count(&told, |event| matches!(event, Event::DeadLetter { .. })) < 2
        || count(&told, |event| matches!(event, Event::Retried { .. })) < 4
    {
        told.extend(until(&mut events, |_| true).await);
    }
    let has = |wanted: Event| assert!(told.contains(&wanted), "{wanted:?} is not in {told:#?}");
    let partition = || orders(0);
    has(Event::Assigned { partitions: vec![partition()] });
    has(Event::Rebuilt { partition: partition(), watermark: 0, generation: 1 });
    has(Event::Panicked { partition: partition(), offset: 0, attempt: 1, text: "on purpose".into() });
    has(Event::TimedOut { partition: partition(), offset: 1, attempt: 1, limit });
    let dead =
        |offset, attempts, reason| Event::DeadLetter { partition: partition(), offset, attempts, reason };
    has(dead(3, 2, DeadReason::Attempts));
    has(dead(4, 1, DeadReason::Decode));
    for (wanted, wanted_failure) in
        [(0, Failure::Panic), (1, Failure::Timeout), (2, Failure::Handler), (3, Failure::Handler)]
    {
        let is = |event: &Event| {
            matches!(event, Event::Retried { offset, failure, attempt: 1, .. }
                if *offset == wanted && *failure == wanted_failure)
        };
        assert_eq!(told.iter().filter(|event| is(event)).count(), 1, "record {wanted}: {told:#?}");
    }
    let asked = |event: &Event| {
        matches!(event, Event::Retried { offset: 2, delay, reason, .. }
            if *delay == Duration::from_secs(2) && reason == "not yet")
    };
    assert!(told.iter().any(asked), "{told:#?}");
    node.quiet();
    node.quiet();
    assert_eq!(until(&mut events, |event| *event == Event::Quiet).await.len(), 1);
    node.drain().await.unwrap();
    assert_eq!(until(&mut events, |event| *event == Event::Drained).await, [Event::Drained], "told twice");
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn partitions_that_come_and_go_are_told() {
    let rig = Rig::new(1, 2);
    rig.cluster.create_topic("orders", 2);
    let first = node(&rig).name("first").build().await.unwrap();
    let mut events = first.events();
    let both = vec![orders(0), orders(1)];
    until(&mut events, |event| *event == Event::Assigned { partitions: both.clone() }).await;
    // Who listens later learns what is assigned all the same.
    assert_eq!(first.events().next().await, Some(Event::Assigned { partitions: both }));
    let second = node(&rig).name("second").build().await.unwrap();
    let revoked = until(&mut events, |event| matches!(event, Event::Revoked { .. })).await;
    let Some(Event::Revoked { partitions }) = revoked.last() else { unreachable!() };
    assert_eq!(partitions.len(), 1, "{revoked:?}");
    second.drain().await.unwrap();
    until(&mut events, |event| matches!(event, Event::Assigned { .. })).await;
    rig.cluster.on_once(ApiKey::Heartbeat, Fault::Error(ErrorCode::UnknownMemberId));
    let lost = until(&mut events, |event| matches!(event, Event::Lost { .. })).await;
    assert_eq!(lost.last(), Some(&Event::Lost { partitions: vec![orders(0), orders(1)] }));
    until(&mut events, |event| matches!(event, Event::Rebuilt { generation: 2.., .. })).await;
    first.kill();
}

#[tokio::test(start_paused = true)]
async fn records_that_are_gone_are_told_as_a_gap() {
    let rig = with_records(10, 3).await;
    let nobody = node(&rig).name("nobody").build().await.unwrap();
    let mut events = nobody.events();
    until(&mut events, |event| matches!(event, Event::Rebuilt { .. })).await;
    nobody.drain().await.unwrap();
    rig.cluster.delete_records("orders", 0, 4);
    let tally = Tally::default();
    let counted = tally.clone();
    let handler = move |record: Received| {
        counted.count(&record);
        std::future::ready(())
    };
    let node = node(&rig).handler(handler).build().await.unwrap();
    let mut events = node.events();
    let told = until(&mut events, |event| matches!(event, Event::Gap { .. })).await;
    let gap = Event::Gap { partition: orders(0), range: 0..4, cause: GapCause::Retention };
    assert_eq!(told.last(), Some(&gap));
    tally.reaches(6).await;
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_has_by_now_is_told_as_lost() {
    let rig = with_records(10, 4).await;
    let store = Arc::new(MemoryStore::new());
    let way = Way::to(&store);
    let begun = Tally::default();
    let counted = begun.clone();
    let handler = move |record: Received| {
        counted.count(&record);
        std::future::pending::<()>()
    };
    let cut_off = node(&rig).name("cut").store(way.clone()).concurrency(1).handler(handler);
    let cut_off = cut_off.build().await.unwrap();
    let mut events = cut_off.events();
    begun.reaches(1).await;
    way.cut();
    sleep(LEASE * 2).await;
    let other = Tally::default();
    let counted = other.clone();
    let handler = move |record: Received| {
        counted.count(&record);
        std::future::ready(())
    };
    let other_node = node(&rig).name("other").store(store).handler(handler).build().await.unwrap();
    other.reaches(10).await;
    way.mend();
    let told = until(&mut events, |event| matches!(event, Event::LeaseLost { .. })).await;
    assert_eq!(told.last(), Some(&Event::LeaseLost { partition: orders(0), range: 0..10 }));
    cut_off.kill();
    other_node.drain().await.unwrap();
}

/// A thousand records fail twice each before anybody listens to what was told.
#[tokio::test(start_paused = true)]
async fn a_listener_that_is_slow_is_told_how_many_it_missed_and_holds_up_nobody() {
    let rig = with_records(1_000, 5).await;
    let tally = Tally::default();
    let counted = tally.clone();
    let handler = move |record: Received| {
        let failed = record.attempt() == 1;
        if !failed {
            counted.count(&record);
        }
        std::future::ready(if failed { Err("the first time") } else { Ok(()) })
    };
    let node = node(&rig).handler(handler).build().await.unwrap();
    let mut events = node.events();
    tally.reaches(1_000).await;
    node.drain().await.unwrap();
    let Some(Event::Missed(missed)) = events.next().await else { panic!("all 1,000 were kept") };
    let mut told = 0;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::Missed(_)), "told again");
        told += u64::from(matches!(event, Event::Retried { .. }));
    }
    assert!((700..1_000).contains(&missed) && told > 0, "{missed} missed, {told} told");
}
