//! What a person sees when something is wrong: what, and what to do next.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use logmill_testkit::proxy::Proxy;
use logmill_testkit::{Api, Cluster, ClusterOptions, ListenOptions};

use super::harness::{Broker, Run, logmill};

fn list(servers: &str) -> Run {
    logmill(&["topic", "list", "-b", servers])
}

#[test]
fn a_wrong_address_is_told_at_once() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string();
    list(&nobody).fails(4, &["nothing answers", &nobody, "-b"]);
    list("no-such-host.invalid:9092").fails(4, &["no-such-host.invalid"]);
    list("127.0.0.1:notaport").fails(2, &["notaport"]);
}

#[test]
fn a_web_server_is_told_from_a_broker() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        for _ in 0..16 {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    list(&address).fails(4, &["does not speak Kafka", "HTTP"]);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_too_old_is_told_its_age() {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    // What Kafka 1.0 offers.
    let old = [(Api::Produce, 0..=5), (Api::Fetch, 0..=6), (Api::Metadata, 0..=5), (Api::ApiVersions, 0..=1)];
    cluster.set_api_versions(Some(old.to_vec()));
    let servers = cluster.listen_tcp(ListenOptions::default()).await.unwrap();
    let run = tokio::task::spawn_blocking(move || list(&servers)).await.unwrap();
    run.fails(4, &["2.1 or later", "upgrade"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_is_given_up_in_time() {
    let broker = Broker::start(&[]);
    let proxy = Proxy::start(&broker.servers).await.unwrap();
    proxy.black_hole();
    let address = proxy.addr().to_string();
    let started = Instant::now();
    let words = [
        "topic",
        "list",
        "-b",
        &address,
        "-X",
        "request.timeout.ms=300",
        "-X",
        "default.api.timeout.ms=1000",
    ];
    let words = words.map(str::to_owned);
    let run = tokio::task::spawn_blocking(move || logmill(&words.each_ref().map(String::as_str)));
    run.await.unwrap().fails(5, &["did not answer"]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_missing_topic_comes_with_the_command_that_makes_it() {
    let broker = Broker::start(&[]);
    let words = ["topic", "describe", "-b", &broker.servers, "-t", "orders"];
    let told = logmill(&words).fails(3, &["\"orders\" does not exist"]);
    let command = told.split("make it: logmill ").nth(1).unwrap().trim_end();
    logmill(&command.split(' ').collect::<Vec<_>>()).ok();
    logmill(&words).ok();
}

#[test]
fn a_wrong_setting_is_named() {
    logmill(&["topic", "list", "-X", "no.such.setting=1"]).fails(2, &["no.such.setting"]);
    logmill(&["topic", "list", "-X", "request.timeout.ms"]).fails(2, &["NAME=VALUE"]);
}
