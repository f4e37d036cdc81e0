//! `logmill check`: what monitors read, and the codes they act on.

use super::harness::{Broker, logmill, logmill_with};

fn check(what: &str, b: &str, more: &[&str]) -> (Option<i32>, String) {
    let run = logmill(&[&["check", what, "-b", b][..], more].concat());
    assert_eq!(run.stderr, "", "{run:?}");
    (run.code, run.stdout.trim_end().to_owned())
}

#[test]
fn a_group_is_ok_or_not_and_says_by_how_much() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    let g = ["-g", "foresters"];
    let unknown = check("lag", b, &g);
    assert_eq!(
        unknown,
        (Some(3), "UNKNOWN - foresters cannot be looked at: it has committed nothing".into())
    );
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"oak\n{\n").ok();
    let work = ["work", "-b", b, "-g", "foresters", "-t", "trees", "-o", "beginning", "-e", "-q", "--"];
    let bury = r#"s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":[0-9]*\),.*/\1,"status":"dead"}/"#;
    logmill(&[&work[..], &["sed", "-u", bury]].concat()).ok();
    assert_eq!(
        check("lag", b, &g),
        (Some(0), "OK - foresters has 0 records that are not settled | lag=0;;".into())
    );
    assert_eq!(check("age", b, &g), (Some(0), "OK - foresters has settled everything | age=0s;;".into()));
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"elm\nash\nyew\n").ok();
    let limits = [&g[..], &["-w", "2", "-c", "5"]].concat();
    let expected = "WARNING - foresters has 3 records that are not settled | lag=3;2;5";
    assert_eq!(check("lag", b, &limits), (Some(1), expected.into()));
    let (code, text) = check("age", b, &[&g[..], &["-t", "trees", "-c", "1d", "--format", "text"]].concat());
    assert!(
        code == Some(0) && text.starts_with("OK - foresters/trees has not settled trees/0@2, which is"),
        "{text}"
    );
    let expected = "CRITICAL - foresters has 2 dead letters | dead=2;;1";
    assert_eq!(check("dead", b, &[&g[..], &["-c", "1"]].concat()), (Some(2), expected.into()));
    let (code, text) = check("nodes", b, &[&g[..], &["-c", "1", "--format", "json"]].concat());
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &found["health"], &found["value"]), (Some(2), &"CRITICAL".into(), &0.0.into()));
}

#[test]
fn what_a_group_stands_on_is_looked_at() {
    let broker = Broker::start(&["-n", "2"]);
    let b = broker.servers.clone();
    let (code, text) = check("kafka", &b, &["-c", "2", "--format", "prometheus"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("logmill_check_health{check=\"kafka\"") && text.ends_with(" 2"), "{text}");
    assert_eq!(check("kafka", &b, &["-w", "3"]).0, Some(1));
    drop(broker);
    let (code, text) = check("kafka", &b, &["-X", "socket.connection.setup.timeout.ms=500"]);
    assert!(code == Some(2) && text.starts_with("CRITICAL - "), "{text}");
    let run = logmill(&["check", "redis", "--redis", "redis://127.0.0.1:1"]);
    assert!(run.code == Some(2) && run.stdout.starts_with("CRITICAL - redis "), "{run:?}");
}
