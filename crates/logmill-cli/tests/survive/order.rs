//! Order by key across four processes on one partition, which are killed and paused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use logmill::{Producer, Record};
use logmill_testkit::launch::{Redis, RedisOptions, Software, skipped};

use super::fleet::LEASE;
use super::servers::{shared, turn};

const KEYS: usize = 200;
const RECORDS: usize = 6_000;

/// Writes down what it gets, `offset key copy node`, before it answers; the last two are process ids.
const HANDLER: &str = r#"
while IFS= read -r line; do
    offset=${line#*\"offset\":}; offset=${offset%%[!0-9]*}
    key=${line#*\"key\":\"}; key=${key%%\"*}
    echo "$offset $key $$ $PPID" >> "$0"
    echo "{\"topic\":\"by-key\",\"partition\":0,\"offset\":$offset,\"status\":\"ack\"}"
done
"#;

/// A node process; killed on drop.
struct Process(Child);

impl Process {
    fn start(brokers: &str, redis: &str, file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logmill"));
        command.args([
            "work",
            "-b",
            brokers,
            "-g",
            "by-key",
            "-t",
            "by-key",
            "-o",
            "beginning",
            "--redis",
            redis,
        ]);
        command.args(
            "--order key --lanes 8 -j 4 --lease 3s --session-timeout 6s --commit-interval 500ms".split(' '),
        );
        command.args(["--", "sh", "-c", HANDLER]).arg(file);
        Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let words = ["-c", "kill -s \"$0\" \"$1\"", name, &self.0.id().to_string()];
        assert!(Command::new("sh").args(words).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A record that was handled.
struct Handled {
    offset: usize,
    key: String,
    /// The copy of the handler that did.
    copy: u32,
    /// The node whose copy it is.
    node: u32,
}

/// What was handled, in the order in which it was.
fn handled(file: &Path) -> Vec<Handled> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ');
        let offset = words.next()?.parse().ok()?;
        let key = words.next()?.to_owned();
        let (copy, node) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Handled { offset, key, copy, node })
    };
    text.lines().filter_map(line).collect()
}

/// Takes out what a copy of this node was given first after line `woke`, if it had been handled before: a process can be
/// stopped between its last look at the lease and the write to the copy's pipe, and nothing can hold that one record
/// back when it wakes.
fn without_what_was_on_its_way(all: Vec<Handled>, node: u32, woke: usize) -> Vec<Handled> {
    let (mut before, mut woken) = (BTreeSet::new(), BTreeSet::new());
    let mut on_its_way = |line: usize, handled: &Handled| {
        let again = !before.insert(handled.offset);
        line >= woke && handled.node == node && woken.insert(handled.copy) && again
    };
    let kept = all.into_iter().enumerate().filter(|(line, handled)| !on_its_way(*line, handled));
    kept.map(|(_, handled)| handled).collect()
}

async fn reaches(file: &Path, records: usize) {
    let distinct = || handled(file).into_iter().map(|handled| handled.offset).collect::<BTreeSet<_>>().len();
    let reached = async {
        while distinct() < records {
            // A file tells nobody that it has grown.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(120), reached).await;
    assert!(reached.is_ok(), "{} of {records} records handled", distinct());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_keeps_its_order_while_nodes_are_killed_and_paused() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let (kafka, _) = turn(&shared).await;
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    kafka.create_topic("by-key", 1).await.unwrap();
    let producer = Producer::builder().brokers(kafka.bootstrap()).build().await.unwrap();
    for number in 0..RECORDS {
        let key = ((number * 7919) % KEYS).to_string();
        drop(producer.enqueue(Record::to("by-key").key(key).value(number.to_string())).await.unwrap());
    }
    producer.close().await.unwrap();

    let file = std::env::temp_dir().join(format!("logmill-by-key-{}", std::process::id()));
    let start = || Process::start(&kafka.bootstrap(), &redis.url(), &file);
    let mut processes: Vec<Process> = (0..4).map(|_| start()).collect();
    reaches(&file, RECORDS / 5).await;
    processes[0].signal("KILL");
    processes[1].signal("STOP");
    reaches(&file, RECORDS * 2 / 5).await;
    // Past its lease: its lanes are with others.
    tokio::time::sleep(LEASE * 2).await;
    let (paused, woke) = (processes[1].0.id(), handled(&file).len());
    processes[1].signal("CONT");
    processes[0] = start();
    processes[2].signal("TERM");
    reaches(&file, RECORDS).await;

    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let mut logs: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for offset in 0..RECORDS {
        logs.entry(((offset * 7919) % KEYS).to_string()).or_default().push(offset);
    }
    let all = handled(&file);
    let again = all.len() - RECORDS;
    for Handled { offset, key, .. } in without_what_was_on_its_way(all, paused, woke) {
        let log = &logs[&key];
        let next = log.iter().find(|known| last.get(&key).is_none_or(|last| *known > last));
        // The next of its key, or one that came before: then all that follow it come again.
        assert!(next.is_none_or(|next| offset <= *next), "key {key}: {offset} came before {next:?}");
        last.insert(key, offset);
    }
    for (key, log) in &logs {
        assert_eq!(last.get(key), log.last(), "key {key} does not end with its last record");
    }
    eprintln!("by-key: 0 lost of {RECORDS}, {again} again, each key in order");
    std::fs::remove_file(file).unwrap();
}
