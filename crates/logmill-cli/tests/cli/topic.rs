//! `logmill topic` and `logmill broker`.

use super::harness::{Broker, logmill};

#[test]
fn a_topic_is_made_shown_and_deleted() {
    let broker = Broker::start(&["-n", "2"]);
    let b = &*broker.servers;
    logmill(&["topic", "create", "-b", b, "-t", "orders", "--partitions", "4"]).ok();
    let listed = logmill(&["topic", "list", "-b", b]).ok();
    assert_eq!(listed, "TOPIC   PARTITIONS  REPLICAS\norders           4         2\n");
    let described = logmill(&["topic", "describe", "-b", b, "-t", "orders"]).ok();
    assert_eq!(described.lines().count(), 1 + 4, "{described}");
    logmill(&["topic", "create", "-b", b, "-t", "orders"])
        .fails(1, &["TOPIC_ALREADY_EXISTS", "another name"]);
    logmill(&["topic", "create", "-b", b, "-t", "orders", "--if-not-exists"]).ok();
}

#[test]
fn rows_are_json_for_scripts() {
    let broker = Broker::start(&["-t", "orders:2"]);
    let words = ["topic", "offsets", "-b", &broker.servers, "-t", "orders", "--output"];
    let lines = logmill(&[&words[..], &["ndjson"]].concat()).ok();
    let first = r#"{"topic":"orders","partition":0,"start":0,"end":0,"stable_end":0,"at":null}"#;
    assert_eq!(lines.lines().next(), Some(first));
    let document = logmill(&[&words[..], &["json"]].concat()).ok();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["version"], 1);
    assert_eq!(document["items"][1]["partition"], 1);
}

#[test]
fn the_brokers_may_come_from_the_environment() {
    let broker = Broker::start(&["-t", "orders"]);
    let mut command = super::harness::program(&["topic", "list"]);
    command.env("KAFKA_BROKERS", &broker.servers);
    assert!(super::harness::run(&mut command, b"").ok().contains("orders"));
}

#[test]
fn a_broker_ends_when_asked() {
    assert_eq!(Broker::start(&[]).signal("TERM"), Some(0));
    assert_eq!(Broker::start(&[]).signal("INT"), Some(130));
}

#[test]
fn a_taken_port_is_named() {
    let broker = Broker::start(&[]);
    let port = broker.servers.rsplit(':').next().unwrap();
    logmill(&["broker", "--port", port]).fails(1, &["cannot listen", port, "--port"]);
}

#[test]
fn help_tells_the_exit_codes() {
    let help = logmill(&["--help"]).ok();
    assert!(help.contains("130  interrupted"), "{help}");
    logmill(&["topic", "create"]).fails(2, &["--topic"]);
    assert!(logmill(&["completion", "bash"]).ok().contains("logmill"));
}
