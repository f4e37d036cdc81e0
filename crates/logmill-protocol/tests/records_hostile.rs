//! Record batches from a broken or hostile broker: no panic, no memory beyond the limit, and no
//! changed bit that goes unseen.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use logmill_protocol::records::{
    AbortedTransactions, BatchBuilder, BatchError, Batches, Compression, Compressor, Header, Limits,
    NewRecord, Stamp,
};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: Limits = Limits { max_decompressed: 1 << 20 };
/// Where the CRC stands, and what it covers.
const CRC: std::ops::Range<usize> = 17..21;

fn sample(codec: Compression, records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Vec::new());
    for i in 0..records {
        let value = format!("value {} of a batch that compresses", i % 7);
        let record = NewRecord {
            timestamp: 1_700_000_000_000 + i as i64,
            key: (i % 3 != 0).then_some(b"key".as_slice()),
            value: (i % 5 != 0).then_some(value.as_bytes()),
            headers: [Header::new("h", None), Header::new("h", Some(b"x"))].into_iter().take(i % 3),
        };
        builder.append(&record, usize::MAX).unwrap();
    }
    let mut closed = builder.close(&mut Compressor::new(codec, None).unwrap()).unwrap();
    closed.stamp(Stamp::default()).to_vec()
}

/// Reads everything that can be read; what it gives does not matter, that it returns does.
fn exhaust(bytes: &[u8]) -> (usize, Vec<BatchError>) {
    let (mut seen, mut errors) = (0, Vec::new());
    let mut aborted = AbortedTransactions::new([(1, 0), (-1, 3)]);
    for batch in Batches::new(Bytes::copy_from_slice(bytes)) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        aborted.is_visible(&batch);
        match batch.records(LIMIT) {
            Ok(records) => {
                assert!(records.size() <= LIMIT.max_decompressed.max(bytes.len()));
                for record in &records {
                    match record {
                        Ok(record) => {
                            seen += 1 + record.headers.map(|h| h.name().len().min(1)).sum::<usize>()
                        }
                        Err(error) => errors.push(error),
                    }
                }
                records.into_owned().for_each(drop);
            }
            Err(error) => errors.push(error),
        }
    }
    (seen, errors)
}

