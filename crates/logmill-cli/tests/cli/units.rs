//! `logmill unit`: the units of a group that are shared in Redis.

use logmill_testkit::launch::{Redis, RedisOptions, Software, skipped};

use super::harness::{Broker, Running, logmill, logmill_with};

const G: &str = "foresters";

fn rows(words: &[&str]) -> Vec<serde_json::Value> {
    let got = logmill(&[words, &["--output", "ndjson"]].concat()).ok();
    got.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_unit_is_shown_released_split_and_requeued() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let url = redis.url();
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    let of = ["-b", b, "-g", G, "--redis", &*url];
    let unit = |verb, more: &[&str]| logmill(&[&["unit", verb][..], &of, more].concat());
    let list = [&["unit", "list"][..], &of].concat();
    logmill(&list).fails(3, &["knows nothing of group \"foresters\""]);

    logmill_with(&["produce", "-b", b, "-t", "trees"], b"oak\nelm\nash\n").ok();
    // Reads what it is given, and never answers.
    let silent = ["-t", "trees", "-q", "--lease", "3s", "--", "sh", "-c", "cat > /dev/null"];
    let holder = Running::start(&[&["work"][..], &of, &silent].concat());
    while !logmill(&list).stdout.contains("leased") {}
    let row = &rows(&list)[0];
    assert_eq!((&row["unit"], &row["start"], &row["end"]), (&"trees/0/0".into(), &0.into(), &3.into()));
    assert_eq!((&row["attempt"], &row["lane"], &row["settled_to"]), (&1.into(), &().into(), &0.into()));
    assert!((1..=3_000).contains(&row["left_ms"].as_u64().unwrap()), "{row}");
    let nodes = rows(&[&["node", "list"][..], &of].concat());
    assert_eq!((&nodes[0]["node"], &nodes[0]["units"], nodes.len()), (&row["node"], &1.into(), 1));
    assert_eq!(rows(&[&list[..], &["--state", "waiting"]].concat()), [] as [serde_json::Value; 0]);
    assert_eq!(rows(&[&list[..], &["-t", "trees", "-p", "1"]].concat()), [] as [serde_json::Value; 0]);

    let name = row["node"].as_str().unwrap();
    let shown = unit("show", &["trees/0/1", "--records", "-c", "2"]);
    assert!(shown.stdout.contains(&format!("state     leased by {name}")), "{shown:?}");
    let records: Vec<_> = shown.stdout.lines().rev().take(2).collect();
    assert!(records[0].ends_with(": elm") && records[1].ends_with(": oak"), "{shown:?}");
    assert!(shown.stderr.contains("there are more"), "{shown:?}");
    unit("show", &["trees/0/3"]).fails(3, &["no unit has trees/0/3"]);
    unit("show", &["trees/0"]).fails(2, &["topic/partition/offset"]);
    unit("split", &["trees/0/0", "--at", "1", "--execute"]).fails(1, &[name, "release it first"]);

    logmill(&[&["node", "quiet"][..], &of, &[name, "--execute"]].concat()).ok();
    // The ledger is new: the node looks for it each second.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let planned = unit("release", &["trees/0/2"]);
    assert!(
        planned.stdout.starts_with("would take trees/0/0 (0..3, attempt 1, 0 settled) from"),
        "{planned:?}"
    );
    assert!(planned.stderr.contains("nothing done: add --execute"), "{planned:?}");
    assert_eq!(rows(&list)[0]["state"], "leased");
    let done = unit("release", &["trees/0/2", "--execute"]).ok();
    assert!(done.ends_with("released trees/0/0: 1 lease(s) are over\n"), "{done}");
    let row = &rows(&list)[0];
    assert_eq!((&row["state"], &row["attempt"], &row["node"]), (&"waiting".into(), &0.into(), &().into()));
    assert_eq!(unit("release", &["trees/0/0"]).ok(), "no node has trees/0/0: it is waiting\n");

    unit("split", &["trees/0/0", "--at", "3"]).fails(2, &["does not cut trees/0/0"]);
    let split = unit("split", &["trees/0/0", "--at", "2", "--execute"]).ok();
    assert!(split.starts_with("would split trees/0/0 into 0..2 and 2..3\n"), "{split}");
    unit("requeue", &["trees/0/2", "--execute"]).ok();
    let ranges: Vec<_> = rows(&list).iter().map(|row| (row["start"].clone(), row["end"].clone())).collect();
    assert_eq!(ranges, [(0.into(), 2.into()), (2.into(), 3.into())]);
    let other = [&["consume"][..], &of, &["-t", "trees", "-q", "-e", "-f", "%s\\n"]].concat();
    let got = logmill(&other).ok();
    assert_eq!(super::harness::sorted(&got), ["ash", "elm", "oak"]);
    assert_eq!(rows(&list), [] as [serde_json::Value; 0]);
    drop(holder);
}

#[test]
fn without_redis_units_are_nobody_elses_affair() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    logmill(&["unit", "list", "-b", b, "-g", G]).fails(2, &["--redis", "its own memory"]);
    logmill(&["unit", "release", "-b", b, "-g", G, "trees/0/0"]).fails(2, &["--redis", "its own memory"]);
}
