//! `logmill doctor`: what is in the way, and the command to type next.

use logmill_testkit::launch::{Redis, RedisOptions, Software, skipped};

use super::harness::{Broker, Run, Running, logmill, logmill_with};

const G: &str = "foresters";

fn doctor(b: &str, more: &[&str]) -> Run {
    logmill(&[&["doctor", "-b", b][..], more].concat())
}

/// It ends with 1, and its lines hold these words.
#[track_caller]
fn finds(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{run:?}");
    for word in words {
        assert!(run.stdout.contains(word), "{word:?} is missing: {run:?}");
    }
}

#[test]
fn a_group_that_has_nothing_to_do_is_well_and_one_that_rests_is_told_why() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    finds(
        &doctor(b, &["-g", G, "-t", "bushes"]),
        &["✗ topics     topic bushes does not exist\n", "next: logmill topic create -b", "committed nothing"],
    );
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"oak\nelm\n").ok();
    let words = ["consume", "-b", b, "-g", G, "-t", "trees", "-o", "beginning", "-f", "%s\\n", "-q"];
    let mut node = Running::start(&[&words[..], &["--commit-interval", "100ms"]].concat());
    assert_eq!((node.line().as_deref(), node.line().as_deref()), (Some("oak"), Some("elm")));
    while !logmill(&["lag", "-b", b, G, "--output", "ndjson"]).stdout.contains("\"lag\":0") {}
    let well = doctor(b, &[G]).ok();
    for line in [
        "✓ kafka      1 brokers, produce v",
        "✓ topics     1 topics, 1 partitions, all with a leader",
        "✓ organisers 1 members organise 1 partitions",
        "✓ progress   everything is settled: there is nothing to move",
    ] {
        assert!(well.contains(line), "{line:?} is missing: {well}");
    }
    logmill(&["group", "pause", "-b", b, "-g", G, "--reason", "sick"]).ok();
    let paused = doctor(b, &["-g", G]);
    finds(&paused, &["✗ paused     the group is paused by ", ": sick\n", "next: logmill group resume -b"]);
    let next = format!("next: logmill group resume -b {b} {G}\n");
    assert!(paused.stdout.contains(&next), "{paused:?}");
    logmill(&["group", "resume", "-b", b, "-g", G]).ok();
    let (rest, code) = node.signal("TERM");
    assert_eq!((rest, code), (Vec::new(), Some(0)));
    let json = doctor(b, &["-g", G, "--json"]);
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let findings = document["findings"].as_array().unwrap();
    let wrong: Vec<_> = findings.iter().filter(|finding| finding["ok"] == false).collect();
    assert_eq!((json.code, wrong.len(), document["version"].as_i64()), (Some(1), 1, Some(1)), "{document}");
    assert_eq!(wrong[0]["text"], "no node of the group lives");
    assert_eq!(wrong[0]["next"][0], format!("logmill work -b {b} -g {G} -t trees -- CMD"));
    drop(broker);
    let nobody = doctor("127.0.0.1:1", &["-g", G]);
    finds(
        &nobody,
        &["✗ kafka      nothing answers at 127.0.0.1:1", "next: logmill check kafka -b 127.0.0.1:1\n"],
    );
}

#[tokio::test]
async fn a_redis_that_is_not_there_or_deletes_or_is_full_is_told() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let broker = Broker::start(&[]);
    let b = &*broker.servers;
    finds(&doctor(b, &["--redis", "redis://127.0.0.1:1"]), &["✗ redis      ", "127.0.0.1:1", "✓ kafka"]);
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let url = redis.url();
    let well = doctor(b, &["--redis", &url]).ok();
    assert!(well.contains("✓ redis      Redis ") && well.contains("noeviction, clock "), "{well}");
    redis.cli(&["CONFIG", "SET", "maxmemory", "1mb"]).await.unwrap();
    finds(
        &doctor(b, &["--redis", &url]),
        &["✗ redis", "no memory left of its 1 MiB", "CONFIG SET maxmemory"],
    );
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    let evicts = doctor(b, &["--redis", &url]);
    finds(&evicts, &["✗ redis", "allkeys-lru", "next: run CONFIG SET maxmemory-policy noeviction"]);
}
