//! What is stored, what is refused, what is stored only once.

use bytes::Bytes;
use logmill_protocol::error::ErrorCode;
use logmill_protocol::records::{BatchBuilder, Compression, Compressor, NewRecord, Stamp};
use logmill_testkit::{Cluster, ClusterOptions};

use crate::wire::{Wire, batch, numbered, plain, produce_request, values};

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("t", 1);
    cluster
}

#[tokio::test(start_paused = true)]
async fn batches_are_stored_as_sent_with_offsets_and_epoch_written_in() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    cluster.move_leader("t", 0, 1);
    assert_eq!(wire.produce("t", 0, plain(&["a", "b"])).await.base_offset, 0);
    assert_eq!(wire.produce("t", 0, plain(&["c"])).await.base_offset, 2);
    let log = cluster.log("t", 0);
    assert_eq!(
        log.iter().map(|r| (r.offset, r.timestamp)).collect::<Vec<_>>(),
        [(0, 1000), (1, 1001), (2, 1000)]
    );
    assert!(log.iter().all(|record| record.leader_epoch == 1));
    assert_eq!(cluster.high_watermark("t", 0), 3);
    // But for base offset and epoch, which the checksum does not cover, the bytes are the producer's.
    let raw = cluster.raw_log("t", 0);
    let sent = plain(&["a", "b"]);
    assert_eq!(raw[8..12], sent[8..12]);
    assert_eq!(raw[16..sent.len()], sent[16..]);
}

#[tokio::test(start_paused = true)]
async fn every_codec_is_checked_and_kept() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let text = "x".repeat(1000);
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(Vec::new());
        builder.append(&NewRecord::new(1, Some(b"k"), Some(text.as_bytes())), usize::MAX).unwrap();
        let mut compressor = Compressor::new(codec, None).unwrap();
        let bytes = builder.close(&mut compressor).unwrap().stamp(Stamp::default());
        assert_eq!(wire.produce("t", 0, bytes.clone()).await.error_code, 0, "{codec}");
        if codec != Compression::None {
            // Compressed bytes that are no such thing, under a checksum that is right.
            let mut broken = bytes.to_vec();
            broken.truncate(bytes.len() - 4);
            let length = (broken.len() - 12) as u32;
            broken[8..12].copy_from_slice(&length.to_be_bytes());
            let crc = crc32c::crc32c(&broken[21..]);
            broken[17..21].copy_from_slice(&crc.to_be_bytes());
            let refused = wire.produce("t", 0, broken.into()).await;
            assert_eq!(refused.error_code, ErrorCode::CorruptMessage.code(), "{codec}");
        }
    }
    assert_eq!(values(&cluster, "t", 0), vec![text; 5]);
}

#[tokio::test(start_paused = true)]
async fn damaged_batches_are_refused() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let good = plain(&["a", "b"]);
    let mut refused = async |bytes: Bytes| ErrorCode::from(wire.produce("t", 0, bytes).await.error_code);
    for at in 17..good.len() {
        let mut flipped = good.to_vec();
        flipped[at] ^= 0x10;
        assert_eq!(refused(flipped.into()).await, ErrorCode::CorruptMessage, "byte {at}");
    }
    assert_eq!(refused(good.slice(..good.len() - 1)).await, ErrorCode::CorruptMessage);
    assert_eq!(refused(Bytes::new()).await, ErrorCode::CorruptMessage);
    let two = [&good[..], &good[..]].concat();
    assert_eq!(refused(two.into()).await, ErrorCode::InvalidRecord);
    let mut old = good.to_vec();
    old[16] = 1;
    assert_eq!(refused(old.into()).await, ErrorCode::UnsupportedForMessageFormat);
    let control = Stamp { control: true, ..Stamp::default() };
    assert_eq!(refused(batch(&["a"], control)).await, ErrorCode::InvalidRecord);
    let mut holes = BatchBuilder::new(Vec::new());
    holes.skip(3);
    holes.append(&NewRecord::new(1, None, None), usize::MAX).unwrap();
    assert_eq!(refused(holes.finish(Stamp::default())).await, ErrorCode::InvalidRecord);
    assert_eq!(cluster.high_watermark("t", 0), 0);
}

