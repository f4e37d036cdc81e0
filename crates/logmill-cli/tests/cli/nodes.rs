//! `logmill node`: which nodes a group has, and what is asked of them.

use super::harness::{Broker, Running, logmill, logmill_with};

const G: &str = "foresters";

fn produce(b: &str, lines: &str) {
    logmill_with(&["produce", "-b", b, "-t", "trees"], lines.as_bytes()).ok();
}

fn node(b: &str) -> Running {
    let words = ["consume", "-b", b, "-g", G, "-t", "trees", "-o", "beginning", "-f", "%s\\n", "-q"];
    Running::start(&[&words[..], &["--commit-interval", "100ms"]].concat())
}

/// The only node.
fn listed(b: &str) -> serde_json::Value {
    let got = logmill(&["node", "list", "-b", b, "-g", G, "--output", "ndjson"]).ok();
    assert_eq!(got.lines().count(), 1, "{got}");
    serde_json::from_str(&got).unwrap()
}

#[test]
fn a_node_is_listed_rests_goes_on_and_drains() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    produce(b, "oak\n");
    let mut running = node(b);
    assert_eq!(running.line().as_deref(), Some("oak"));
    let row = listed(b);
    let name = row["node"].as_str().unwrap();
    assert_eq!(row["pid"], running.id());
    assert_eq!((&row["organises"], &row["private_store"]), (&serde_json::json!(["trees/0"]), &true.into()));
    assert_eq!((&row["asked"], &row["units"]), (&().into(), &().into()));

    let quiet = ["node", "quiet", "-b", b, "-g", G, name];
    let planned = logmill(&quiet);
    assert_eq!(planned.stdout, format!("would have {name} take no more units\n"));
    assert!(planned.stderr.contains("nobody handles its 1 partition(s) while it is quiet"), "{planned:?}");
    assert!(planned.stderr.contains("nothing done: add --execute"), "{planned:?}");
    assert_eq!(listed(b)["asked"], serde_json::Value::Null);
    let done = logmill(&[&quiet[..], &["--execute"]].concat()).ok();
    assert!(done.ends_with(&format!("{name} is asked to be quiet\n")), "{done}");
    assert_eq!(listed(b)["asked"], "quiet");
    // The ledger is new: the node looks for it each second.
    std::thread::sleep(std::time::Duration::from_secs(2));
    produce(b, "elm\n");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let lag = logmill(&["lag", "-b", b, G, "--output", "ndjson"]).ok();
    assert!(lag.contains(r#""lag":1"#), "{lag}");
    let resumed = logmill(&["node", "resume", "-b", b, "-g", G, "--all", "--execute"]).ok();
    assert!(resumed.ends_with(&format!("{name} takes units again\n")), "{resumed}");
    assert_eq!(running.line().as_deref(), Some("elm"));

    let drain = ["node", "drain", "-b", b, "-g", G, name];
    assert_eq!(logmill(&drain).ok(), format!("would drain {name}\n"));
    let drained = logmill(&[&drain[..], &["--execute"]].concat()).ok();
    assert_eq!(drained, format!("would drain {name}\ndrained {name}\n"));
    assert_eq!((running.line(), running.wait()), (None, Some(0)), "its process has ended");
    assert_eq!(logmill(&["node", "list", "-b", b, G]).ok().lines().count(), 1, "only the head");
}

#[test]
fn a_program_is_drained_with_its_node() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    produce(b, "oak\nelm\n");
    let ack = r#"s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":[0-9]*\),.*/\1,"status":"ack"}/"#;
    let mut work = Running::start(&["work", "-b", b, "-g", G, "-t", "trees", "-q", "--", "sed", "-u", ack]);
    while logmill(&["node", "list", "-b", b, G]).ok().lines().count() < 2 {}
    logmill(&["node", "drain", "-b", b, "-g", G, "--all", "--execute"]).ok();
    assert_eq!((work.line(), work.wait()), (None, Some(0)));
}

#[test]
fn a_node_that_is_not_there_is_told_as_such() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    let quiet = ["node", "quiet", "-b", b, "-g", G];
    logmill(&[&quiet[..], &["oak"]].concat()).fails(3, &["no node \"oak\"", "--redis"]);
    logmill(&[&quiet[..], &["--all"]].concat()).fails(3, &["has no nodes"]);
    logmill(&quiet).fails(2, &["NODE"]);
    let mut running = node(b);
    produce(b, "oak\n");
    running.line();
    logmill(&[&quiet[..], &["oak"]].concat()).fails(3, &["there is no node \"oak\"", "logmill node list"]);
}
