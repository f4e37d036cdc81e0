//! `logmill dead`: what a group has given up on, as scripts and people see it.

use logmill::client::Client;
use logmill::ledger::{DeadLetter, DeadReason, DeadRecord, Ledger, Payload};
use serde_json::Value;

use super::harness::{Broker, Run, logmill};

fn letter(offset: i64, error: &str, value: &str) -> DeadLetter {
    let payload = |text: &str| Some(Payload::from(text.as_bytes()));
    DeadLetter {
        topic: "orders".into(),
        topic_id: "0".repeat(22),
        partition: 1,
        offset,
        reason: DeadReason::Attempts,
        error: error.into(),
        attempts: 5,
        first_failure_ms: 1_763_800_000_000,
        last_failure_ms: 1_763_800_060_000,
        node: "api-3".into(),
        record: Some(DeadRecord {
            timestamp: 1_763_800_000_000,
            key: payload("k"),
            value: payload(value),
            headers: vec![("app".as_bytes().into(), payload("web"))],
        }),
    }
}

/// A broker with three dead letters of the group billing.
fn broker() -> Broker {
    let broker = Broker::start(&["-t", "orders:2"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::builder().brokers(&*broker.servers).connect().await.unwrap();
        let ledger = Ledger::open(&client, "billing");
        for letter in [
            letter(3, "422 card_expired", "three"),
            letter(4, "decode: no field `cents`", "four"),
            letter(5, "422 card_expired", "five"),
        ] {
            ledger.append(&letter.entry().unwrap()).await.unwrap();
        }
    });
    broker
}

fn dead(broker: &Broker, verb: &str, words: &[&str]) -> Run {
    logmill(&[&["dead", verb, "-b", &broker.servers, "-g", "billing"], words].concat())
}

fn listed(broker: &Broker, words: &[&str]) -> Vec<Value> {
    let text = dead(broker, "list", &[words, &["--json"]].concat()).ok();
    serde_json::from_str(&text).unwrap()
}

fn consumed(broker: &Broker, format: &str) -> String {
    logmill(&["consume", "-b", &broker.servers, "-t", "orders", "-o", "beginning", "-e", "-f", format]).ok()
}

#[test]
fn dead_letters_are_listed_for_scripts_and_for_people() {
    let broker = broker();
    let all = listed(&broker, &["--redis", "redis://nowhere:1"]);
    assert_eq!(all.len(), 3);
    let first = &all[0];
    assert_eq!(
        (&first["topic"], &first["partition"], &first["offset"]),
        (&"orders".into(), &1.into(), &3.into())
    );
    assert_eq!((&first["attempts"], &first["reason"]), (&5.into(), &"attempts".into()));
    assert_eq!(
        (&first["error"], &first["time"]),
        (&"422 card_expired".into(), &1_763_800_060_000_i64.into())
    );
    assert_eq!(listed(&broker, &["--error", "card"]).len(), 2);
    assert_eq!(listed(&broker, &["-t", "orders", "-p", "1", "-o", "4"]).len(), 1);
    assert_eq!(listed(&broker, &["orders/1@4"])[0]["offset"], 4);
    assert!(listed(&broker, &["--last", "1h"]).is_empty());
    let table = dead(&broker, "list", &[]).ok();
    assert!(
        table.starts_with("TOPIC   PART  OFFSET  ATTEMPTS  REASON") && table.lines().count() == 4,
        "{table}"
    );
    let groups = dead(&broker, "list", &["--group-by", "error"]).ok();
    let commonest = groups.lines().nth(1).unwrap();
    assert!(commonest.trim_start().starts_with('2') && commonest.ends_with("orders/1@3"), "{groups}");
}

#[test]
fn one_is_shown_with_its_record_and_all_are_exported() {
    let broker = broker();
    let shown = dead(&broker, "show", &["orders/1@4"]).ok();
    for part in ["decode: no field `cents`", "value     four", "header    app=web", "node api-3"] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    dead(&broker, "show", &["orders/1@9"]).fails(3, &["logmill dead list"]);
    dead(&broker, "show", &[]).fails(2, &["more than one"]);
    let exported = dead(&broker, "export", &[]).ok();
    let last: Value = serde_json::from_str(exported.lines().nth(2).unwrap()).unwrap();
    assert_eq!(last["record"]["value"], "five");
}

#[test]
fn a_group_without_a_ledger_has_none() {
    let broker = Broker::start(&[]);
    assert_eq!(dead(&broker, "list", &["--json"]).ok(), "[]\n");
    dead(&broker, "show", &["orders/0@1"]).fails(3, &[]);
    dead(&broker, "requeue", &["--all", "--execute"]).ok();
}

#[test]
fn nothing_is_requeued_or_discarded_that_was_not_asked_for() {
    let broker = broker();
    dead(&broker, "requeue", &["--execute"]).fails(2, &["--all"]);
    let told = dead(&broker, "requeue", &["--error", "card_expired"]);
    assert!(told.stderr.contains("nothing done: add --execute"), "{told:?}");
    assert!(told.ok().starts_with("would requeue 2 record(s) to orders"));
    assert!(dead(&broker, "discard", &["--all"]).ok().starts_with("would discard 3"));
    assert_eq!(listed(&broker, &[]).len(), 3);
    assert_eq!(consumed(&broker, "%s\n"), "");
}

#[test]
fn a_requeued_record_keeps_its_place_and_its_dead_letter_goes() {
    let broker = broker();
    let words = ["--error", "card_expired", "--rate", "1000/s", "--execute"];
    assert_eq!(dead(&broker, "requeue", &words).ok(), "requeued 2\n");
    assert_eq!(listed(&broker, &[]).len(), 1);
    let line = |from, value| {
        format!("1 k app=web,logmill-attempt=0,logmill-requeued-from=orders/1@{from} {value}\n")
    };
    assert_eq!(consumed(&broker, "%p %k %h %s\n"), line(3, "three") + &line(5, "five"));
    dead(&broker, "requeue", &["orders/1@4", "--value", "mended", "--execute"]).ok();
    let edited = consumed(&broker, "%h %s\n");
    let last = edited.lines().last().unwrap();
    assert!(last.contains("logmill-edited-by=") && last.ends_with(" mended"), "{edited}");
    assert!(listed(&broker, &[]).is_empty());
}

#[test]
fn a_record_that_is_gone_is_told_and_kept() {
    let broker = broker();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::builder().brokers(&*broker.servers).connect().await.unwrap();
        let by_reference = DeadLetter { record: None, topic: "gone".into(), ..letter(7, "too large", "") };
        Ledger::open(&client, "billing").append(&by_reference.entry().unwrap()).await.unwrap();
    });
    let words = ["-X", "default.api.timeout.ms=1000", "-X", "topic.metadata.propagation.max.ms=100"];
    let words = [&words[..], &["--all", "--execute"]].concat();
    dead(&broker, "requeue", &words).fails(6, &["gone/1@7 is kept", "1 failed"]);
    assert_eq!(listed(&broker, &[])[0]["offset"], 7);
    assert_eq!(dead(&broker, "discard", &["-t", "gone", "--execute"]).ok(), "discarded 1\n");
    assert!(listed(&broker, &[]).is_empty());
}