/// Makes the CRC right again, so that what stands behind it is reached.
fn seal(batch: &mut [u8]) {
    if batch.len() >= 61 {
        let crc = crc32c::crc32c(&batch[21..]);
        batch[CRC].copy_from_slice(&crc.to_be_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_return(bytes in vec(any::<u8>(), 0..300)) {
        exhaust(&bytes);
    }

    #[test]
    fn any_body_behind_a_good_header_returns(
        codec in 0u8..8, count in -1i32..40, delta in -1i32..40, body in vec(any::<u8>(), 0..200),
    ) {
        let mut batch = vec![0; 61];
        batch[8..12].copy_from_slice(&(body.len() as i32 + 49).to_be_bytes());
        batch[16] = 2;
        batch[22] = codec;
        batch[23..27].copy_from_slice(&delta.to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        batch.extend(body);
        seal(&mut batch);
        exhaust(&batch);
    }

    #[test]
    fn damage_behind_the_crc_returns(
        codec in 0usize..5, hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut batch = sample(Compression::ALL[codec], 40);
        for (at, byte) in hits {
            let at = at.index(batch.len());
            // The length stays, or the batch would be cut elsewhere.
            if !(8..12).contains(&at) {
                batch[at] = byte;
            }
        }
        seal(&mut batch);
        exhaust(&batch);
    }

    #[test]
    fn a_cut_anywhere_loses_only_the_cut_batch(cut in any::<prop::sample::Index>(), codec in 0usize..5) {
        let (one, two) = (sample(Compression::ALL[codec], 3), sample(Compression::ALL[codec], 20));
        let whole = [one.clone(), two].concat();
        let cut = cut.index(whole.len());
        let (seen, errors) = exhaust(&whole[..cut]);
        prop_assert!(errors.is_empty(), "{errors:?}");
        prop_assert_eq!(seen > 0, cut >= one.len());
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    for codec in Compression::ALL {
        let good = sample(codec, 12);
        for bit in 0..good.len() * 8 {
            let (at, mask) = (bit / 8, 1 << (bit % 8));
            let mut bad = good.clone();
            bad[at] ^= mask;
            let mut batches = Batches::new(Bytes::from(bad));
            let outcome = batches.next().map(|batch| batch.and_then(|mut batch| batch.verify()));
            match at {
                // Base offset and leader epoch are the broker's to change: no CRC covers them.
                0..8 | 12..16 => assert!(matches!(outcome, Some(Ok(()) | Err(BatchError::Malformed { .. })))),
                // The length: the batch is too short, or seems cut off.
                8..12 => assert!(matches!(outcome, Some(Err(_))) || batches.partial().is_some(), "bit {bit}"),
                _ => assert!(matches!(outcome, Some(Err(_))), "{codec}, bit {bit} of byte {at}"),
            }
        }
    }
}

#[test]
fn old_formats_are_named() {
    for magic in [0, 1, 3, -1i8] {
        let mut batch = sample(Compression::None, 1);
        batch[16] = magic as u8;
        let error = Batches::new(batch.into()).next().unwrap().unwrap_err();
        assert_eq!(error, BatchError::UnsupportedFormat { base_offset: 0, magic });
    }
}

#[test]
fn a_wrong_crc_names_the_batch() {
    let mut batch = sample(Compression::None, 1);
    batch[7] = 42;
    let last = batch.len() - 1;
    batch[last] ^= 1;
    let batch = Batches::new(batch.into()).next().unwrap().unwrap();
    assert!(matches!(batch.records(LIMIT), Err(BatchError::Corrupt { base_offset: 42, .. })));
}

/// A batch that claims `count` records around a body that is not checked by anything but its codec.
fn claiming(codec: Compression, body: &[u8]) -> Bytes {
    let mut batch = vec![0; 61];
    batch[8..12].copy_from_slice(&(body.len() as i32 + 49).to_be_bytes());
    batch[16] = 2;
    batch[22] = codec.id();
    batch[57..61].copy_from_slice(&1i32.to_be_bytes());
    batch.extend_from_slice(body);
    seal(&mut batch);
    batch.into()
}

#[test]
fn declared_sizes_are_not_believed() {
    // Snappy: a block of five bytes that claims 4 GiB. zstd: a frame that announces 2^60 bytes and holds none.
    // LZ4: a content size of 2^63. gzip: a trailer that says 4 GiB.
    let cases: [(Compression, &[u8]); 4] = [
        (Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x01, 0, 0]),
        (Compression::Lz4, &[4, 0x22, 0x4d, 0x18, 0x68, 0x70, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0]),
        (
            Compression::Gzip,
            &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        ),
    ];
    for (codec, body) in cases {
        let batch = Batches::new(claiming(codec, body)).next().unwrap().unwrap();
        match batch.records(LIMIT) {
            // The LZ4 frame is empty, and says so in the end: what is missing is the record.
            Ok(records) => assert!(records.iter().next().unwrap().is_err() && records.size() == 0),
            Err(error) => assert!(matches!(error, BatchError::BadCompression { .. }), "{codec}: {error}"),
        }
    }
}

#[test]
fn both_framings_of_snappy_are_read() {
    let body = &sample(Compression::None, 12)[61..];
    let bare = snap::raw::Encoder::new().compress_vec(body).unwrap();
    let mut batch = claiming(Compression::Snappy, &bare).to_vec();
    batch[23..27].copy_from_slice(&11i32.to_be_bytes());
    batch[57..61].copy_from_slice(&12i32.to_be_bytes());
    seal(&mut batch);
    let batch = Batches::new(batch.into()).next().unwrap().unwrap();
    assert_eq!(batch.records(LIMIT).unwrap().iter().map(Result::unwrap).count(), 12);
}
