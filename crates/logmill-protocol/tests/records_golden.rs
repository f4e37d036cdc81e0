//! Batches that Kafka's Java client wrote (`cargo xtask golden`), read record by record.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use logmill_protocol::records::{Batch, Batches, Compression, Limits, MarkerKind, TimestampType};

const TIME: i64 = 1_700_000_000_000;

fn golden(bytes: &'static [u8]) -> Batch {
    let mut batches = Batches::new(Bytes::from_static(bytes));
    let mut batch = batches.next().unwrap().unwrap();
    batch.verify().unwrap();
    assert!(batches.next().is_none() && batches.partial().is_none());
    batch
}

#[test]
fn every_codec_of_the_java_client_is_read() {
    let files: [&[u8]; 5] = [
        include_bytes!("golden/none.batch"),
        include_bytes!("golden/gzip.batch"),
        include_bytes!("golden/snappy.batch"),
        include_bytes!("golden/lz4.batch"),
        include_bytes!("golden/zstd.batch"),
    ];
    for (file, codec) in files.into_iter().zip(Compression::ALL) {
        // Several blocks, where the codec has blocks.
        let length = if codec == Compression::None { 1_000 } else { 150_000u32 };
        let large: Vec<u8> = (0..length).map(|i| (i / 64 * 7 + i % 5) as u8).collect();
        let batch = golden(file);
        assert_eq!(batch.compression(), codec);
        let header = batch.header();
        assert_eq!((header.base_offset, header.last_offset(), header.record_count), (100, 103, 4));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, 41));
        assert_eq!((header.base_timestamp, header.max_timestamp), (TIME, TIME + 1_000_000));
        assert_eq!(header.partition_leader_epoch, 2);
        assert!(batch.is_transactional() && !batch.is_control());

        let records = batch.records(Limits::default()).unwrap();
        let all: Vec<_> = records.iter().map(Result::unwrap).collect();
        let bare: Vec<_> = all.iter().map(|r| (r.offset, r.timestamp, r.key, r.value)).collect();
        assert_eq!(bare[0], (100, TIME, None, None));
        assert_eq!(bare[1], (101, TIME - 5, Some(&b""[..]), Some(&b""[..])));
        assert_eq!(bare[2], (102, TIME + 1_000_000, Some(&b"key"[..]), None));
        assert_eq!(bare[3], (103, TIME, None, Some(&large[..])), "{codec}");
        let headers: Vec<_> = all[2].headers.clone().map(|h| (h.name().into_owned(), h.value)).collect();
        let a = || "a".to_owned();
        let expected =
            [(a(), Some(&b"1"[..])), (a(), None), (a(), Some(&b""[..])), ("ü".into(), Some(&[0, 0xff][..]))];
        assert_eq!(headers, expected);
        assert_eq!(all[0].headers.len() + all[1].headers.len() + all[3].headers.len(), 0);
    }
}

#[test]
fn the_brokers_time_counts_where_the_topic_says_so() {
    let batch = golden(include_bytes!("golden/log-append-time.batch"));
    let records = batch.records(Limits::default()).unwrap();
    assert_eq!(records.timestamp_type(), TimestampType::LogAppendTime);
    let seen: Vec<_> =
        records.iter().map(Result::unwrap).map(|r| (r.offset, r.timestamp, r.value.unwrap()[0])).collect();
    assert_eq!(seen, [(5, TIME + 9, b'v'), (6, TIME + 9, b'w')]);
}

#[test]
fn holes_keep_their_offsets() {
    let batch = golden(include_bytes!("golden/holes.batch"));
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.record_count()), (100, 105, 2));
    let records = batch.records(Limits::default()).unwrap();
    assert_eq!(records.iter().map(|r| r.unwrap().offset).collect::<Vec<_>>(), [102, 105]);
}

#[test]
fn markers_say_how_the_transaction_ended() {
    let cases = [
        (&include_bytes!("golden/commit.batch")[..], MarkerKind::Commit),
        (&include_bytes!("golden/abort.batch")[..], MarkerKind::Abort),
    ];
    for (file, kind) in cases {
        let batch = golden(file);
        assert!(batch.is_control() && batch.is_transactional());
        let marker = batch.marker().unwrap();
        assert_eq!((marker.kind, marker.coordinator_epoch, batch.header().producer_id), (kind, 11, 7));
    }
}
