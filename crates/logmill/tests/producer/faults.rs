//! What goes wrong between a producer and a broker: no loss, no duplicate, no change of order.

use std::time::Duration;

use logmill::Record;
use logmill_protocol::error::ErrorCode;
use logmill_testkit::{Api, Fault, Rule};

use super::{all_persisted_in_order, cluster, enqueue, logged, producer};

/// Batches of a few records, so that several are in flight.
const SMALL: &[(&str, &str)] = &[("batch.size", "200"), ("linger.ms", "1")];

/// Each fault strikes each of the first requests of a window of five in flight.
async fn strike_each(fault: Fault, times: u64) {
    for after in 0..6 {
        let cluster = cluster(1);
        let producer = producer(&cluster, SMALL).await;
        producer.send(Record::to("t").partition(0).value("0")).await.unwrap();
        cluster.inject(Rule::new(Api::Produce, fault.clone()).after(after).times(times));
        let pending = enqueue(&producer, 0, 1..400).await;
        for (n, pending) in pending.into_iter().enumerate() {
            let ack = pending.await;
            assert!(ack.is_ok(), "{fault:?} after {after}: record {n}: {ack:?}");
        }
        assert_eq!(logged(&cluster, 0), (0..400).collect::<Vec<_>>(), "{fault:?} after {after}");
        producer.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_that_pass_keep_the_order() {
    for code in [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::NotEnoughReplicas,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::RequestTimedOut,
        ErrorCode::KafkaStorageError,
        ErrorCode::CorruptMessage,
    ] {
        for times in [1, 2, 5] {
            strike_each(Fault::Error(code), times).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_after_the_append_make_no_duplicate() {
    for code in
        [ErrorCode::NotEnoughReplicasAfterAppend, ErrorCode::RequestTimedOut, ErrorCode::NotLeaderOrFollower]
    {
        for times in [1, 3] {
            strike_each(Fault::ApplyThenError(code), times).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_make_no_duplicate() {
    for fault in
        [Fault::Disconnect, Fault::ApplyThenDisconnect, Fault::CutShort, Fault::ApplyThenHang, Fault::Hang]
    {
        for times in [1, 3] {
            strike_each(fault.clone(), times).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sequence_errors_are_recovered_from() {
    for code in [
        ErrorCode::OutOfOrderSequenceNumber,
        ErrorCode::UnknownProducerId,
        ErrorCode::InvalidProducerEpoch,
        ErrorCode::ProducerFenced,
    ] {
        for times in [1, 2] {
            strike_each(Fault::Error(code), times).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_the_broker_has_counts_as_persisted() {
    let cluster = cluster(1);
    let producer = producer(&cluster, SMALL).await;
    cluster.on_once(Api::Produce, Fault::ApplyThenError(ErrorCode::DuplicateSequenceNumber));
    let ack = producer.send(Record::to("t").value("0")).await.unwrap();
    assert_eq!(ack.offset, -1);
    assert_eq!(logged(&cluster, 0), [0]);
}

#[tokio::test(start_paused = true)]
async fn the_first_batch_that_fails_is_not_overtaken() {
    // A partition that does not know the producer takes any sequence number: the first batch travels
    // alone, or the second would be stored in front of it.
    let cluster = cluster(1);
    let producer = producer(&cluster, SMALL).await;
    cluster.on_times(Api::Produce, 2, Fault::Error(ErrorCode::NotEnoughReplicas));
    let pending = enqueue(&producer, 0, 0..200).await;
    all_persisted_in_order(&cluster, 0, pending).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_leader_and_a_move_keep_every_partition_in_order() {
    let cluster = cluster(6);
    let producer = producer(&cluster, SMALL).await;
    let mut all: Vec<Vec<_>> = (0..6).map(|_| Vec::new()).collect();
    for round in 0..20u32 {
        for partition in 0..6 {
            let records = enqueue(&producer, partition, round * 50..round * 50 + 50).await;
            all[partition as usize].extend(records);
        }
        match round {
            3 => cluster.crash(1),
            6 => cluster.restart(1),
            8 => (0..6).for_each(|partition| cluster.move_leader("t", partition, 1)),
            11 => cluster.crash(2),
            13 => cluster.restart(2),
            15 => (0..6).for_each(|partition| cluster.move_leader("t", partition, 1 + partition % 3)),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(u64::from(round) % 4)).await;
    }
    for (partition, pending) in all.into_iter().enumerate() {
        all_persisted_in_order(&cluster, partition as i32, pending).await;
    }
    producer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_partitions_trouble_is_not_anothers() {
    let cluster = cluster(2);
    let producer = producer(&cluster, SMALL).await;
    let fault = Fault::Error(ErrorCode::NotEnoughReplicas);
    cluster.inject(Rule::new(Api::Produce, fault).partition("t", 0));
    let stuck = enqueue(&producer, 0, 0..20).await;
    let free = enqueue(&producer, 1, 0..100).await;
    all_persisted_in_order(&cluster, 1, free).await;
    assert!(logged(&cluster, 0).is_empty());
    cluster.clear_faults();
    all_persisted_in_order(&cluster, 0, stuck).await;
}

#[tokio::test(start_paused = true)]
async fn the_brokers_may_be_old() {
    use logmill_testkit::Api::{ApiVersions, InitProducerId, Metadata, Produce};
    let cluster = cluster(1);
    let kafka_2_1 = [
        (ApiVersions, 0..=2),
        (Metadata, 0..=7),
        (Produce, 0..=7),
        (InitProducerId, 0..=1),
        (Api::Fetch, 0..=10),
    ];
    cluster.set_api_versions(Some(kafka_2_1.to_vec()));
    let producer = producer(&cluster, SMALL).await;
    let pending = enqueue(&producer, 0, 0..300).await;
    all_persisted_in_order(&cluster, 0, pending).await;
}
