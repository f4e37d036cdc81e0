//! `logmill consume -g`: a node of a group on the command line.

use std::time::Duration;

use logmill_testkit::launch::{Redis, RedisOptions, Software, skipped};
use logmill_testkit::{Cluster, ClusterOptions, ListenOptions};

use super::harness::{Broker, Run, Running, logmill, logmill_with, program};

/// A node's command line: of group `foresters`, on topic `trees`, from its beginning.
fn node<'a>(b: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["consume", "-b", b, "-g", "foresters", "-t", "trees", "-o", "beginning"], more].concat()
}

fn numbered(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{number:06}\n")).collect()
}

#[test]
fn it_prints_each_record_once_and_the_next_run_goes_on_there() {
    let broker = Broker::start(&["-n", "3", "-t", "trees:3"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees", "-K:"], b"1:oak\n2:pine\n").ok();
    let got = logmill(&node(b, &["-e", "-J"])).ok();
    let mut got: Vec<serde_json::Value> =
        got.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    got.sort_unstable_by_key(|record| record["key"].to_string());
    assert_eq!(got.len(), 2, "{got:?}");
    for (record, (key, tree)) in got.iter().zip([("1", "oak"), ("2", "pine")]) {
        assert_eq!((&record["key"], &record["payload"]), (&key.into(), &tree.into()));
        assert_eq!((&record["topic"], &record["offset"]), (&"trees".into(), &0.into()));
    }
    assert_eq!(logmill(&node(b, &["-e", "-J"])).ok(), "");
    logmill_with(&["produce", "-b", b, "-t", "trees", "-p", "0"], b"elm\n").ok();
    assert_eq!(logmill(&node(b, &["-e", "-f", "%t[%p] %s\\n"])).ok(), "trees[0] elm\n");
}

#[test]
fn asked_to_stop_it_drains_and_nothing_comes_twice() {
    let broker = Broker::start(&["-t", "trees:4"]);
    let b = &*broker.servers;
    let lines = numbered(0..50_000);
    logmill_with(&["produce", "-b", b, "-t", "trees"], lines.as_bytes()).ok();
    for signal in ["TERM", "INT"] {
        let group = format!("stopped by {signal}");
        let words = ["consume", "-b", b, "-g", &group, "-t", "trees", "-o", "beginning"];
        let mut first = Running::start(&words);
        let mut got = vec![first.line().unwrap()];
        let (rest, code) = first.signal(signal);
        assert_eq!(code, Some(if signal == "TERM" { 0 } else { 130 }));
        got.extend(rest);
        let second = logmill(&[&words[..], &["-e"]].concat()).ok();
        got.extend(second.lines().map(str::to_owned));
        got.sort_unstable();
        assert!(got.iter().map(String::as_str).eq(lines.lines()), "{signal}: {} lines", got.len());
    }
}

#[test]
fn an_empty_topic_is_at_its_end() {
    let broker = Broker::start(&["-t", "trees:2"]);
    let b = &*broker.servers;
    for _ in 0..2 {
        assert_eq!(logmill(&node(b, &["-e"])).ok(), "");
    }
    assert_eq!(logmill(&["consume", "-b", b, "-g", "late", "-t", "trees", "-o", "end", "-e"]).ok(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_while_others_go_on_writing() {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("trees", 1);
    let servers = cluster.listen_tcp(ListenOptions::default()).await.unwrap();
    cluster.produce("trees", 0, ["there at the start"]);
    let run = tokio::task::spawn_blocking(move || logmill(&node(&servers, &["-e"])));
    // Many times what it needs, and closer together than it looks whether it is through.
    for _ in 0..600 {
        if run.is_finished() {
            break;
        }
        cluster.produce("trees", 0, ["later"]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(run.is_finished(), "it goes on as long as there is something new");
    assert!(run.await.unwrap().ok().starts_with("there at the start\n"));
}

#[test]
fn a_count_ends_it_and_the_rest_is_left() {
    let broker = Broker::start(&["-t", "trees"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"oak\npine\nelm\n").ok();
    assert_eq!(logmill(&node(b, &["-c", "2"])).ok(), "oak\npine\n");
    assert_eq!(logmill(&node(b, &["-e"])).ok(), "elm\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_one_partition_through_redis() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let url = redis.url();
    let shared = move || {
        let broker = Broker::start(&["-t", "trees:1"]);
        let b = &*broker.servers;
        let words = node(b, &["--redis", &url]);
        let (mut one, mut other) = (Running::start(&words), Running::start(&words));
        let produce = |range| {
            logmill_with(&["produce", "-b", b, "-t", "trees"], numbered(range).as_bytes()).ok();
        };
        // Both have a hand in it: what they take at a time is a fraction of this.
        produce(0..200_000);
        let mut got = vec![one.line().unwrap(), other.line().unwrap()];
        for running in [one, other] {
            let (rest, code) = running.signal("TERM");
            assert_eq!(code, Some(0));
            got.extend(rest);
        }
        produce(200_000..200_010);
        let rest = logmill(&node(b, &["--redis", &url, "-e"])).ok();
        got.extend(rest.lines().map(str::to_owned));
        got.sort_unstable();
        assert!(got.iter().map(String::as_str).eq(numbered(0..200_010).lines()), "{} lines", got.len());
        let Run { code, stdout, .. } = logmill(&node(b, &["--redis", &url, "-e"]));
        assert_eq!((code, &*stdout), (Some(0), ""));
    };
    tokio::task::spawn_blocking(shared).await.unwrap();
    drop(redis);
}

#[test]
fn bad_input_comes_with_the_next_step() {
    let broker = Broker::start(&["-t", "trees"]);
    let b = &*broker.servers;
    logmill(&["consume", "-b", b, "-g", "foresters", "-t", "shrubs"]).fails(3, &["topic create", "shrubs"]);
    logmill(&node("127.0.0.1:1", &[])).fails(4, &["127.0.0.1:1", "-b"]);
    logmill(&node(b, &["--redis", "redis://127.0.0.1:1"])).fails(4, &["127.0.0.1:1", "is it up"]);
    logmill(&node(b, &["--redis", "nonsense"])).fails(4, &["redis://"]);
    logmill(&["consume", "-b", b, "-t", "trees", "--redis"]).fails(2, &["--group"]);
    for place in ["5", "-2"] {
        let words = ["consume", "-b", b, "-g", "foresters", "-t", "trees", "-o", place];
        logmill(&words).fails(2, &["beginning, end"]);
    }
    assert!(logmill(&["consume", "--help"]).ok().contains("settled and committed all that was there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_is_refused() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let evicting =
        RedisOptions::default().args(["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let redis = Redis::start(evicting).await.unwrap();
    let url = redis.url();
    let run = move || {
        let broker = Broker::start(&["-t", "trees"]);
        logmill(&node(&broker.servers, &["--redis", &url, "-e"]))
    };
    let run = tokio::task::spawn_blocking(run).await.unwrap();
    run.fails(4, &["maxmemory-policy", "noeviction"]);
}

/// A device that takes nothing stands for a full disk behind `consume > file`.
#[test]
#[cfg(target_os = "linux")]
fn a_line_that_did_not_get_out_is_not_settled() {
    let broker = Broker::start(&["-t", "trees"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"oak\npine\n").ok();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    assert!(!program(&node(b, &["-e"])).stdout(full).status().unwrap().success());
    assert_eq!(logmill(&node(b, &["-e"])).ok(), "oak\npine\n");
}
