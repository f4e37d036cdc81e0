//! `logmill lag` and `logmill group`: how far groups are.

use super::harness::{Broker, Running, logmill, logmill_with};

/// A broker on which group `foresters` has handled four of topic `trees`' records, and two came after.
fn behind() -> Broker {
    let broker = Broker::start(&["-t", "trees:2"]);
    let b = &*broker.servers;
    let produce = |partition, lines: &str| {
        logmill_with(&["produce", "-b", b, "-t", "trees", "-p", partition], lines.as_bytes()).ok();
    };
    produce("0", "oak\nelm\nash\n");
    produce("1", "pine\n");
    logmill(&["consume", "-b", b, "-g", "foresters", "-t", "trees", "-o", "beginning", "-e"]).ok();
    produce("0", "yew\nfir\n");
    broker
}

#[test]
fn lag_is_what_came_after_the_watermarks() {
    let broker = behind();
    let b = &*broker.servers;
    let table = "\
GROUP      TOPIC  PARTITIONS  LAG  SETTLED ABOVE
foresters  trees           2    2              0
";
    assert_eq!(logmill(&["lag", "-b", b]).ok(), table);
    assert_eq!(logmill(&["lag", "-b", b, "foresters"]).ok(), table);
    let lines = logmill(&["lag", "-b", b, "--output", "ndjson"]).ok();
    let line = r#"{"group":"foresters","topic":"trees","partitions":2,"lag":2,"settled_above":0}"#;
    assert_eq!(lines.trim_end(), line);
}

#[test]
fn a_group_is_listed_and_described() {
    let broker = behind();
    let b = &*broker.servers;
    let listed = logmill(&["group", "list", "-b", b]).ok();
    assert_eq!(listed, "GROUP      STATE  PROTOCOL\nforesters  Empty  consumer\n");
    let described = logmill(&["group", "describe", "-b", b, "foresters"]).ok();
    let table = "\
TOPIC  PART  START  WATERMARK  END  LAG  RANGES ABOVE  GENERATION  ORGANISER  PAUSED
trees     0      0          3    5    2             0           1          -  no
trees     1      0          1    1    0             0           1          -  no
";
    assert_eq!(described, table);
    let document = logmill(&["group", "describe", "-b", b, "foresters", "--output", "json"]).ok();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["version"], 1);
    assert_eq!((&document["items"][0]["lag"], &document["items"][0]["organiser"]), (&2.into(), &().into()));
}

#[test]
fn who_organises_is_told_while_a_node_is_up() {
    let broker = behind();
    let b = &*broker.servers;
    let mut node = Running::start(&["consume", "-b", b, "-g", "foresters", "-t", "trees"]);
    // Both were planned by it once it prints them.
    assert_eq!([node.line().unwrap(), node.line().unwrap()], ["yew", "fir"]);
    assert!(logmill(&["group", "list", "-b", b]).ok().contains("foresters  Stable"));
    let lines = logmill(&["group", "describe", "-b", b, "foresters", "--output", "ndjson"]).ok();
    for line in lines.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(row["organiser"].as_str().unwrap().contains("127.0.0.1"), "{line}");
    }
    assert_eq!(node.signal("TERM").1, Some(0));
}

#[test]
fn a_group_that_is_named_must_be_there() {
    let broker = Broker::start(&["-t", "trees"]);
    let b = &*broker.servers;
    assert_eq!(logmill(&["group", "list", "-b", b]).ok(), "GROUP  STATE  PROTOCOL\n");
    assert_eq!(logmill(&["lag", "-b", b]).ok(), "GROUP  TOPIC  PARTITIONS  LAG  SETTLED ABOVE\n");
    logmill(&["group", "describe", "-b", b, "gardeners"]).fails(3, &["gardeners", "logmill group list"]);
    logmill(&["lag", "-b", b, "gardeners"]).fails(3, &["gardeners", "logmill group list"]);
}

#[test]
fn no_broker_is_told_as_such() {
    for words in
        [&["lag"][..], &["lag", "foresters"], &["group", "list"], &["group", "describe", "foresters"]]
    {
        logmill(&[words, &["-b", "127.0.0.1:1"]].concat()).fails(4, &["127.0.0.1:1", "-b"]);
    }
    logmill(&["group", "describe"]).fails(2, &["<GROUP>"]);
}
