//! Bounded memory, bounded records, bounded time.

use std::time::Duration;

use logmill::{Error, Record};
use logmill_protocol::error::ErrorCode;
use logmill_testkit::{Api, Cluster, ClusterOptions, Fault};

use super::{all_persisted_in_order, cluster, enqueue, logged, producer};

#[tokio::test(start_paused = true)]
async fn a_record_too_large_fails_alone() {
    let cluster = cluster(1);
    let producer = producer(&cluster, &[("max.request.size", "100000"), ("linger.ms", "1000")]).await;
    let mut pending = enqueue(&producer, 0, 0..10).await;
    let huge = "x".repeat(100_000);
    let error = producer.enqueue(Record::to("t").partition(0).value(&huge)).await.unwrap_err();
    assert!(matches!(error.reason(), Error::RecordTooLarge { limit: 100_000, .. }), "{error}");
    assert!(!error.is_possibly_persisted());
    // Larger than a batch, and still taken.
    let large = "7".repeat(99_000);
    let large = producer.enqueue(Record::to("t").partition(0).value(&large)).await.unwrap();
    pending.extend(enqueue(&producer, 0, 11..20).await);
    assert_eq!(large.await.unwrap().offset, 10);
    for pending in pending {
        pending.await.unwrap();
    }
    assert_eq!(cluster.log("t", 0).len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_makes_the_sender_wait_and_loses_nothing() {
    let cluster = cluster(1);
    let small = [("buffer.memory", "40000"), ("batch.size", "10000"), ("max.request.size", "20000")];
    let producer = producer(&cluster, &small).await;
    cluster.on(Api::Produce, Fault::Hang);
    let filled = tokio::time::timeout(Duration::from_secs(3), enqueue(&producer, 0, 0..100_000)).await;
    assert!(filled.is_err(), "it waits while the broker does not answer");
    cluster.clear_faults();
    // What was accepted before the wait was given up is still sent, and in order.
    producer.flush().await.unwrap();
    let log = logged(&cluster, 0);
    assert!(log.len() > 1_000, "{}", log.len());
    assert_eq!(log, (0..log.len() as u32).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn open_batches_are_sent_when_their_memory_is_wanted() {
    let cluster = cluster(8);
    let small = [
        ("buffer.memory", "40000"),
        ("batch.size", "10000"),
        ("max.request.size", "20000"),
        ("linger.ms", "60000"),
        ("delivery.timeout.ms", "120000"),
    ];
    let producer = producer(&cluster, &small).await;
    // Four partitions' batches fill the memory; the fifth needs one of them to be sent.
    let before = tokio::time::Instant::now();
    for partition in 0..8 {
        drop(enqueue(&producer, partition, 0..1).await);
    }
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    producer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_for_room_ends_after_max_block() {
    let cluster = cluster(1);
    let small = [
        ("buffer.memory", "40000"),
        ("batch.size", "40000"),
        ("max.request.size", "40000"),
        ("max.block.ms", "2000"),
    ];
    let producer = producer(&cluster, &small).await;
    cluster.on(Api::Produce, Fault::Hang);
    let mut error = None;
    for n in 0..100_000u32 {
        match producer.enqueue(Record::to("t").partition(0).value(n.to_string())).await {
            Ok(pending) => drop(pending),
            Err(refused) => {
                error = Some(refused);
                break;
            }
        }
    }
    let error = error.unwrap();
    assert!(!error.is_possibly_persisted() && error.to_string().contains("buffer.memory"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn time_runs_out_with_the_truth() {
    let times = [("delivery.timeout.ms", "3000"), ("request.timeout.ms", "1000"), ("linger.ms", "0")];
    // Never stored, and the broker says so.
    let cluster = cluster(1);
    let producer = producer(&cluster, &times).await;
    cluster.on(Api::Produce, Fault::Error(ErrorCode::NotEnoughReplicas));
    let before = tokio::time::Instant::now();
    let error = producer.send(Record::to("t").value("1")).await.unwrap_err();
    assert!(!error.is_possibly_persisted(), "{error}");
    assert!(error.to_string().contains("NOT_ENOUGH_REPLICAS"), "{error}");
    assert!(before.elapsed() <= Duration::from_millis(3_100), "{:?}", before.elapsed());
    // No answer at all: nobody knows.
    cluster.clear_faults();
    cluster.on(Api::Produce, Fault::ApplyThenHang);
    let error = producer.send(Record::to("t").value("2")).await.unwrap_err();
    assert!(error.is_possibly_persisted(), "{error}");
    assert_eq!(logged(&cluster, 0), [2], "and it is there");
    assert!(producer.flush().await.is_err(), "a flush tells of what failed since the last one");
    // And then all goes on.
    cluster.clear_faults();
    producer.send(Record::to("t").value("3")).await.unwrap();
    assert_eq!(logged(&cluster, 0), [2, 3]);
    producer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_producer_dropped_without_close_tells_its_handles() {
    let cluster = cluster(2);
    let producer = producer(&cluster, &[("linger.ms", "1000"), ("delivery.timeout.ms", "120000")]).await;
    producer.send(Record::to("t").partition(0).value("0")).await.unwrap();
    cluster.on(Api::Produce, Fault::ApplyThenHang);
    let sent = enqueue(&producer, 0, 1..2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let unsent = enqueue(&producer, 1, 0..1).await;
    drop(producer);
    for pending in sent {
        assert!(pending.await.unwrap_err().is_possibly_persisted());
    }
    for pending in unsent {
        assert!(!pending.await.unwrap_err().is_possibly_persisted());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_batchs_and_the_next_goes_on() {
    let cluster = cluster(1);
    let producer = producer(&cluster, &[]).await;
    producer.send(Record::to("t").value("0")).await.unwrap();
    for code in [ErrorCode::TopicAuthorizationFailed, ErrorCode::MessageTooLarge, ErrorCode::InvalidRecord] {
        cluster.on_once(Api::Produce, Fault::Error(code));
        let error = producer.send(Record::to("t").value("9")).await.unwrap_err();
        assert!(!error.is_possibly_persisted() && error.to_string().contains(code.name()), "{error}");
    }
    assert!(producer.flush().await.is_err());
    let pending = enqueue(&producer, 0, 1..50).await;
    producer.flush().await.unwrap();
    drop(pending);
    assert_eq!(logged(&cluster, 0), (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn batches_too_large_for_the_topic_go_on_in_halves() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for idempotent in ["true", "false"] {
            let cluster = Cluster::start(ClusterOptions::brokers(1).seed(1));
            // Some five records; a batch has hundreds, and five are in flight.
            cluster.create_topic_with("t", 1, &[("max.message.bytes", "120")]);
            let one_by_one = if idempotent == "true" { "5" } else { "1" };
            let settings = [
                ("compression.type", codec),
                ("batch.size", "2000"),
                ("enable.idempotence", idempotent),
                ("max.in.flight.requests.per.connection", one_by_one),
            ];
            let producer = producer(&cluster, &settings).await;
            let pending = enqueue(&producer, 0, 0..1_000).await;
            producer.flush().await.unwrap();
            all_persisted_in_order(&cluster, 0, pending).await;
            producer.close().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_only_the_record_too_large_for_the_topic_fails() {
    let cluster = Cluster::start(ClusterOptions::brokers(1).seed(1));
    cluster.create_topic_with("t", 1, &[("max.message.bytes", "300")]);
    let producer = producer(&cluster, &[("linger.ms", "1000")]).await;
    let mut before = enqueue(&producer, 0, 0..20).await;
    let huge = producer.enqueue(Record::to("t").partition(0).value("7".repeat(400))).await.unwrap();
    before.extend(enqueue(&producer, 0, 20..50).await);
    let error = huge.await.unwrap_err();
    assert!(!error.is_possibly_persisted(), "{error}");
    assert!(error.to_string().contains("max.message.bytes"), "it says what to do: {error}");
    all_persisted_in_order(&cluster, 0, before).await;
    assert!(producer.flush().await.is_err());
    // The numbers go on without the one that is missing.
    let after = enqueue(&producer, 0, 50..100).await;
    for pending in after {
        pending.await.unwrap();
    }
    assert_eq!(logged(&cluster, 0), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_may_be_stored_is_not_sent_again_in_halves() {
    let cluster = cluster(1);
    let producer = producer(&cluster, &[]).await;
    producer.send(Record::to("t").value("0")).await.unwrap();
    cluster.on_once(Api::Produce, Fault::ApplyThenDisconnect);
    cluster.on_once(Api::Produce, Fault::Error(ErrorCode::MessageTooLarge));
    for pending in enqueue(&producer, 0, 1..10).await {
        let error = pending.await.unwrap_err();
        assert!(error.is_possibly_persisted() && error.to_string().contains("MESSAGE_TOO_LARGE"), "{error}");
    }
    assert_eq!(logged(&cluster, 0), (0..10).collect::<Vec<_>>(), "each once");
}
