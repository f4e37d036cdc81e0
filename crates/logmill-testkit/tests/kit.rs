//! Kit: brokers, store and topics in one call.
#![allow(clippy::unwrap_used)]

use logmill_testkit::launch::{KafkaOptions, RedisOptions, Software, skipped};
use logmill_testkit::{ClusterOptions, Kit};
use tokio::net::TcpStream;

#[tokio::test]
async fn embedded_brokers_listen_and_are_gone_with_the_kit() {
    let kit = Kit::builder().brokers(3).topic("orders", 6).start().await.unwrap();
    let addresses: Vec<String> = kit.bootstrap().split(',').map(str::to_owned).collect();
    assert_eq!(addresses.len(), 3);
    for address in &addresses {
        TcpStream::connect(address).await.unwrap();
    }
    let cluster = kit.cluster().unwrap();
    assert_eq!(cluster.produce("orders", 5, ["first"]), 0);
    assert_eq!(kit.redis_url(), None);
    drop(kit);
    for address in &addresses {
        // The listeners are tasks of this runtime: they end when it turns to them.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_process_no_port_is_bound() {
    let options = ClusterOptions::brokers(2).seed(3);
    let kit = Kit::builder().cluster_options(options).in_process().topic("orders", 1).start().await.unwrap();
    assert_eq!(kit.bootstrap(), "broker-1.embedded:9092,broker-2.embedded:9092");
    assert!(kit.cluster().unwrap().dial("broker-2.embedded", 9092).is_ok());
}

#[tokio::test]
async fn redis_stands_beside_the_brokers() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut kit = Kit::builder().redis(RedisOptions::default()).start().await.unwrap();
    assert!(kit.redis_url().unwrap().starts_with("redis://127.0.0.1:"));
    let answer = kit.redis().unwrap().cli(&["PING"]).await.unwrap();
    assert_eq!(answer.trim(), "PONG");
}

#[tokio::test]
async fn real_kafka_takes_the_embedded_brokers_place() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let mut kit =
        Kit::builder().real_kafka(KafkaOptions::default()).topic("orders", 2).start().await.unwrap();
    assert!(kit.cluster().is_none());
    TcpStream::connect(kit.bootstrap()).await.unwrap();
    let folder = kit.kafka().unwrap().folder().to_path_buf();
    assert!(folder.exists());
    drop(kit);
    assert!(!folder.exists());
}
