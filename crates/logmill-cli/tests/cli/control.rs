//! Pausing, resuming and resetting groups, while they are at work and while they are not.

use std::process::{Command, Stdio};

use logmill_testkit::launch::{Software, skipped};

use super::harness::{Broker, Running, logmill, logmill_with, run};

const G: &str = "foresters";

fn produce(b: &str, lines: &str) {
    logmill_with(&["produce", "-b", b, "-t", "trees"], lines.as_bytes()).ok();
}

fn node(b: &str) -> Running {
    let words = ["consume", "-b", b, "-g", G, "-t", "trees", "-o", "beginning", "-f", "%s\\n", "-q"];
    Running::start(&[&words[..], &["--commit-interval", "100ms"]].concat())
}

/// The committed watermark.
fn watermark(b: &str) -> i64 {
    let got = logmill(&["offsets", "get", "-b", b, "-g", G, "-t", "trees", "--output", "ndjson"]).ok();
    let row: serde_json::Value = serde_json::from_str(got.trim_end()).unwrap();
    row["watermark"].as_i64().unwrap()
}

#[test]
fn a_paused_group_rests_until_it_is_resumed() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    produce(b, "oak\n");
    let mut node = node(b);
    assert_eq!(node.line().as_deref(), Some("oak"));
    let plan = logmill(&["group", "pause", "-b", b, G, "--dry-run"]).ok();
    assert_eq!(plan, "would pause group foresters\n");
    assert_eq!(logmill(&["group", "pause", "-b", b, "-g", G]).ok(), "paused group foresters\n");
    assert_eq!(logmill(&["group", "pause", "-b", b, G]).ok(), "group foresters was paused already\n");
    produce(b, "elm\n");
    // One that comes later rests too.
    let exits = ["consume", "-b", b, "-g", G, "-t", "trees", "-q", "-e"];
    let second = Running::start(&exits);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(watermark(b), 1);
    let described = logmill(&["group", "describe", "-b", b, G]);
    assert!(described.stderr.contains("the group is paused by"), "{described:?}");
    assert!(described.stdout.trim_end().ends_with("yes"), "{described:?}");
    let part = ["group", "pause", "-b", b, G, "-t", "trees", "-p", "0", "--reason", "sick"];
    assert_eq!(logmill(&part).ok(), "paused trees/0 of group foresters\n");
    let resumed = logmill(&["group", "resume", "-b", b, "-g", G]);
    assert!(resumed.stderr.contains("trees/0 is still paused: logmill group resume"), "{resumed:?}");
    logmill(&["group", "resume", "-b", b, G, "-t", "trees", "-p", "0"]).ok();
    drop(second);
    while watermark(b) < 2 {}
    assert_eq!(logmill(&["group", "resume", "-b", b, "-g", G]).ok(), "group foresters was not paused\n");
}

#[test]
fn a_group_at_work_is_reset_and_one_that_rests_too() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    produce(b, "oak\nelm\nash\n");
    let mut running = node(b);
    for tree in ["oak", "elm", "ash"] {
        assert_eq!(running.line().as_deref(), Some(tree));
    }
    while watermark(b) < 3 {}
    let reset = ["offsets", "reset", "-b", b, "-g", G, "-t", "trees"];
    let planned = logmill(&[&reset[..], &["--to", "earliest"]].concat());
    assert_eq!(planned.stdout, "TOPIC  PART  CURRENT  NEW  CHANGE\ntrees     0        3    0      -3\n");
    assert!(planned.stderr.contains("nothing done: add --execute") && watermark(b) == 3, "{planned:?}");
    logmill(&[&reset[..], &["--to", "1", "--execute"]].concat()).ok();
    for tree in ["elm", "ash"] {
        assert_eq!(running.line().as_deref(), Some(tree));
    }
    let (rest, code) = running.signal("TERM");
    assert_eq!((rest, code, watermark(b)), (Vec::new(), Some(0), 3));
    // Nobody is at work: Kafka is told at once.
    logmill(&[&reset[..], &["--to", "-1", "--execute"]].concat()).ok();
    assert_eq!(watermark(b), 2);
    let exported = logmill(&["offsets", "export", "-b", b, "-g", G]).ok();
    logmill(&[&reset[..], &["--to", "earliest", "--execute"]].concat()).ok();
    assert_eq!(watermark(b), 0);
    let import = ["offsets", "import", "-b", b, "-g", G];
    logmill_with(&import, exported.as_bytes()).ok();
    logmill_with(&[&import[..], &["-"]].concat(), exported.as_bytes()).ok();
    assert_eq!(watermark(b), 0, "a plan changes nothing");
    logmill_with(&[&import[..], &["--execute"]].concat(), exported.as_bytes()).ok();
    assert_eq!(watermark(b), 2);
    let left = ["consume", "-b", b, "-g", G, "-t", "trees", "-q", "-e", "-f", "%s\\n"];
    assert_eq!(logmill(&left).ok(), "ash\n");
}

