//! LZ4 frames that other clients write and many readers refuse: one block under a 4 MiB descriptor with
//! a content checksum, linked blocks, block checksums, several frames.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use logmill_protocol::records::{BatchBuilder, Batches, Limits, NewRecord, Stamp};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use std::io::Write;

/// An uncompressed batch of 3 × 90,000 bytes, so that blocks of 64 KiB depend on each other.
fn plain() -> Vec<u8> {
    let mut builder = BatchBuilder::new(Vec::new());
    for i in 0..3u8 {
        let value: Vec<u8> = (0..90_000u32).map(|n| (n / 5 * 7 % 251) as u8 ^ i).collect();
        builder.append(&NewRecord::new(1, None, Some(&value)), usize::MAX).unwrap();
    }
    builder.finish(Stamp::default()).to_vec()
}

fn with_body(plain: &[u8], body: &[u8]) -> Bytes {
    let mut batch = plain[..61].to_vec();
    batch.extend_from_slice(body);
    batch[8..12].copy_from_slice(&(body.len() as i32 + 49).to_be_bytes());
    batch[22] = 3;
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

#[test]
fn every_frame_descriptor_is_honoured() {
    let plain = plain();
    let sizes = [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB];
    for size in sizes {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for checks in [false, true] {
                let info = FrameInfo::new()
                    .block_size(size)
                    .block_mode(mode)
                    .block_checksums(checks)
                    .content_checksum(checks);
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&plain[61..]).unwrap();
                let frame = encoder.finish().unwrap();
                for frames in
                    [frame.clone(), [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9][..], &frame].concat()]
                {
                    let batch = Batches::new(with_body(&plain, &frames)).next().unwrap().unwrap();
                    let records = batch.records(Limits::default()).unwrap();
                    assert_eq!(records.size(), plain.len() - 61, "{size:?} {mode:?} {checks}");
                    assert_eq!(
                        records.iter().map(|r| r.unwrap().value.unwrap().len()).sum::<usize>(),
                        270_000
                    );
                }
            }
        }
    }
}
