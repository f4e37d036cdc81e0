//! Record batches: what is written reads back, for every codec, and each field of the header means
//! what Kafka's documentation says.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use logmill_protocol::records::{
    AbortedTransactions, Batch, BatchBuilder, BatchError, Batches, Compression, Compressor, ControlBatch,
    Decompressor, Header, Limits, MarkerKind, NewRecord, OwnedRecord, Stamp, TimestampType, assign_offsets,
    set_log_append_time,
};

type Plain = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn plain(record: &OwnedRecord) -> Plain {
    let headers = record.headers().map(|h| (h.name().into_owned(), h.value.map(<[u8]>::to_vec))).collect();
    (
        record.offset,
        record.timestamp,
        record.key.as_ref().map(|k| k.to_vec()),
        record.value.as_ref().map(|v| v.to_vec()),
        headers,
    )
}

fn single(bytes: &Bytes) -> Batch {
    let mut batches = Batches::new(bytes.clone());
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none() && batches.partial().is_none());
    batch
}

fn read(bytes: &Bytes) -> Vec<Plain> {
    let records = single(bytes).records(Limits::default()).unwrap();
    let owned: Vec<_> = records.clone().into_owned().map(|r| plain(&r.unwrap())).collect();
    for (borrowed, owned) in records.iter().zip(&owned) {
        let borrowed = borrowed.unwrap();
        assert_eq!((borrowed.offset, borrowed.timestamp), (owned.0, owned.1));
        assert_eq!((borrowed.key, borrowed.value), (owned.2.as_deref(), owned.3.as_deref()));
        assert_eq!(borrowed.headers.len(), owned.4.len());
    }
    owned
}

fn write(records: &[Plain], compressor: &mut Compressor, stamp: Stamp) -> Bytes {
    let mut builder = BatchBuilder::new(Vec::new());
    for (_, timestamp, key, value, headers) in records {
        let record = NewRecord {
            timestamp: *timestamp,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: headers.iter().map(|(k, v)| Header::new(k, v.as_deref())),
        };
        let (before, size) = (builder.len(), builder.size_of(&record));
        builder.append(&record, usize::MAX).unwrap();
        assert_eq!(builder.len() - before, size as usize, "the size is foretold exactly");
    }
    builder.close(compressor).unwrap().stamp(stamp)
}

fn awkward() -> Vec<Plain> {
    let long = "compressible ".repeat(20_000).into_bytes();
    vec![
        (0, 1_000, None, None, vec![]),
        (1, 999, Some(vec![]), Some(vec![]), vec![]),
        (
            2,
            i64::MAX,
            Some(b"k".to_vec()),
            None,
            vec![("a".into(), Some(b"1".to_vec())), ("a".into(), None), ("a".into(), Some(vec![]))],
        ),
        (3, i64::MIN, None, Some(long), vec![(String::new(), None), ("ü".into(), Some(vec![0; 300]))]),
        (4, -1, Some(vec![7; 70_000]), Some(b"v".to_vec()), vec![]),
    ]
}

#[test]
fn every_codec_gives_back_what_was_written() {
    for codec in Compression::ALL {
        let mut compressor = Compressor::new(codec, None).unwrap();
        let stamp = Stamp { producer_id: 7, producer_epoch: 3, base_sequence: 41, ..Stamp::default() };
        for round in 0..3 {
            let bytes = write(&awkward(), &mut compressor, stamp);
            let batch = single(&bytes);
            assert_eq!(batch.compression(), codec, "round {round}");
            let header = batch.header();
            assert_eq!((header.base_offset, header.last_offset_delta, header.record_count), (0, 4, 5));
            assert_eq!((header.base_timestamp, header.max_timestamp), (1_000, i64::MAX));
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, 41));
            assert_eq!(header.partition_leader_epoch, -1);
            assert!(!batch.is_transactional() && !batch.is_control());
            assert_eq!(read(&bytes), awkward(), "{codec}");
        }
    }
}

#[test]
fn levels_are_checked() {
    for (codec, level, fine) in [
        (Compression::Gzip, 1, true),
        (Compression::Gzip, 9, true),
        (Compression::Gzip, 10, false),
        (Compression::Zstd, -5, true),
        (Compression::Zstd, 19, true),
        (Compression::Zstd, 23, false),
        (Compression::Snappy, 1, false),
        (Compression::Lz4, 1, false),
        (Compression::None, 1, false),
    ] {
        match Compressor::new(codec, Some(level)) {
            Ok(mut compressor) => {
                assert!(fine, "{codec} {level}");
                assert_eq!(read(&write(&awkward(), &mut compressor, Stamp::default())), awkward());
            }
            Err(error) => {
                assert!(!fine && matches!(error, BatchError::BadLevel { .. }), "{codec} {level}: {error}")
            }
        }
    }
}

