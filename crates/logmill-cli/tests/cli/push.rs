//! `logmill push`: a server as handler, and what its answers mean.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::harness::{Broker, logmill, logmill_with};

/// How often each payload was sent, and the headers of its last request.
type Seen = Arc<Mutex<BTreeMap<String, (u32, BTreeMap<String, String>)>>>;

/// A server that answers a payload `STATUS …` with that status the first time and with 200 afterwards.
fn serve(seen: Seen) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, seen) = (stream.unwrap(), seen.clone());
            std::thread::spawn(move || while exchange(&stream, &seen).is_some() {});
        }
    });
    format!("http://{address}/charge")
}

fn exchange(mut stream: &TcpStream, seen: &Seen) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert_eq!(line, "POST /charge HTTP/1.1\r\n");
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    let payload = String::from_utf8(body).unwrap();
    let times = {
        let mut seen = seen.lock().unwrap();
        let entry = seen.entry(payload.clone()).or_default();
        *entry = (entry.0 + 1, headers);
        entry.0
    };
    let (status, answer) = match (times, payload.split(' ').collect::<Vec<_>>()[..].as_ref()) {
        (1, ["200", word]) => ("200", format!("{{\"status\":\"{word}\"}}")),
        (1, [status, ..]) => (*status, String::new()),
        _ => ("200", String::new()),
    };
    let skip = if status == "409" && payload.ends_with("skip") { "logmill-skip: 1\r\n" } else { "" };
    let length = answer.len();
    write!(stream, "HTTP/1.1 {status} X\r\n{skip}retry-after: 0\r\ncontent-length: {length}\r\n\r\n{answer}")
        .ok()
}

#[test]
fn each_answer_has_its_meaning() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    let once = ["200 SUCCESS", "204", "409 skip"];
    let twice = ["408", "425", "429", "500", "503", "200 RETRY"];
    let dead = ["400", "404", "422", "409", "200 DROP"];
    let all: String =
        [&once[..], &twice, &dead].concat().iter().map(|payload| format!("{payload}\n")).collect();
    logmill_with(&["produce", "-b", b, "-t", "trees"], all.as_bytes()).ok();
    let seen = Seen::default();
    let url = serve(seen.clone());
    let words =
        ["push", "-b", b, "-g", "foresters", "-t", "trees", "-o", "beginning", "--backoff", "10ms", "-e"];
    logmill(&[&words[..], &["--to", &url]].concat()).ok();

    let seen = seen.lock().unwrap();
    let times = |payload: &str| seen.get(payload).map_or(0, |(times, _)| *times);
    assert!(once.iter().all(|payload| times(payload) == 1), "{seen:?}");
    assert!(twice.iter().all(|payload| times(payload) == 2), "{seen:?}");
    assert!(dead.iter().all(|payload| times(payload) == 1), "{seen:?}");
    let (_, headers) = &seen["500"];
    assert_eq!((&*headers["logmill-topic"], &*headers["logmill-attempt"]), ("trees", "2"));
    assert_eq!(headers["ce-id"], "trees/0@6");
    let letters = logmill(&["dead", "list", "-b", b, "-g", "foresters", "--json"]).ok();
    let letters: Vec<serde_json::Value> = serde_json::from_str(&letters).unwrap();
    assert_eq!(letters.len(), dead.len(), "{letters:?}");
}
