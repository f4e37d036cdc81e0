//! Records that are given up on: in the ledger before the watermark passes them, kept whatever becomes of the
//! store, and never in the way of others.

#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::time::Duration;

use logmill::client::Client;
use logmill::ledger::{DeadLetter, DeadReason, Ledger};
use logmill::node::{Background, Delivery, Json, Node, NodeBuilder, Outcome, Received, Retry};
use logmill::store::MemoryStore;
use logmill_protocol::messages::ApiKey;
use logmill_testkit::{Fault, Rule};
use rig::{Rig, Tally, until};
use tokio::sync::Notify;
use tokio::time::sleep;

const GROUP: &str = "billing";
const TOPIC: &str = "orders";
const LEDGER: &str = "logmill.ledger.billing";
const COMMIT: Duration = Duration::from_millis(100);

fn retry() -> Retry {
    Retry::exponential(Duration::from_millis(50), Duration::from_secs(1)).max_attempts(3)
}

/// A topic of one partition with so many records, and a node to be for it.
async fn with_records(records: i64, seed: u64) -> (Rig, NodeBuilder) {
    let rig = Rig::new(1, seed);
    rig.cluster.create_topic(TOPIC, 1);
    rig.produce(TOPIC, 0, records).await;
    let builder = node(&rig);
    (rig, builder)
}

fn node(rig: &Rig) -> NodeBuilder {
    let builder = rig.node(GROUP).topics([TOPIC]).retry(retry()).commit_interval(COMMIT).seed(7);
    builder.background(Background::Here).set("request.timeout.ms", "2000")
}

/// Fails at these offsets, and counts the others.
fn failing(
    tally: &Tally,
    offsets: impl Fn(i64) -> bool + Send + Sync + 'static,
) -> impl Fn(Received) -> std::future::Ready<Result<(), &'static str>> + Send + Sync + 'static {
    let tally = tally.clone();
    move |record| {
        if offsets(record.offset()) {
            return std::future::ready(Err("card expired"));
        }
        tally.count(&record);
        std::future::ready(Ok(()))
    }
}

fn committed(rig: &Rig) -> i64 {
    rig.cluster.committed(GROUP, TOPIC, 0).map_or(0, |committed| committed.offset)
}

async fn commits(rig: &Rig, offset: i64) {
    until("the watermark is committed", || committed(rig) >= offset).await;
}

async fn letters_of(client: &Client) -> Vec<DeadLetter> {
    let all = Ledger::open(client, GROUP).read_all().await.unwrap();
    all.iter().map(|logged| DeadLetter::from_entry(&logged.key, &logged.value).unwrap()).collect()
}

async fn letters(rig: &Rig) -> Vec<DeadLetter> {
    letters_of(&rig.client().await).await
}

async fn letters_are(node: &Node, count: u64) {
    until("the dead letters are there", || node.counts().dead_letters >= count).await;
}

