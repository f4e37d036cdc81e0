//! The workers of `examples/workers`, as docs/workers.md tells people to run them: what they charge, retry and give up.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use logmill_testkit::launch::{Software, skipped};

use super::harness::{Broker, Run, logmill, logmill_with, program, run, sorted};

/// Told apart from the delay of 50 ms that the workers ask for: with this one the test would not end.
const BACKOFF: [&str; 2] = ["--backoff", "1h"];
const LINES: &str =
    "{\"id\":1,\"cents\":1299}\n{\"id\":2,\"cents\":0}\n{\"id\":3,\"cents\":500,\"busy\":2}\noak\n";
/// `{"id":4,"cents":250}`, as gzip: no UTF-8.
const GZIP: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\x4c\x51\xb2\x32\xd1\x51\x4a\x4e\xcd\x2b\
    \x29\x56\xb2\x32\x32\x35\xa8\x05\x00\x95\x6d\xb5\x5c\x14\x00\x00\x00";
const CHARGED: [&str; 3] = [
    "charged 1299 for order 1 at attempt 1",
    "charged 250 for order 4 at attempt 1",
    "charged 500 for order 3 at attempt 3",
];

fn needs(software: Software, program: &str, word: &str) {
    assert!(
        Command::new(program).arg(word).output().is_ok(),
        "{program} is not on PATH: run `cargo xtask servers`, or leave this test out with LOGMILL_SKIP={}",
        software.name()
    );
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/workers")
}

/// A broker whose topic holds the orders.
fn orders() -> Broker {
    let broker = Broker::start(&["-t", "orders:2"]);
    logmill_with(&["produce", "-b", &broker.servers, "-t", "orders"], LINES.as_bytes()).ok();
    broker
}

fn node<'a>(command: &'a str, b: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [command, "-b", b, "-g", "billing", "-t", "orders", "-o", "beginning", "-q", "-e"];
    [&words[..], &BACKOFF, more].concat()
}

/// Reason and error of each dead letter; and that the group has nothing else to do.
fn dead(b: &str) -> Vec<(u64, String)> {
    assert_eq!(logmill(&["consume", "-b", b, "-g", "billing", "-t", "orders", "-e"]).ok(), "");
    let listed = logmill(&["dead", "list", "-b", b, "-g", "billing", "--json"]).ok();
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    let mut all: Vec<_> = listed
        .iter()
        .map(|letter| (letter["attempts"].as_u64().unwrap(), letter["error"].as_str().unwrap().to_owned()))
        .collect();
    all.sort();
    all
}

fn are_given_up(dead: &[(u64, String)]) {
    let [(1, no_order), (1, zero)] = dead else { panic!("{dead:?}") };
    assert!(no_order.contains("not an order"), "{no_order}");
    assert!(zero.contains("zero amount"), "{zero}");
}

/// Runs a worker on the orders until they are settled.
fn work(more: &[&str], worker: &[&str]) {
    let broker = orders();
    let b = &*broker.servers;
    let name = Path::new(worker[worker.len() - 1]).file_name().unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("gz");
    std::fs::write(&file, GZIP).unwrap();
    logmill(&["produce", "-b", b, "-t", "orders", file.to_str().unwrap()]).ok();
    std::fs::remove_file(file).unwrap();

    let mut command = program(&node("work", b, &[more, &["--"], worker].concat()));
    let Run { code, stderr, .. } = run(&mut command, b"");
    assert_eq!(code, Some(0), "{stderr}");
    let charged: Vec<_> = sorted(&stderr).into_iter().filter(|line| line.starts_with("charged")).collect();
    assert_eq!(charged, CHARGED, "{stderr}");
    assert!(stderr.ends_with("no more orders\n"), "it was not let end by itself: {stderr}");
    are_given_up(&dead(b));
}

#[test]
fn python_works() {
    if skipped(&[Software::Python]) {
        return;
    }
    needs(Software::Python, "python3", "--version");
    work(&[], &["python3", folder().join("python/charge.py").to_str().unwrap()]);
}

#[test]
fn go_works() {
    if skipped(&[Software::Go]) {
        return;
    }
    let charge = Path::new(env!("CARGO_TARGET_TMPDIR")).join("charge");
    needs(Software::Go, "go", "version");
    let mut go = Command::new("go");
    go.current_dir(folder().join("go")).env("CGO_ENABLED", "0");
    run(go.args(["build", "-buildvcs=false", "-o"]).arg(&charge), b"").ok();
    work(&["-j", "2", "--share-stdin"], &[charge.to_str().unwrap()]);
}

/// The server in Python; killed on drop.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn python_serves() {
    if skipped(&[Software::Python]) {
        return;
    }
    needs(Software::Python, "python3", "--version");
    let broker = orders();
    let b = &*broker.servers;
    let mut python = Command::new("python3");
    python.arg(folder().join("python/charge_server.py")).arg("0").stdout(Stdio::piped());
    let mut server = Server(python.spawn().unwrap());
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.next().unwrap();
    logmill(&node("push", b, &["--to", &url])).ok();
    are_given_up(&dead(b));
    drop(server);
    let said: Vec<_> = lines.collect();
    assert_eq!(sorted(&said.join("\n")), [CHARGED[0], CHARGED[2]]);
}
