//! What a node answers over HTTP, beside what happened to it.

#![allow(clippy::unwrap_used)]

mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use logmill::control::{Control, Scope};
use logmill::node::{Node, NodeBuilder, Outcome, Received, Retry};
use logmill::store::MemoryStore;
use rig::Rig;
use rig::cut::Way;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What is to come has come by then, also where others use the machine.
const SOON: Duration = Duration::from_secs(60);

async fn with_records(records: i64) -> Rig {
    let rig = Rig::new(1, 1);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, records).await;
    rig
}

fn node(rig: &Rig) -> NodeBuilder {
    let retry = Retry::exponential(Duration::from_millis(10), Duration::from_millis(10)).max_attempts(3);
    let builder = rig.node("billing").topics(["orders"]).retry(retry).seed(7).admin_http("127.0.0.1:0");
    builder.commit_interval(Duration::from_millis(100)).lease(Duration::from_secs(3))
}

/// The status, the head and the body.
async fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = timeout(SOON, asked).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

async fn ready(node: &Node) -> (u16, Value) {
    let (status, head, body) = ask(node.admin_address().unwrap(), "GET /readyz").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

/// Asks until it is as wanted, and gives what it was then.
async fn until(node: &Node, is: impl Fn(u16, &Value) -> bool) -> Value {
    let looked = async {
        loop {
            let (status, said) = ready(node).await;
            if is(status, &said) {
                return said;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    match timeout(SOON, looked).await {
        Ok(said) => said,
        Err(_) => panic!("it does not come to it: {:?}", ready(node).await),
    }
}

/// The value of the line that begins so.
fn value(metrics: &str, line: &str) -> f64 {
    let found = metrics.lines().find_map(|it| it.strip_prefix(line));
    found.unwrap_or_else(|| panic!("{line} is not in:\n{metrics}")).trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_scraped_and_say_what_happened() {
    let rig = with_records(100).await;
    let handler = |record: Received| {
        std::future::ready(match (record.offset(), record.attempt()) {
            (20 | 21, 1) => Outcome::Retry { reason: "not yet".into() },
            (50, _) => Outcome::DeadLetter("zero amount".into()),
            _ => Outcome::Ack,
        })
    };
    let node = node(&rig).name("scraped").handler(handler).build().await.unwrap();
    let address = node.admin_address().unwrap();
    let through = async {
        while rig.cluster.committed("billing", "orders", 0).is_none_or(|committed| committed.offset < 100) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, through).await.unwrap();
    let (status, head, metrics) = ask(address, "GET /metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let of = |name: &str, more: &str| {
        value(&metrics, &format!("{name}{{group=\"billing\",topic=\"orders\"{more}}}"))
    };
    assert_eq!(of("logmill_retries_total", ",error_type=\"handler\""), 2.0);
    assert_eq!(of("logmill_dead_letters_total", ",reason=\"handler\""), 1.0);
    assert_eq!(of("logmill_consumer_lag", ""), 0.0);
    let units: f64 = ["ok", "retry", "dead"]
        .map(|outcome| of("logmill_unit_duration_seconds_count", &format!(",outcome=\"{outcome}\"")))
        .iter()
        .sum();
    assert_eq!(units, node.counts().units as f64);
    assert_eq!(of("logmill_unit_duration_seconds_bucket", ",outcome=\"dead\",le=\"300\""), 1.0);
    assert_eq!(value(&metrics, "logmill_node_slots{node=\"scraped\",state=\"idle\"}"), 64.0);
    assert_eq!(value(&metrics, "logmill_organiser_partitions{node=\"scraped\"}"), 1.0);
    assert!(metrics.contains("# HELP logmill_retries_total Tries of records that failed"), "{metrics}");
    assert!(!metrics.contains("logmill_partition_offset{"), "by topic unless asked");
    node.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ready_while_brokers_answer_and_it_takes_units() {
    let rig = with_records(1).await;
    let node =
        node(&rig).name("watched").handler(|_: Received| std::future::ready(())).build().await.unwrap();
    let address = node.admin_address().unwrap();
    let said = until(&node, |status, said| status == 200 && said["organises"] == 1).await;
    let wanted = json!({ "ready": true, "node": "watched", "group": "billing", "organises": 1, "paused": false,
                         "reasons": [] });
    assert_eq!(said, wanted);
    let client = rig.client().await;
    Control::open(&client, "billing").pause(&Scope::Group, "", "ann").await.unwrap();
    until(&node, |status, said| status == 200 && said["paused"] == true).await;
    rig.cluster.crash(1);
    let said = until(&node, |status, _| status == 503).await;
    assert!(said["reasons"][0].as_str().unwrap().starts_with("kafka: "), "{said}");
    assert_eq!(ask(address, "GET /livez").await.0, 200, "to end it would mend nothing");
    rig.cluster.restart(1);
    until(&node, |status, _| status == 200).await;
    node.quiet();
    let (status, said) = ready(&node).await;
    assert_eq!((status, &said["reasons"]), (503, &json!(["draining: it takes no more units"])));
    node.drain().await.unwrap();
    // Nobody listens once it is gone.
    let gone = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(SOON, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_a_reason() {
    let rig = with_records(1).await;
    let way = Way::to(&Arc::new(MemoryStore::new()));
    let node =
        node(&rig).store(way.clone()).handler(|_: Received| std::future::ready(())).build().await.unwrap();
    until(&node, |status, _| status == 200).await;
    way.cut();
    let said = until(&node, |status, _| status == 503).await;
    assert!(said["reasons"][0].as_str().unwrap().starts_with("store: no answer from the store"), "{said}");
    way.mend();
    until(&node, |status, _| status == 200).await;
    node.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_only_tells_and_those_who_say_nothing_keep_nobody_out() {
    let rig = with_records(1).await;
    let node = node(&rig).handler(|_: Received| std::future::ready(())).build().await.unwrap();
    let address = node.admin_address().unwrap();
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let (status, _, body) = ask(address, "GET /").await;
    assert!(status == 404 && body.contains("/readyz"), "{status} {body}");
    let (status, head, _) = ask(address, "POST /metrics").await;
    assert!(status == 405 && head.contains("allow: get, head"), "{head}");
    let (status, _, body) = ask(address, "HEAD /livez").await;
    assert_eq!((status, &*body), (200, ""));
    let mut long = silent.pop().unwrap();
    long.write_all(b"GET /livez HTTP/1.1\r\nX: ").await.unwrap();
    // It is cut off, however much is still to come: soon after what the system keeps for both ends.
    let mut sent = 0;
    let flood = async {
        while long.write_all(&[b'x'; 4_096]).await.is_ok() {
            sent += 4_096;
        }
    };
    timeout(SOON, flood).await.unwrap();
    assert!(sent < 64 << 20, "{sent}");
    assert_eq!(ask(address, "GET /livez").await.0, 200);
    node.drain().await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_is_named() {
    let rig = with_records(1).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for wrong in [&*address, "nonsense"] {
        let error = node(&rig).admin_http(wrong).build().await.unwrap_err().to_string();
        assert!(error.contains("admin_http") && error.contains(wrong), "{error}");
    }
}
