//! The ledger on the embedded cluster: what was written stays, the newest word on a key counts, and a topic
//! that would forget is refused.

#![allow(clippy::unwrap_used)]

mod rig;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use logmill::Error;
use logmill::client::Client;
use logmill::client::admin::NewTopic;
use logmill::ledger::{
    DEAD, DeadLetter, DeadReason, DeadRecord, Entry, EntryKey, Follow, Followed, Ledger, Payload,
};
use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Partition;
use logmill_protocol::messages::ApiKey;
use logmill_testkit::{Fault, Rule};
use rig::Rig;
use tokio::time::timeout;

fn letter(offset: i64) -> DeadLetter {
    let payload = |bytes: &[u8]| Some(Payload::from(bytes));
    DeadLetter {
        topic: "orders".into(),
        topic_id: "0".repeat(22),
        partition: 2,
        offset,
        reason: DeadReason::Attempts,
        error: "card expired".into(),
        attempts: 3,
        first_failure_ms: 1_790_000_000_000,
        last_failure_ms: 1_790_000_001_000,
        node: "node-1".into(),
        record: Some(DeadRecord {
            timestamp: 1_789_000_000_000,
            key: payload(b"42"),
            value: payload(b"\xff\x00"),
            headers: vec![("trace".as_bytes().into(), None), ("trace".as_bytes().into(), payload(b"x"))],
        }),
    }
}

async fn offsets(ledger: &Ledger) -> Vec<i64> {
    let all = ledger.read_all().await.unwrap();
    all.iter().map(|logged| DeadLetter::from_entry(&logged.key, &logged.value).unwrap().offset).collect()
}

async fn ledger() -> (Rig, Client, Ledger) {
    let rig = Rig::new(3, 11);
    let client = rig.client().await;
    let ledger = Ledger::open(&client, "billing");
    (rig, client, ledger)
}

#[tokio::test]
async fn the_topic_is_made_with_the_first_entry_and_the_newest_word_on_a_key_counts() {
    let (rig, client, ledger) = ledger().await;
    assert!(ledger.read_all().await.unwrap().is_empty(), "a ledger that does not exist is empty");
    assert!(rig.cluster.topic_id(ledger.topic()).is_none(), "reading makes no topic");
    for offset in [1, 2, 3, 1] {
        ledger.append(&letter(offset).entry().unwrap()).await.unwrap();
    }
    ledger.remove(&letter(2).key()).await.unwrap();
    assert_eq!(offsets(&ledger).await, [3, 1]);
    let settings = client.admin().topic_settings(ledger.topic()).await.unwrap();
    assert_eq!(settings["cleanup.policy"], "compact");
    let topic = client.topic(ledger.topic()).await.unwrap();
    assert_eq!((topic.partitions.len(), topic.partitions[0].replicas.len()), (2, 3));

    rig.cluster.compact(ledger.topic(), 0);
    let again = Ledger::open(&rig.client().await, "billing");
    assert_eq!(offsets(&again).await, [3, 1]);
    let first = &again.read_all().await.unwrap()[0];
    assert_eq!(first.key.as_str(), "dead/orders/2/3");
    assert_eq!(DeadLetter::from_entry(&first.key, &first.value).unwrap(), letter(3));
    let mut seen = 0;
    let visit = |_| {
        seen += 1;
        ControlFlow::Break(())
    };
    again.read(visit).await.unwrap();
    assert_eq!(seen, 1, "the visitor broke off");
}

#[tokio::test]
async fn keys_say_what_they_are_about() {
    let orders = Partition::new("orders", 3);
    let key = EntryKey::of_offset(DEAD, &orders, 42);
    assert_eq!(
        (key.kind(), key.topic(), key.partition(), key.offset()),
        (DEAD, Some("orders"), Some(orders.clone()), Some(42))
    );
    let key = EntryKey::of_partition("pause", &orders);
    assert_eq!((key.as_str(), key.offset()), ("pause/orders/3", None));
    assert_eq!(EntryKey::of_group("pause").topic(), None);
    let newer = br#"{"v":2,"topic":"orders"}"#;
    let told = Entry::read::<DeadLetter>(&key, newer).unwrap_err().to_string();
    assert!(told.contains("upgrade"), "{told}");
}

#[tokio::test]
async fn a_lost_answer_writes_nothing_twice_and_takes_nothing_back() {
    let (rig, _, ledger) = ledger().await;
    ledger.append(&letter(1).entry().unwrap()).await.unwrap();
    rig.cluster.inject(Rule::new(ApiKey::Produce, Fault::ApplyThenDisconnect).times(1));
    ledger.append(&letter(2).entry().unwrap()).await.unwrap();
    ledger.remove(&letter(2).key()).await.unwrap();
    assert_eq!(offsets(&ledger).await, [1]);
    assert_eq!(rig.cluster.log(ledger.topic(), 0).len(), 3);
}

#[tokio::test]
async fn a_topic_that_would_forget_is_refused_with_the_command_that_mends_it() {
    let (_rig, client, ledger) = ledger().await;
    client.admin().create_topic(NewTopic::new(ledger.topic(), 1)).await.unwrap();
    let refused = ledger.append(&letter(1).entry().unwrap()).await.unwrap_err();
    assert!(matches!(refused, Error::Ledger { .. }) && !refused.is_retriable());
    let (text, topic) = (refused.to_string(), ledger.topic());
    assert!(text.contains(&format!("--entity-name {topic} --add-config cleanup.policy=compact")), "{text}");
}

#[tokio::test]
async fn a_topic_that_may_not_be_made_is_told_with_the_command_that_makes_it() {
    let (rig, _, ledger) = ledger().await;
    let forbidden = Fault::Error(ErrorCode::TopicAuthorizationFailed);
    rig.cluster.inject(Rule::new(ApiKey::CreateTopics, forbidden));
    let text = ledger.append(&letter(1).entry().unwrap()).await.unwrap_err().to_string();
    assert!(text.contains("logmill topic create -b"), "{text}");
    assert!(
        text.contains(
            "-t logmill.ledger.billing --partitions 2 --replication 3 --config cleanup.policy=compact"
        ),
        "{text}"
    );
    rig.cluster.clear_faults();
    ledger.append(&letter(1).entry().unwrap()).await.unwrap();
}

async fn key(follow: &mut Follow) -> Option<(String, bool)> {
    match timeout(Duration::from_secs(60), follow.next()).await.expect("nothing comes") {
        Followed::Entry(logged) => Some((logged.key.to_string(), logged.value.is_some())),
        Followed::CaughtUp => None,
        Followed::Forbidden(problem) => panic!("{problem}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_gets_what_is_asked_and_then_what_comes_and_no_dead_letters() {
    let (_rig, _, ledger) = ledger().await;
    let pause = EntryKey::of_partition("pause", &Partition::new("orders", 2));
    let entry = Entry::new(pause.clone(), &BTreeMap::from([("by", "ann")])).unwrap();
    let mut early = ledger.follow();
    assert_eq!(key(&mut early).await, None, "there is nothing");
    ledger.append(&letter(1).entry().unwrap()).await.unwrap();
    ledger.append(&entry).await.unwrap();
    let mut late = ledger.follow();
    let first = Some(("pause/orders/2".to_owned(), true));
    assert_eq!(key(&mut early).await, first);
    assert_eq!(key(&mut late).await, first);
    assert_eq!(key(&mut late).await, None);
    ledger.remove(&pause).await.unwrap();
    for follow in [&mut early, &mut late] {
        assert_eq!(key(follow).await, Some(("pause/orders/2".to_owned(), false)));
    }
    assert_eq!(offsets(&ledger).await, [1]);
}