#[test]
fn what_compression_would_enlarge_stays_as_it_is() {
    for codec in Compression::ALL {
        let tiny = vec![(0, 5, None, Some(b"x".to_vec()), vec![])];
        let bytes = write(&tiny, &mut Compressor::new(codec, None).unwrap(), Stamp::default());
        assert_eq!(single(&bytes).compression(), Compression::None);
        assert_eq!(read(&bytes), tiny);
    }
}

#[test]
fn a_batch_is_stamped_anew_for_every_try() {
    let mut builder = BatchBuilder::new(Vec::with_capacity(4096));
    builder.append(&NewRecord::new(1, None, Some(b"v")), usize::MAX).unwrap();
    let mut closed = builder.close(&mut Compressor::none()).unwrap();
    let first =
        closed.stamp(Stamp { producer_id: 1, producer_epoch: 0, base_sequence: 9, ..Stamp::default() });
    // The first try's bytes are still held, so they must not change.
    let kept = first.clone();
    let second = closed.stamp(Stamp {
        producer_id: 2,
        producer_epoch: 1,
        base_sequence: 0,
        transactional: true,
        control: false,
    });
    assert_eq!(first, kept);
    for (bytes, id, sequence) in [(&first, 1, 9), (&second, 2, 0)] {
        let mut batch = single(bytes);
        batch.verify().unwrap();
        assert_eq!((batch.header().producer_id, batch.header().base_sequence), (id, sequence));
    }
    assert!(single(&second).is_transactional());
    drop((first, kept, second));
    let buffer = closed.into_buffer();
    assert!(buffer.is_empty() && buffer.capacity() > 0, "the buffer comes back");
}

#[test]
fn a_record_that_does_not_fit_changes_nothing() {
    let mut builder = BatchBuilder::new(Vec::new());
    let record = NewRecord::new(1, Some(b"key"), Some(&[7; 100]));
    let size = builder.size_of(&record) as usize;
    assert_eq!(builder.append(&record, builder.len() + size), Ok(0));
    let full = builder.len();
    let refused = builder.append(&record, full + size - 1).unwrap_err();
    assert_eq!((refused.size, refused.limit), (full + size, full + size - 1));
    assert_eq!((builder.len(), builder.records()), (full, 1));
    assert_eq!(builder.append(&record, full + size), Ok(1));
    assert_eq!(read(&builder.finish(Stamp::default())).len(), 2);
}

#[test]
fn compaction_leaves_holes_and_empty_batches() {
    let mut builder = BatchBuilder::new(Vec::new());
    builder.skip(3);
    builder.append(&NewRecord::new(1, None, Some(b"a")), usize::MAX).unwrap();
    builder.skip(2);
    builder.append(&NewRecord::new(1, None, Some(b"b")), usize::MAX).unwrap();
    builder.skip(4);
    let mut bytes = Vec::from(builder.finish(Stamp::default()));
    assign_offsets(&mut bytes, 100, 5);
    let bytes = Bytes::from(bytes);
    let batch = single(&bytes);
    assert_eq!(
        (batch.base_offset(), batch.last_offset(), batch.header().partition_leader_epoch),
        (100, 110, 5)
    );
    assert_eq!(read(&bytes).iter().map(|r| r.0).collect::<Vec<_>>(), [103, 106]);

    let mut empty = BatchBuilder::new(Vec::new());
    empty.skip(9);
    let batch = single(&empty.finish(Stamp::default()));
    assert_eq!((batch.record_count(), batch.last_offset(), batch.header().max_timestamp), (0, 8, -1));
    assert_eq!(batch.records(Limits::default()).unwrap().iter().count(), 0);
}