#[tokio::test(start_paused = true)]
async fn the_watermark_waits_for_the_ledger_and_others_do_not() {
    let (rig, builder) = with_records(100, 1).await;
    let tally = Tally::default();
    rig.cluster.inject(Rule::new(ApiKey::Produce, Fault::Hang));
    // Shorter than the ledger hangs: the lease has to be renewed.
    let builder = builder.lease(Duration::from_secs(3));
    let node = builder.handler(failing(&tally, |offset| offset == 7)).build().await.unwrap();
    tally.reaches(99).await;
    rig.produce_by_hand(TOPIC, 0, 100);
    tally.reaches(199).await;
    for _ in 0..100 {
        sleep(COMMIT).await;
        let in_ledger = rig.cluster.topic_id(LEDGER).is_some() && !rig.cluster.log(LEDGER, 0).is_empty();
        assert!(committed(&rig) <= 7 && !in_ledger, "the watermark passed a record that is nowhere");
    }
    assert_eq!(node.counts().dead_letters, 0);
    rig.cluster.clear_faults();
    commits(&rig, 200).await;
    let letters = letters(&rig).await;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.offset, letter.attempts, letter.reason), (7, 3, DeadReason::Attempts));
    assert_eq!((&*letter.error, &*letter.topic, letter.partition), ("card expired", TOPIC, 0));
    assert!(letter.first_failure_ms > 0 && letter.first_failure_ms <= letter.last_failure_ms);
    assert_eq!(letter.topic_uuid(), rig.cluster.topic_id(TOPIC));
    assert_eq!(&letter.record.as_ref().unwrap().value.as_ref().unwrap().0[..], b"7");
    assert_eq!((node.counts().dead_letters, node.counts().leases_lost, tally.repeats()), (1, 0, 0));
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_back_what_the_ledger_does_not_have() {
    let (rig, builder) = with_records(10, 2).await;
    let tally = Tally::default();
    rig.cluster.inject(Rule::new(ApiKey::Produce, Fault::Hang));
    let handler = failing(&tally, |offset| offset == 7);
    let first = builder.drain_timeout(Duration::from_secs(3)).handler(handler).build().await.unwrap();
    tally.reaches(9).await;
    sleep(Duration::from_secs(2)).await;
    first.drain().await.unwrap();
    assert_eq!(committed(&rig), 7);
    rig.cluster.clear_faults();
    let second = node(&rig).handler(failing(&tally, |offset| offset == 7)).build().await.unwrap();
    commits(&rig, 10).await;
    assert_eq!(letters(&rig).await.len(), 1);
    second.drain().await.unwrap();
    assert_eq!(tally.repeats(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_its_memory_loses_no_dead_letter() {
    let (rig, builder) = with_records(100, 3).await;
    let (tally, store) = (Tally::default(), Arc::new(MemoryStore::new()));
    let handler = failing(&tally, |offset| offset % 10 == 7);
    let node = builder.store(store.clone()).lease(Duration::from_secs(3)).handler(handler);
    let node = node.build().await.unwrap();
    commits(&rig, 100).await;
    store.wipe();
    rig.produce_by_hand(TOPIC, 0, 100);
    commits(&rig, 200).await;
    assert_eq!(letters(&rig).await.len(), 20);
    assert_eq!((tally.distinct(), tally.repeats(), node.counts().dead_letters), (180, 0, 20));
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_requeued_record_is_handled_and_its_dead_letter_is_gone() {
    let (rig, builder) = with_records(10, 4).await;
    let tally = Tally::default();
    let builder = builder.ledger_payload_bytes(0);
    let node = builder.handler(failing(&tally, |offset| offset == 3)).build().await.unwrap();
    commits(&rig, 10).await;
    let client = rig.client().await;
    let letter = letters_of(&client).await.remove(0);
    assert!(letter.record.is_none(), "by reference only");
    let ledger = Ledger::open(&client, GROUP);
    let ack = ledger.requeue(&letter, None).await.unwrap();
    assert_eq!((ack.partition, ack.offset), (0, 10));
    tally.reaches(10).await;
    assert!(letters_of(&client).await.is_empty());
    let requeued = rig.cluster.log(TOPIC, 0).pop().unwrap();
    assert_eq!(requeued.value.as_deref(), Some(&b"3"[..]));
    let header = |name: &str| {
        let found = requeued.headers.iter().find(|(key, _)| key == name.as_bytes());
        found.and_then(|(_, value)| value.clone()).unwrap()
    };
    assert_eq!(&header("logmill-attempt")[..], b"0");
    assert_eq!(&header("logmill-requeued-from")[..], b"orders/0@3");

    rig.cluster.delete_records(TOPIC, 0, 5);
    ledger.append(&letter.clone().entry().unwrap()).await.unwrap();
    let gone = ledger.requeue(&letter, None).await.unwrap_err();
    assert!(gone.to_string().contains("deleted"), "{gone}");
    assert_eq!(letters_of(&client).await.len(), 1, "it is kept");
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_dead_at_once() {
    let (rig, builder) = with_records(3, 5).await;
    rig.cluster.produce(TOPIC, 0, ["{not json"]);
    let handler = |Json(number): Json<i64>| async move {
        match number {
            1 => Outcome::DeadLetter("zero amount".into()),
            _ => Outcome::Ack,
        }
    };
    let node = builder.retry(Retry::default()).handler(handler).build().await.unwrap();
    letters_are(&node, 2).await;
    let letters = letters(&rig).await;
    let told: Vec<_> = letters.iter().map(|it| (it.offset, it.reason, it.attempts)).collect();
    assert!(
        told.contains(&(1, DeadReason::Handler, 1)) && told.contains(&(3, DeadReason::Decode, 1)),
        "{told:?}"
    );
    assert!(letters.iter().any(|letter| letter.error.starts_with("decode: ")), "{letters:?}");
    assert_eq!(node.counts().retried, 0);
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_past_its_time_is_cancelled_and_panics_count_too() {
    let (rig, builder) = with_records(3, 6).await;
    let handler = |record: Received| async move {
        match record.offset() {
            0 => sleep(Duration::from_secs(3600)).await,
            1 => std::panic::resume_unwind(Box::new("on purpose")),
            _ => {}
        }
    };
    let node = builder.handler_timeout(Duration::from_secs(2)).handler(handler).build().await.unwrap();
    commits(&rig, 3).await;
    let letters = letters(&rig).await;
    let told: Vec<_> = letters.iter().map(|it| (it.offset, it.reason, it.attempts)).collect();
    assert!(
        told.contains(&(0, DeadReason::Timeout, 3)) && told.contains(&(1, DeadReason::Attempts, 3)),
        "{told:?}"
    );
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_pull_form_gives_up_and_a_dead_letter_topic_has_the_whole_record() {
    let (rig, builder) = with_records(2, 7).await;
    rig.cluster.create_topic("orders.dlq", 1);
    let node = builder.dead_letter_topic("orders.dlq").build().await.unwrap();
    for _ in 0..2 {
        let delivery: Delivery = node.recv().await.unwrap().unwrap();
        match delivery.offset() {
            1 => delivery.dead("too late"),
            _ => delivery.ack(),
        }
    }
    commits(&rig, 2).await;
    assert_eq!(letters(&rig).await.len(), 1);
    let copies = rig.cluster.log("orders.dlq", 0);
    assert_eq!((copies.len(), copies[0].value.as_deref()), (1, Some(&b"1"[..])));
    let header = |name: &str| {
        let found = copies[0].headers.iter().find(|(key, _)| key == name.as_bytes());
        found.and_then(|(_, value)| value.clone()).map(|value| value.to_vec())
    };
    assert_eq!(header("kafka_dlt-original-topic"), Some(b"orders".to_vec()));
    assert_eq!(header("kafka_dlt-original-partition"), Some(vec![0; 4]));
    assert_eq!(header("kafka_dlt-original-offset"), Some(vec![0, 0, 0, 0, 0, 0, 0, 1]));
    assert_eq!(header("kafka_dlt-exception-message"), Some(b"too late".to_vec()));
    assert_eq!(header("__connect.errors.offset"), Some(b"1".to_vec()));
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_old_is_given_up_on_when_it_fails() {
    let (rig, builder) = with_records(2, 8).await;
    let tally = Tally::default();
    let old = Retry::exponential(COMMIT, COMMIT).max_age(Duration::from_secs(60));
    let node = builder.retry(old).handler(failing(&tally, |offset| offset == 0)).build().await.unwrap();
    commits(&rig, 2).await;
    assert_eq!(letters(&rig).await[0].attempts, 1);
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_that_kills_its_nodes_is_found_and_given_up_on_and_its_neighbours_are_not() {
    let (rig, _) = with_records(200, 9).await;
    let (tally, store) = (Tally::default(), Arc::new(MemoryStore::new()));
    let dying = Arc::new(Notify::new());
    let start = |number: u32| {
        let (tally, dying) = (tally.clone(), dying.clone());
        let handler = move |record: Received| {
            let (tally, dying) = (tally.clone(), dying.clone());
            async move {
                if record.offset() == 77 {
                    dying.notify_one();
                    std::future::pending::<()>().await;
                }
                // Slower than the other dies: whoever is in its company looks as guilty.
                sleep(Duration::from_secs(2)).await;
                tally.count(&record);
            }
        };
        let builder = node(&rig).name(format!("node-{number}")).store(store.clone());
        let builder = builder.lease(Duration::from_secs(3)).session_timeout(Duration::from_secs(6));
        let retry = retry().max_attempts(2);
        builder.unit_records(50).concurrency(500).retry(retry).max_unit_attempts(3).handler(handler).build()
    };
    for deaths in 0.. {
        assert!(deaths < 20, "one record takes the fleet down");
        let node = start(deaths).await.unwrap();
        tokio::select! {
            biased;
            () = dying.notified() => node.kill(),
            () = commits(&rig, 200) => {
                node.drain().await.unwrap();
                break;
            }
        }
    }
    let letters = letters(&rig).await;
    let told: Vec<_> = letters.iter().map(|letter| (letter.offset, letter.reason)).collect();
    assert_eq!(told, [(77, DeadReason::Killed)]);
    assert_eq!(tally.distinct(), 199);
}
