//! `logmill produce` and `logmill consume`, in the forms that scripts rely on.

use std::io::Write;
use std::process::Stdio;

use logmill_testkit::{Api, Cluster, ClusterOptions, Fault, ListenOptions};

use super::harness::{Broker, logmill, logmill_with, program, signal, sorted};

#[test]
fn a_line_is_a_record_and_comes_back() {
    let broker = Broker::start(&["-n", "3"]);
    let b = &*broker.servers;
    logmill(&["topic", "create", "-b", b, "-t", "trees", "--partitions", "1"]).ok();
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"oak\n\npine").ok();
    let got = logmill(&["consume", "-b", b, "-t", "trees", "-o", "beginning", "-e", "-f", "%o %s\\n"]).ok();
    assert_eq!(got, "0 oak\n1 \n2 pine\n");
}

#[test]
fn every_codec_and_a_key_come_back_in_kcats_envelope() {
    let broker = Broker::start(&["-t", "trees:4"]);
    let b = &*broker.servers;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let line = format!("{codec}:a tree: oak\n");
        let words = ["produce", "-b", b, "-t", "trees", "-z", codec, "-K", ":", "-H", "from=test"];
        logmill_with(&words, line.as_bytes()).ok();
    }
    let got = logmill(&["consume", "-b", b, "-t", "trees", "-o", "beginning", "-e", "-J"]).ok();
    let lines: Vec<serde_json::Value> = got.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut keys: Vec<_> = lines.iter().map(|line| line["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["gzip", "lz4", "none", "snappy", "zstd"]);
    for line in &lines {
        assert_eq!(line["payload"], "a tree: oak");
        assert_eq!(line["headers"], serde_json::json!(["from", "test"]));
        assert_eq!(line["tstype"], "create");
    }
}

#[test]
fn a_hundred_thousand_lines_are_all_there_each_once() {
    let broker = Broker::start(&["-n", "3", "-t", "numbers:6"]);
    let b = &*broker.servers;
    let lines: String = (0..100_000).map(|number| format!("{number:06}\n")).collect();
    logmill_with(&["produce", "-b", b, "-t", "numbers", "-z", "lz4"], lines.as_bytes()).ok();
    let got = logmill(&["consume", "-b", b, "-t", "numbers", "-e"]).ok();
    assert!(sorted(&got) == sorted(&lines), "{} lines came back", got.lines().count());
}

#[test]
fn null_keys_and_files_are_as_in_kcat() {
    let broker = Broker::start(&["-t", "trees"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees", "-K", ":", "-Z"], b"oak:\n:pine\nelm\n").ok();
    let file = std::env::temp_dir().join(format!("logmill-cli-{}.txt", std::process::id()));
    std::fs::write(&file, "two\nlines").unwrap();
    let path = file.to_str().unwrap();
    logmill(&["produce", "-b", b, "-t", "trees", path]).ok();
    logmill(&["produce", "-b", b, "-t", "trees", "-k", "fixed", "-l", path]).ok();
    std::fs::remove_file(&file).unwrap();
    let words = ["consume", "-b", b, "-t", "trees", "-e", "-Z", "-f", "%k/%K=%s/%S;"];
    let got = logmill(&words).ok();
    assert_eq!(
        got,
        "oak/3=NULL/-1;NULL/-1=pine/4;NULL/-1=elm/3;NULL/-1=two\nlines/9;fixed/5=two/3;fixed/5=lines/5;"
    );
}

#[test]
fn reading_starts_and_stops_where_it_is_told() {
    let broker = Broker::start(&["-t", "trees"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"0\n1\n2\n3\n4\n").ok();
    let read =
        |more: &[&str]| logmill(&[&["consume", "-b", b, "-t", "trees", "-D", " "], more].concat()).ok();
    assert_eq!(read(&["-o", "3", "-e"]), "3 4 ");
    assert_eq!(read(&["-o", "-2", "-e"]), "3 4 ");
    assert_eq!(read(&["-o", "beginning", "-c", "2"]), "0 1 ");
    assert_eq!(read(&["-o", "1", "-n", "1"]), "1 ");
    assert_eq!(read(&["-o", "end", "-e"]), "");
    assert_eq!(read(&["-o", "s@5m", "-e"]), "0 1 2 3 4 ");
    assert_eq!(read(&["-o", "s@5m", "-o", "e@9999-01-01", "-e"]), "0 1 2 3 4 ");
    assert_eq!(read(&["-o", "e@2020-01-01", "-e"]), "");
}

#[test]
fn a_missing_topic_is_not_made() {
    let broker = Broker::start(&[]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"oak\n").fails(3, &["topic create", "0 persisted"]);
    logmill(&["consume", "-b", b, "-t", "trees", "-e"]).fails(3, &["topic create"]);
    logmill(&["consume", "-b", b, "-t", "trees", "-p", "7", "-e"]).fails(3, &["trees"]);
}

#[test]
fn a_record_too_large_fails_alone() {
    let broker = Broker::start(&["-t", "trees"]);
    let b = &*broker.servers;
    let input = [&b"oak\n"[..], &vec![b'x'; 3 << 20], b"\npine\n"].concat();
    let told = logmill_with(&["produce", "-b", b, "-t", "trees"], &input)
        .fails(6, &["record 2", "max.request.size"]);
    assert!(told.contains("2 persisted, 1 not persisted"), "{told}");
    assert_eq!(logmill(&["consume", "-b", b, "-t", "trees", "-e"]).ok(), "oak\npine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_stored_is_told_apart() {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("trees", 1);
    let servers = cluster.listen_tcp(ListenOptions::default()).await.unwrap();
    cluster.on(Api::Produce, Fault::Hang);
    let words = [
        "produce",
        "-b",
        &servers,
        "-t",
        "trees",
        "-X",
        "request.timeout.ms=200",
        "-X",
        "delivery.timeout.ms=1000",
    ];
    let words = words.map(str::to_owned);
    let run = move || logmill_with(&words.each_ref().map(String::as_str), b"oak\n");
    let told = tokio::task::spawn_blocking(run).await.unwrap();
    told.fails(5, &["possibly persisted", "0 persisted, 0 not persisted, 1 possibly persisted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_make_no_duplicates() {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("trees", 1);
    let servers = cluster.listen_tcp(ListenOptions::default()).await.unwrap();
    cluster.on_times(Api::Produce, 3, Fault::ApplyThenDisconnect);
    let lines: String = (0..1_000).map(|number| format!("{number}\n")).collect();
    let expected = lines.clone();
    let got = tokio::task::spawn_blocking(move || {
        logmill_with(&["produce", "-b", &servers, "-t", "trees"], lines.as_bytes()).ok();
        logmill(&["consume", "-b", &servers, "-t", "trees", "-e"]).ok()
    });
    assert_eq!(got.await.unwrap(), expected);
}

#[test]
fn an_interrupted_producer_tells_what_it_sent() {
    let broker = Broker::start(&["-t", "trees"]);
    let mut child = program(&["produce", "-b", &broker.servers, "-t", "trees", "-T"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"oak\n").unwrap();
    // It has read the record once it comes out of the tee.
    let mut seen = [0; 4];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut seen).unwrap();
    signal(child.id(), "INT");
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(130), "{told}");
    assert!(told.contains("1 persisted"), "{told}");
    assert_eq!(logmill(&["consume", "-b", &broker.servers, "-t", "trees", "-e"]).ok(), "oak\n");
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let broker = Broker::start(&["-t", "numbers"]);
    let b = &*broker.servers;
    let lines: String = (0..200_000).map(|number| format!("{number}\n")).collect();
    logmill_with(&["produce", "-b", b, "-t", "numbers"], lines.as_bytes()).ok();
    let mut child = program(&["consume", "-b", b, "-t", "numbers"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
