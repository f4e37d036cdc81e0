//! kcat, and so librdkafka, against `logmill broker`, both ways.

use std::process::Command;

use logmill_testkit::launch::{Software, skipped};

use super::harness::{Broker, Run, run, sorted};

fn kcat(words: &[&str], input: &[u8]) -> Run {
    assert!(
        Command::new("kcat").arg("-V").output().is_ok(),
        "kcat is not on PATH: run `cargo xtask servers`, or leave this test out with LOGMILL_SKIP=kcat"
    );
    run(Command::new("kcat").args(words), input)
}

#[test]
fn it_produces_and_consumes_with_every_codec() {
    if skipped(&[Software::Kcat]) {
        return;
    }
    let broker = Broker::start(&["-n", "3", "-t", "trees:6"]);
    let b = &*broker.servers;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let lines = format!("{codec}-1:oak\n{codec}-2:pine\n");
        kcat(&["-P", "-b", b, "-t", "trees", "-z", codec, "-K:", "-H", "from=kcat"], lines.as_bytes()).ok();
    }
    let got = kcat(&["-C", "-b", b, "-t", "trees", "-e", "-q", "-f", "%k=%s %h\\n"], b"").ok();
    assert_eq!(got.lines().count(), 10);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        assert!(got.contains(&format!("{codec}-1=oak from=kcat\n")), "{got}");
    }
}

#[test]
fn it_lists_and_finds_offsets() {
    if skipped(&[Software::Kcat]) {
        return;
    }
    let broker = Broker::start(&["-n", "2", "-t", "trees:2"]);
    let b = &*broker.servers;
    let listed = kcat(&["-L", "-b", b], b"").ok();
    assert!(listed.contains("topic \"trees\" with 2 partitions"), "{listed}");
    assert!(listed.contains(" 2 brokers:"), "{listed}");
    kcat(&["-P", "-b", b, "-t", "trees", "-p", "1"], b"oak\npine\n").ok();
    let first = kcat(&["-Q", "-b", b, "-t", "trees:1:0"], b"").ok();
    assert_eq!(first.trim(), "trees [1] offset 0");
    let last = kcat(&["-C", "-b", b, "-t", "trees", "-p", "1", "-o", "-1", "-e", "-q"], b"").ok();
    assert_eq!(last, "pine\n");
}

#[test]
fn it_consumes_as_a_consumer_group_and_goes_on_where_it_stopped() {
    if skipped(&[Software::Kcat]) {
        return;
    }
    let broker = Broker::start(&["-t", "trees:3"]);
    let b = &*broker.servers;
    let group = ["-b", b, "-G", "foresters", "-q", "-e", "-X", "auto.offset.reset=earliest", "trees"];
    kcat(&["-P", "-b", b, "-t", "trees", "-K:"], b"1:oak\n2:pine\n3:birch\n").ok();
    assert_eq!(sorted(&kcat(&group, b"").ok()), ["birch", "oak", "pine"]);
    kcat(&["-P", "-b", b, "-t", "trees", "-K:"], b"4:elm\n").ok();
    assert_eq!(kcat(&group, b"").ok(), "elm\n");
}