#[tokio::test(start_paused = true)]
async fn limits_of_size_memory_and_replicas_are_held() {
    let mut options = ClusterOptions::brokers(3);
    options.memory_limit = 3000;
    let cluster = Cluster::start(options);
    cluster.create_topic_with("small", 1, &[("max.message.bytes", "1000"), ("min.insync.replicas", "2")]);
    cluster.create_topic_with("short", 1, &[("retention.bytes", "500")]);
    let leader = cluster.leader("small", 0).unwrap();
    let mut wire = Wire::to(&cluster, leader);
    let big = plain(&["x".repeat(1000).as_str()]);
    let code = wire.produce("small", 0, big).await.error_code;
    assert_eq!(code, ErrorCode::MessageTooLarge.code());

    for id in (1..=3).filter(|&id| id != leader) {
        cluster.crash(id);
    }
    let code = wire.produce("small", 0, plain(&["a"])).await.error_code;
    assert_eq!(code, ErrorCode::NotEnoughReplicas.code());
    cluster.restart(leader % 3 + 1);
    assert_eq!(wire.produce("small", 0, plain(&["a"])).await.error_code, 0);

    let leader = cluster.leader("short", 0).unwrap();
    let mut wire = Wire::to(&cluster, leader);
    for _ in 0..20 {
        assert_eq!(wire.produce("short", 0, plain(&["x".repeat(200).as_str()])).await.error_code, 0);
    }
    assert_eq!(cluster.log_start("short", 0), 19, "one batch of 300 bytes fits into 500");
    let leader = cluster.leader("small", 0).unwrap();
    let mut wire = Wire::to(&cluster, leader);
    let mut codes = Vec::new();
    for _ in 0..10 {
        codes.push(wire.produce("small", 0, plain(&["x".repeat(500).as_str()])).await.error_code);
    }
    assert!(codes.contains(&0) && codes.ends_with(&[ErrorCode::KafkaStorageError.code()]), "{codes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_sent_again_is_answered_and_not_stored_again() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    for sequence in 0..6 {
        let stored = wire.produce("t", 0, batch(&["v"], numbered(7, 0, sequence))).await;
        assert_eq!((stored.error_code, stored.base_offset), (0, i64::from(sequence)));
    }
    for sequence in 1..6 {
        let again = wire.produce("t", 0, batch(&["v"], numbered(7, 0, sequence))).await;
        assert_eq!((again.error_code, again.base_offset), (0, i64::from(sequence)), "one of the last five");
    }
    let mut code = async |stamp| ErrorCode::from(wire.produce("t", 0, batch(&["v"], stamp)).await.error_code);
    assert_eq!(code(numbered(7, 0, 0)).await, ErrorCode::OutOfOrderSequenceNumber, "forgotten");
    assert_eq!(code(numbered(7, 0, 7)).await, ErrorCode::OutOfOrderSequenceNumber, "a gap");
    assert_eq!(code(numbered(7, 1, 3)).await, ErrorCode::OutOfOrderSequenceNumber, "a new epoch begins at 0");
    assert_eq!(code(numbered(7, 1, 0)).await, ErrorCode::None);
    assert_eq!(code(numbered(7, 0, 6)).await, ErrorCode::InvalidProducerEpoch);
    assert_eq!(
        code(numbered(8, 0, i32::MAX)).await,
        ErrorCode::None,
        "an unknown producer may start anywhere"
    );
    assert_eq!(code(numbered(8, 0, 0)).await, ErrorCode::None, "sequences wrap to 0");
    assert_eq!(cluster.high_watermark("t", 0), 9);
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_stores_and_others_tell_who_leads() {
    let cluster = Cluster::start(ClusterOptions::brokers(3));
    cluster.create_topic("t", 1);
    let leader = cluster.leader("t", 0).unwrap();
    let other = leader % 3 + 1;
    let mut wire = Wire::to(&cluster, other);
    let response = wire.call(&produce_request("t", 0, plain(&["a"])), 10).await;
    let refused = &response.responses[0].partition_responses[0];
    assert_eq!(refused.error_code, ErrorCode::NotLeaderOrFollower.code());
    assert_eq!(refused.current_leader.leader_id, leader);
    assert_eq!(response.node_endpoints[0].node_id, leader);
    cluster.move_leader("t", 0, other);
    assert_eq!(wire.produce("t", 0, plain(&["a"])).await.error_code, 0);
    let code = wire.produce("none", 0, plain(&["a"])).await.error_code;
    assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code());
    let code = wire.produce("t", 1, plain(&["a"])).await.error_code;
    assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code());
}

#[tokio::test(start_paused = true)]
async fn acks_0_is_not_answered_and_an_error_closes_the_connection() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let mut silent = produce_request("t", 0, plain(&["a"]));
    silent.acks = 0;
    wire.send(&silent, 9).await;
    // The next answer is that of the next request.
    assert_eq!(wire.produce("t", 0, plain(&["b"])).await.base_offset, 1);
    silent.topic_data[0].name = "none".into();
    assert!(wire.try_call(&silent, 9).await.is_none());
    let mut odd = produce_request("t", 0, plain(&["a"]));
    odd.acks = 2;
    let response = Wire::to(&cluster, 1).call(&odd, 9).await;
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::InvalidRequiredAcks.code());
}

#[tokio::test(start_paused = true)]
async fn topics_are_named_by_id_from_version_13_on() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let mut request = produce_request("", 0, plain(&["a"]));
    request.topic_data[0].topic_id = cluster.topic_id("t").unwrap();
    let response = wire.call(&request, 13).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    cluster.delete_topic("t");
    cluster.create_topic("t", 1);
    let response = wire.call(&request, 13).await;
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::UnknownTopicId.code(), "it is another topic now");
}