#[test]
fn bad_input_changes_nothing_and_says_what_to_do() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    let reset = ["offsets", "reset", "-b", b, "-g", G];
    logmill(&[&reset[..], &["--to", "earliest"]].concat()).fails(3, &["has committed nothing", "-t"]);
    logmill(&[&reset[..], &["-t", "trees", "--to", "soon"]].concat())
        .fails(2, &["earliest", "2026-11-22T10:00Z"]);
    logmill(&[&reset[..], &["-t", "bushes", "--to", "earliest"]].concat()).fails(3, &["bushes"]);
    logmill(&[&reset[..], &["-t", "trees", "-p", "7", "--to", "0"]].concat()).fails(3, &["trees/7"]);
    let import = ["offsets", "import", "-b", b, "-g", G, "--execute"];
    logmill_with(&import, b"{").fails(2, &["stdin is no `logmill offsets export`"]);
    let twice = r#"{"version":1,"group":"g","offsets":[{"topic":"trees","partition":0,"offset":0},{"topic":"trees","partition":0,"offset":0}]}"#;
    logmill_with(&import, twice.as_bytes()).fails(2, &["trees/0 is there twice", "nothing done"]);
    logmill(&["offsets", "get", "-b", b, "-g", G]).fails(3, &["has committed nothing"]);
    logmill(&["group", "delete", "-b", b, G, "--execute"]).fails(3, &["there is no group"]);
}

#[test]
fn a_group_without_members_is_deleted_with_its_ledger() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    produce(b, "oak\n");
    let mut running = node(b);
    assert_eq!(running.line().as_deref(), Some("oak"));
    logmill(&["group", "pause", "-b", b, G]).ok();
    let delete = ["group", "delete", "-b", b, G];
    logmill(&[&delete[..], &["--execute"]].concat()).fails(1, &["stop its nodes first"]);
    running.signal("TERM");
    let planned = logmill(&delete);
    assert!(
        planned.stdout.contains("would delete its ledger, topic logmill.ledger.foresters"),
        "{planned:?}"
    );
    assert!(planned.stderr.contains("add --execute"), "{planned:?}");
    logmill(&[&delete[..], &["--execute"]].concat()).ok();
    assert_eq!(logmill(&["group", "list", "-b", b]).ok(), "GROUP  STATE  PROTOCOL\n");
    let mut again = node(b);
    assert_eq!(again.line().as_deref(), Some("oak"), "it begins anew, and is not paused");
}

