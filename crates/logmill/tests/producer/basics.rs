//! Sending when nothing fails.

use std::time::Duration;

use logmill::{Error, Producer, Record};
use logmill_testkit::{Api, Cluster, ClusterOptions};

use super::{all_persisted_in_order, cluster, enqueue, logged, producer};

#[tokio::test(start_paused = true)]
async fn a_record_arrives_as_it_was_given_and_its_ack_says_where() {
    let cluster = cluster(3);
    let producer = producer(&cluster, &[]).await;
    let full =
        Record::to("t").partition(1).key("k").value("v").header("h", "1").null_header("h").timestamp(5);
    let ack = producer.send(full).await.unwrap();
    assert_eq!((ack.partition, ack.offset, ack.timestamp), (1, 0, 5));
    let tombstone = producer.send(Record::to("t").partition(1).key("k")).await.unwrap();
    assert_eq!(tombstone.offset, 1);
    assert!((1_700_000_000_000..1_700_000_001_000).contains(&tombstone.timestamp), "{tombstone:?}");

    let log = cluster.log("t", 1);
    assert_eq!((log[0].key.as_deref(), log[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"v"[..])));
    let headers: Vec<_> = log[0].headers.iter().map(|(k, v)| (&k[..], v.as_deref())).collect();
    assert_eq!(headers, [(&b"h"[..], Some(&b"1"[..])), (b"h", None)]);
    assert_eq!((log[1].key.as_deref(), log[1].value.as_deref()), (Some(&b"k"[..]), None));
    assert!(log[0].producer_id >= 0, "idempotent by default");
    producer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_codec_and_every_acks_arrives() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for acks in ["all", "1", "0"] {
            let cluster = cluster(1);
            let producer = producer(&cluster, &[("compression.type", codec), ("acks", acks)]).await;
            let pending = enqueue(&producer, 0, 0..5_000).await;
            producer.close().await.unwrap();
            if acks == "0" {
                for pending in pending {
                    assert_eq!(pending.await.unwrap().offset, -1, "no broker told");
                }
                // What was handed to the connection is on its way.
                while logged(&cluster, 0).len() < 5_000 {
                    tokio::task::yield_now().await;
                }
            } else {
                all_persisted_in_order(&cluster, 0, pending).await;
            }
            assert_eq!(logged(&cluster, 0), (0..5_000).collect::<Vec<_>>(), "{codec}, acks={acks}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_request_per_broker_carries_all_its_partitions() {
    let cluster = cluster(30);
    let producer = producer(&cluster, &[]).await;
    // Once, so that producer id, leaders and connections are there.
    for partition in 0..30 {
        producer.send(Record::to("t").partition(partition).value("0")).await.unwrap();
    }
    let before = cluster.calls(Api::Produce);
    let mut pending = Vec::new();
    for partition in 0..30 {
        pending.extend(enqueue(&producer, partition, 1..2).await);
    }
    for pending in pending {
        pending.await.unwrap();
    }
    assert_eq!(cluster.calls(Api::Produce) - before, 3, "one for each of three brokers");
}

#[tokio::test(start_paused = true)]
async fn records_without_key_spread_over_the_partitions_and_keys_stay_together() {
    let cluster = cluster(4);
    let producer = producer(&cluster, &[("batch.size", "1000")]).await;
    for n in 0..2_000 {
        drop(producer.enqueue(Record::to("t").value(n.to_string())).await.unwrap());
    }
    producer.flush().await.unwrap();
    let counts: Vec<_> = (0..4).map(|partition| cluster.log("t", partition).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 2_000);
    assert!(counts.iter().all(|&count| count > 200), "{counts:?}");

    let key = |n: u32| format!("key {}", n % 7);
    let mut partitions = std::collections::BTreeMap::new();
    for n in 0..200 {
        let ack = producer.send(Record::to("t").key(key(n)).value("1")).await.unwrap();
        assert_eq!(*partitions.entry(key(n)).or_insert(ack.partition), ack.partition);
    }
}

#[tokio::test(start_paused = true)]
async fn closing_sends_what_was_accepted_and_takes_nothing_more() {
    let cluster = cluster(1);
    let producer = producer(&cluster, &[("linger.ms", "60000")]).await;
    let pending = enqueue(&producer, 0, 0..100).await;
    assert!(logged(&cluster, 0).is_empty(), "they linger");
    producer.clone().close().await.unwrap();
    all_persisted_in_order(&cluster, 0, pending).await;
    let error = producer.send(Record::to("t").value("late")).await.unwrap_err();
    assert!(!error.is_possibly_persisted() && matches!(error.reason(), Error::Closed { .. }), "{error}");
    producer.flush().await.unwrap();
    producer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_later_is_found() {
    let cluster = Cluster::start(ClusterOptions::brokers(1).seed(1));
    let producer = producer(&cluster, &[("metadata.max.age.ms", "1000")]).await;
    let error = producer.send(Record::to("t").value("1")).await.unwrap_err();
    assert!(matches!(error.reason(), Error::UnknownTopic { .. }), "{error}");
    cluster.create_topic("t", 1);
    producer.send(Record::to("t").value("1")).await.unwrap();
    let error = producer.send(Record::to("t").partition(1).value("1")).await.unwrap_err();
    assert!(error.to_string().contains("the topic has 1 partitions"), "{error}");
}

/// Where each of ten keys goes in a topic of so many partitions.
async fn places(cluster: &Cluster, producer: &Producer, partitions: i32) -> Vec<i32> {
    let topic = format!("of-{partitions}");
    cluster.create_topic(&topic, partitions);
    let mut places = Vec::new();
    for key in 0..10 {
        places.push(producer.send(Record::to(&topic).key(key.to_string())).await.unwrap().partition);
    }
    places
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_grows_while_it_is_written_to_is_used_whole() {
    let cluster = cluster(2);
    let producer = producer(&cluster, &[("metadata.max.age.ms", "1000"), ("batch.size", "500")]).await;
    let (before, after) = (places(&cluster, &producer, 2).await, places(&cluster, &producer, 5).await);
    let (mut keyed, mut without_key) = (Vec::new(), Vec::new());
    // A round takes ten milliseconds: it grows after a second, and two seconds later that is long known.
    let (grows, known, end) = (100, 300, 500);
    for round in 0..end {
        if round == grows {
            cluster.add_partitions("t", 5);
        }
        for n in 0..20 {
            let record = Record::to("t").value((round * 100 + n).to_string());
            without_key.push(producer.enqueue(record).await.unwrap());
        }
        let (key, value) = ((round % 10).to_string(), (round * 100 + 99).to_string());
        keyed.push(producer.enqueue(Record::to("t").key(key).value(value)).await.unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    producer.flush().await.unwrap();

    let mut reached = [0; 5];
    for pending in without_key {
        reached[pending.await.unwrap().partition as usize] += 1;
    }
    assert!(reached.iter().all(|&count| count > 100), "{reached:?}");
    let mut has_grown = false;
    for (round, pending) in keyed.into_iter().enumerate() {
        let partition = pending.await.unwrap().partition;
        has_grown |= partition != before[round % 10];
        let expected = if has_grown || round >= known { &after } else { &before };
        // Keys that both put into one place do not tell when it was learnt.
        assert!(partition == expected[round % 10], "round {round}: {partition}");
        assert!(!has_grown || round >= grows, "round {round}");
    }
    let mut stored: Vec<_> = (0..5).flat_map(|partition| logged(&cluster, partition)).collect();
    stored.sort_unstable();
    let sent = (0..end as u32).flat_map(|round| (0..20).chain([99]).map(move |n| round * 100 + n));
    assert!(stored.into_iter().eq(sent), "each once");
}

#[tokio::test(start_paused = true)]
async fn the_default_is_a_thread_of_its_own() {
    let cluster = cluster(2);
    let brokers = cluster.listen_tcp(Default::default()).await.unwrap();
    tokio::time::resume();
    let producer = Producer::builder().brokers(brokers).build().await.unwrap();
    let mut pending = Vec::new();
    for n in 0..10_000 {
        pending.push(producer.enqueue(Record::to("t").value(n.to_string())).await.unwrap());
    }
    for pending in pending {
        pending.await.unwrap();
    }
    assert_eq!((0..2).map(|partition| cluster.log("t", partition).len()).sum::<usize>(), 10_000);
    producer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn settings_are_checked_when_it_is_built() {
    let error = Producer::builder().brokers("x:1").set("linger", "5").build().await.unwrap_err();
    assert!(error.to_string().contains("did you mean linger.ms?"), "{error}");
    let error = Producer::builder().brokers("x:1").set("acks", "2").build().await.unwrap_err();
    assert!(error.to_string().contains("one of all, -1, 0, 1"), "{error}");
}
