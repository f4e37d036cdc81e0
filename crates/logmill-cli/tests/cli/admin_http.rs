//! `--admin-http`: a command that is a node answers how it is.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::harness::{Broker, Running, logmill, logmill_with};

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_command_that_is_a_node_answers_how_it_is() {
    let broker = Broker::start(&["-t", "trees:1"]);
    let b = &*broker.servers;
    logmill_with(&["produce", "-b", b, "-t", "trees"], b"oak\nelm\n").ok();
    // Somebody else may take it in between, but nobody does.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let words =
        ["consume", "-b", b, "-g", "foresters", "-t", "trees", "-o", "beginning", "-f", "%s\\n", "-q"];
    let mut node = Running::start(&[&words[..], &["--admin-http", &address]].concat());
    assert_eq!((node.line().as_deref(), node.line().as_deref()), (Some("oak"), Some("elm")));
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200 OK"));
    assert!(get(&address, "/readyz").contains("\"group\":\"foresters\""));
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("messaging_consumer_group_name=\"foresters\"} 2\n"), "{metrics}");
    let taken = logmill(&[&words[..], &["--admin-http", &address]].concat());
    taken.fails(2, &["admin_http", &address]);
    assert_eq!(node.signal("TERM").1, Some(0));
    logmill(&["consume", "-b", b, "-t", "trees", "--admin-http", &address]).fails(2, &["--group"]);
}