#[test]
fn an_export_tells_what_is_settled_above_the_watermark_and_comes_back_from_a_file() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    produce(b, "oak\nelm\nash\n");
    // Elm is to be tried again in an hour.
    let handler = r#"s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":1\),.*/\1,"status":"retry"}/;t
        s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":[0-9]*\),.*/\1,"status":"ack"}/"#;
    let words = ["-g", G, "-t", "trees", "-o", "beginning", "--backoff", "1h", "-c", "3", "-q"];
    logmill(&[&["work", "-b", b][..], &words, &["--", "sed", "-u", handler]].concat()).ok();
    let exported = logmill(&["offsets", "export", "-b", b, "-g", G]).ok();
    let export: serde_json::Value = serde_json::from_str(&exported).unwrap();
    let at = serde_json::json!({
        "topic": "trees", "partition": 0, "offset": 1, "lanes": [{"watermark": 1, "done": [[2, 3]]}]
    });
    assert_eq!(export["offsets"], serde_json::json!([at]));
    logmill(&["offsets", "reset", "-b", b, "-g", G, "--to", "latest", "--execute"]).ok();
    assert_eq!(watermark(b), 3);
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/offsets.json");
    std::fs::write(file, exported).unwrap();
    let import = ["offsets", "import", "-b", b, "-g", G, file, "--execute"];
    assert!(logmill(&import).ok().contains("trees     0        3    1      -2"));
    assert_eq!(watermark(b), 1);
    logmill(&["offsets", "import", "-b", b, "-g", G, "no/such/file"]).fails(1, &["no/such/file"]);
}

#[test]
fn what_no_organiser_does_in_time_is_said_and_no_longer_asked_for() {
    let broker = Broker::start(&["-t", "trees:1", "-t", "shrubs:1"]);
    let b = &*broker.servers;
    produce(b, "oak\n");
    logmill_with(&["produce", "-b", b, "-t", "shrubs"], b"box\n").ok();
    let both =
        ["consume", "-b", b, "-g", G, "-t", "trees", "-t", "shrubs", "-o", "beginning", "-c", "2", "-q"];
    logmill(&both).ok();
    // The node that is at work now has the one topic only.
    let mut running = node(b);
    produce(b, "elm\n");
    assert_eq!(running.line().as_deref(), Some("elm"));
    while watermark(b) < 2 {}
    let reset = ["offsets", "reset", "-b", b, "-g", G, "--to", "earliest", "--execute", "--timeout"];
    let partly = logmill(&[&reset[..], &["3s"]].concat());
    partly.fails(6, &["shrubs/0: its organiser did not do it in time", "1 of 2 partitions are not done"]);
    for tree in ["oak", "elm"] {
        assert_eq!(running.line().as_deref(), Some(tree));
    }
    while watermark(b) < 2 {}
    running.tell("STOP");
    let trees = [&reset[..], &["1s", "-t", "trees"]].concat();
    logmill(&trees).fails(5, &["trees/0: its organiser did not do it in time", "nothing done"]);
    running.tell("CONT");
    // Nothing is left that it would do when it wakes.
    produce(b, "ash\n");
    assert_eq!(running.line().as_deref(), Some("ash"));
    assert_eq!(running.signal("TERM"), (Vec::new(), Some(0)));
    assert_eq!(watermark(b), 3);
}

#[test]
fn another_clients_group_is_reset_at_rest_and_refused_at_work() {
    if skipped(&[Software::Kcat]) {
        return;
    }
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    produce(b, "oak\nelm\n");
    let words = ["-b", b, "-G", G, "-q", "-u", "-X", "auto.offset.reset=earliest"];
    let kcat = |more: &[&str]| {
        let mut kcat = Command::new("kcat");
        kcat.args([&words[..], more].concat());
        kcat
    };
    assert_eq!(run(&mut kcat(&["-e", "trees"]), b"").ok(), "oak\nelm\n");
    let reset = ["offsets", "reset", "-b", b, "-g", G, "--to", "1", "--execute"];
    logmill(&reset).ok();
    let mut at_work = kcat(&["trees"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let stdout = at_work.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    assert_eq!(line, "elm\n", "it goes on where the reset said");
    logmill(&reset).fails(1, &["its members are another client's", "stop them first"]);
    at_work.kill().unwrap();
    at_work.wait().unwrap();
}
