//! Record batches against an independent implementation, the `kafka-protocol` crate, both ways. It keeps
//! headers in a map, so the headers here have different names.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, missing_docs)]

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as oracle;
use logmill_protocol::records::{
    BatchBuilder, Batches, Compression, Compressor, Header, Limits, NewRecord, Stamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
struct Plain {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Option<Vec<u8>>>,
}

fn plain() -> impl Strategy<Value = Plain> {
    let bytes = || option::of(vec(any::<u8>(), 0..200));
    (-1_000_000i64..1_000_000, bytes(), bytes(), vec(option::of(vec(any::<u8>(), 0..5)), 0..4))
        .prop_map(|(timestamp, key, value, headers)| Plain { timestamp, key, value, headers })
}

fn name(index: usize) -> String {
    format!("header {index}")
}

fn oracle_codec(codec: Compression) -> oracle::Compression {
    match codec {
        Compression::None => oracle::Compression::None,
        Compression::Gzip => oracle::Compression::Gzip,
        Compression::Snappy => oracle::Compression::Snappy,
        Compression::Lz4 => oracle::Compression::Lz4,
        Compression::Zstd => oracle::Compression::Zstd,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_reads_what_we_write(records in vec(plain(), 1..30), codec in 0usize..5) {
        let mut builder = BatchBuilder::new(Vec::new());
        for record in &records {
            let names: Vec<_> = (0..record.headers.len()).map(name).collect();
            let headers = names.iter().zip(&record.headers).map(|(n, v)| Header::new(n, v.as_deref()));
            let new = NewRecord {
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers,
            };
            builder.append(&new, usize::MAX).unwrap();
        }
        let mut compressor = Compressor::new(Compression::ALL[codec], None).unwrap();
        let stamp = Stamp { producer_id: 9, producer_epoch: 1, base_sequence: 5, ..Stamp::default() };
        let bytes = builder.close(&mut compressor).unwrap().stamp(stamp);
        let read = oracle::RecordBatchDecoder::decode(&mut bytes.clone()).unwrap().records;
        prop_assert_eq!(read.len(), records.len());
        for (index, (read, record)) in read.iter().zip(&records).enumerate() {
            prop_assert_eq!(read.offset, index as i64);
            prop_assert_eq!(read.sequence, 5 + index as i32);
            prop_assert_eq!(read.producer_id, 9);
            let headers = read.headers.values().map(|v| v.as_ref().map(|v| v.to_vec())).collect();
            let read = Plain {
                timestamp: read.timestamp,
                key: read.key.as_ref().map(|k| k.to_vec()),
                value: read.value.as_ref().map(|v| v.to_vec()),
                headers,
            };
            prop_assert_eq!(&read, record);
        }
    }

    #[test]
    fn we_read_what_it_writes(records in vec(plain(), 1..30), codec in 0usize..5) {
        let theirs: Vec<_> = records.iter().enumerate().map(|(index, record)| oracle::Record {
            transactional: false,
            control: false,
            partition_leader_epoch: 4,
            producer_id: 9,
            producer_epoch: 1,
            delete_horizon: false,
            timestamp_type: oracle::TimestampType::Creation,
            offset: 50 + index as i64,
            sequence: 5 + index as i32,
            timestamp: record.timestamp,
            key: record.key.clone().map(Bytes::from),
            value: record.value.clone().map(Bytes::from),
            headers: record.headers.iter().enumerate()
                .map(|(i, v)| (StrBytes::from_string(name(i)), v.clone().map(Bytes::from))).collect(),
        }).collect();
        let mut bytes = BytesMut::new();
        let codec = Compression::ALL[codec];
        let options = oracle::RecordEncodeOptions { version: 2, compression: oracle_codec(codec) };
        oracle::RecordBatchEncoder::encode(&mut bytes, theirs.iter(), &options).unwrap();
        let mut seen = 0;
        for batch in Batches::new(bytes.freeze()) {
            let batch = batch.unwrap();
            prop_assert_eq!(batch.compression(), codec);
            prop_assert_eq!(batch.header().producer_id, 9);
            for read in &batch.records(Limits::default()).unwrap() {
                let read = read.unwrap();
                prop_assert_eq!(read.offset, 50 + seen as i64);
                let names: Vec<_> = read.headers.clone().map(|h| h.name().into_owned()).collect();
                prop_assert_eq!(names, (0..read.headers.len()).map(name).collect::<Vec<_>>());
                let read = Plain {
                    timestamp: read.timestamp,
                    key: read.key.map(<[u8]>::to_vec),
                    value: read.value.map(<[u8]>::to_vec),
                    headers: read.headers.map(|h| h.value.map(<[u8]>::to_vec)).collect(),
                };
                prop_assert_eq!(&read, &records[seen]);
                seen += 1;
            }
        }
        prop_assert_eq!(seen, records.len());
    }
}