#[test]
fn a_broker_stamps_offsets_and_its_own_time() {
    let mut bytes = Vec::from(write(&awkward()[..2], &mut Compressor::none(), Stamp::default()));
    assign_offsets(&mut bytes, 77, 2);
    set_log_append_time(&mut bytes, 123_456);
    let bytes = Bytes::from(bytes);
    let batch = single(&bytes);
    assert_eq!(batch.header().attributes.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(batch.header().delete_horizon(), None);
    assert_eq!(read(&bytes).iter().map(|r| (r.0, r.1)).collect::<Vec<_>>(), [(77, 123_456), (78, 123_456)]);
}

fn marker(offset: i64, producer_id: i64, commit: bool) -> Bytes {
    let marker = ControlBatch {
        offset,
        leader_epoch: 1,
        timestamp: 9,
        producer_id,
        producer_epoch: 0,
        coordinator_epoch: 4,
        commit,
    };
    marker.encode()
}

fn transactional(offset: i64, producer_id: i64, records: u32) -> Bytes {
    let mut builder = BatchBuilder::new(Vec::new());
    for _ in 0..records {
        builder.append(&NewRecord::new(1, None, Some(b"t")), usize::MAX).unwrap();
    }
    let stamp = Stamp {
        producer_id,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: producer_id >= 0,
        control: false,
    };
    let mut bytes = Vec::from(builder.finish(stamp));
    assign_offsets(&mut bytes, offset, 1);
    bytes.into()
}

#[test]
fn markers_read_back() {
    for commit in [true, false] {
        let batch = single(&marker(5, 12, commit));
        let read = batch.marker().unwrap();
        assert_eq!(read.kind, if commit { MarkerKind::Commit } else { MarkerKind::Abort });
        assert_eq!(read.coordinator_epoch, 4);
        assert_eq!((batch.base_offset(), batch.header().producer_id), (5, 12));
    }
    assert_eq!(single(&transactional(0, 1, 1)).marker(), None);
}

#[test]
fn aborted_records_are_not_visible_and_committed_ones_are() {
    // Producer 1 aborts 0..=2 and commits 10..=11; producer 2 commits; -1 has no transaction.
    let log = [
        (transactional(0, 1, 2), false),
        (transactional(2, 2, 1), true),
        (transactional(3, 1, 1), false),
        (transactional(4, -1, 1), true),
        (marker(5, 1, false), false),
        (marker(6, 2, true), false),
        (transactional(7, 1, 2), true),
        (transactional(9, 2, 1), false),
        (marker(10, 1, true), false),
        (marker(11, 2, false), false),
        (transactional(12, 2, 1), true),
    ];
    let mut aborted = AbortedTransactions::new([(2, 9), (1, 0)]);
    for (bytes, visible) in &log {
        let batch = single(bytes);
        assert_eq!(aborted.is_visible(&batch), *visible, "at offset {}", batch.base_offset());
    }
}

#[test]
fn a_response_ends_cleanly_where_its_last_batch_is_cut_off() {
    let batches = [write(&awkward(), &mut Compressor::none(), Stamp::default()), transactional(5, 1, 3)];
    let whole = batches.concat();
    let first = batches[0].len();
    for cut in first..whole.len() {
        let mut iter = Batches::new(Bytes::copy_from_slice(&whole[..cut]));
        assert_eq!(iter.next().unwrap().unwrap().last_offset(), 4);
        assert!(iter.next().is_none(), "cut at {cut}");
        match iter.partial() {
            None => assert_eq!(cut, first),
            Some(partial) => {
                assert_eq!(partial.present, cut - first);
                assert_eq!(partial.claimed, (cut - first >= 12).then_some(batches[1].len()));
            }
        }
    }
    assert_eq!(Batches::new(whole.into()).map(Result::unwrap).count(), 2);
}

#[test]
fn one_decompressor_serves_all_codecs_and_keeps_the_limit() {
    let mut decompressor = Decompressor::new(Limits { max_decompressed: 400_000 });
    let big = vec![(0, 0, None, Some(vec![0; 4_000_000]), vec![])];
    for codec in Compression::ALL {
        let mut compressor = Compressor::new(codec, None).unwrap();
        let fits = write(&awkward(), &mut compressor, Stamp::default());
        assert_eq!(single(&fits).records_with(&mut decompressor).unwrap().iter().count(), 5, "{codec}");
        let bomb = write(&big, &mut compressor, Stamp::default());
        let outcome = single(&bomb).records_with(&mut decompressor).map(|records| records.size());
        match codec {
            Compression::None => assert!(outcome.is_ok(), "nothing is decompressed, nothing grows"),
            _ => assert_eq!(outcome.unwrap_err(), BatchError::TooLarge { base_offset: 0, limit: 400_000 }),
        }
    }
}
