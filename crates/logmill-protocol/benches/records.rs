//! What a record costs to write and to read: `cargo bench -p logmill-protocol`. Prints nanoseconds per
//! record, the best of several rounds, for batches of 600 records of 100 bytes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use logmill_protocol::records::{
    BatchBuilder, Batches, Compression, Compressor, Decompressor, Limits, NewRecord, Stamp,
};

const RECORDS: usize = 600;
const ROUNDS: usize = 30;
const BATCHES: usize = 100;

/// The best round's time per record, in nanoseconds.
fn measure(name: &str, mut batch: impl FnMut()) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..BATCHES {
                batch();
            }
            start.elapsed()
        })
        .min()
        .unwrap();
    println!("{name:32} {:8.1} ns per record", best.as_nanos() as f64 / (BATCHES * RECORDS) as f64);
}

fn values() -> Vec<[u8; 100]> {
    (0..RECORDS).map(|i| std::array::from_fn(|n| ((i * 31 + n * 7) % 97) as u8 + b' ')).collect()
}

fn build(buffer: Vec<u8>, values: &[[u8; 100]]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(buffer);
    for (i, value) in values.iter().enumerate() {
        let record = NewRecord::new(1_700_000_000_000 + i as i64 / 50, None, Some(value));
        builder.append(black_box(&record), 1 << 20).unwrap();
    }
    builder
}

fn main() {
    let values = values();
    let mut buffer = Vec::with_capacity(128 << 10);
    let mut none = Compressor::none();
    measure("encode", || {
        let closed = build(std::mem::take(&mut buffer), &values).close(&mut none).unwrap();
        buffer = black_box(closed).into_buffer();
    });
    measure("encode, stamp and CRC", || {
        let mut closed = build(std::mem::take(&mut buffer), &values).close(&mut none).unwrap();
        black_box(closed.stamp(Stamp::default()));
        buffer = closed.into_buffer();
    });
    for codec in Compression::ALL.into_iter().skip(1) {
        let mut compressor = Compressor::new(codec, None).unwrap();
        measure(&format!("encode, {codec}"), || {
            black_box(build(Vec::new(), &values).close(&mut compressor).unwrap().stamp(Stamp::default()));
        });
    }
    for codec in Compression::ALL {
        let mut compressor = Compressor::new(codec, None).unwrap();
        let bytes: Bytes = build(Vec::new(), &values).close(&mut compressor).unwrap().stamp(Stamp::default());
        let mut decompressor = Decompressor::new(Limits::default());
        measure(&format!("decode borrowed, CRC, {codec}"), || {
            for batch in Batches::new(bytes.clone()) {
                let records = batch.unwrap().records_with(&mut decompressor).unwrap();
                for record in &records {
                    black_box(record.unwrap());
                }
            }
        });
    }
    let bytes = build(Vec::new(), &values).finish(Stamp::default());
    let records = Batches::new(bytes).next().unwrap().unwrap().records(Limits::default()).unwrap();
    measure("decode borrowed, no CRC", || {
        for record in &records {
            black_box(record.unwrap());
        }
    });
    measure("decode owned, no CRC", || {
        for record in records.clone().into_owned() {
            black_box(record.unwrap());
        }
    });
}
