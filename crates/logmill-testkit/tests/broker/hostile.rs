//! Bytes from nobody's friend: the connection is closed, nothing else happens.

use bytes::{BufMut, Bytes, BytesMut};
use logmill_protocol::messages::metadata::MetadataRequest;
use logmill_protocol::wire::{Str, request_frame};
use logmill_testkit::{Api, Cluster, ClusterOptions};

use crate::wire::{Wire, fetch_request, plain, produce_request};

fn cluster() -> Cluster {
    let mut options = ClusterOptions::brokers(1);
    options.frame_limit = 10_000;
    let cluster = Cluster::start(options);
    cluster.create_topic("t", 1);
    cluster
}

async fn is_closed(cluster: &Cluster, bytes: &[u8]) -> bool {
    let mut wire = Wire::to(cluster, 1);
    wire.raw(bytes).await;
    wire.frame().await.is_none()
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_closes_the_connection() {
    let cluster = cluster();
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\0\0\x27\x11", // one more than the limit
        b"\0\0\0\0",
        b"\0\0\0\x02\0\0",
        b"\0\0\0\x08\x7f\xff\0\0\0\0\0\x01",       // an API that nobody has
        b"\0\0\0\x0a\0\x07\0\0\0\0\0\x01\xff\xff", // one that brokers speak among themselves
        b"\0\0\0\x0a\0\x03\x7f\xff\0\0\0\x01\xff\xff", // a version that nobody has
    ] {
        assert!(is_closed(&cluster, bytes).await, "{bytes:?}");
    }
    assert!(Wire::to(&cluster, 1).try_call(&MetadataRequest::default(), 12).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn truncated_and_mutated_requests_never_hurt() {
    let cluster = cluster();
    let text = Str::from("hostile");
    let produce = request_frame(&produce_request("t", 0, plain(&["a", "b"])), 9, 1, Some(&text));
    let fetch = request_frame(&fetch_request("t", 0, 0, 0), 12, 1, Some(&text));
    for frame in [produce.unwrap().to_bytes(), fetch.unwrap().to_bytes()] {
        for at in 4..frame.len() {
            // Cut short, with a length that says so.
            let mut cut = BytesMut::new();
            cut.put_u32(at as u32 - 4);
            cut.put_slice(&frame[4..at]);
            assert!(is_closed(&cluster, &cut).await, "cut at {at}");
            for value in [0x00, 0x7f, 0x80, 0xff] {
                let mut mutated = frame.to_vec();
                mutated[at] = value;
                let mut wire = Wire::to(&cluster, 1);
                wire.raw(&mutated).await;
                // Answered or closed: either is right, as long as the next client is served.
                let waited = tokio::time::timeout(std::time::Duration::from_secs(3600), wire.frame()).await;
                assert!(waited.is_ok() || frame[at] != value, "byte {at} as {value}");
            }
        }
    }
    assert!(Wire::to(&cluster, 1).try_call(&MetadataRequest::default(), 12).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn every_api_survives_every_length_of_zeros_and_ones() {
    let cluster = cluster();
    for &api in Api::ALL {
        for version in 0..=18 {
            for fill in [0x00, 0x01, 0xff] {
                for length in [0, 1, 7, 30, 200] {
                    let mut frame = BytesMut::new();
                    frame.put_u32(10 + length);
                    frame.put_i16(api as i16);
                    frame.put_i16(version);
                    frame.put_i32(1);
                    frame.put_i16(-1);
                    frame.put_bytes(fill, length as usize);
                    let mut wire = Wire::to(&cluster, 1);
                    wire.raw(&frame).await;
                    let _: Result<Option<Bytes>, _> =
                        tokio::time::timeout(std::time::Duration::from_secs(10), wire.frame()).await;
                }
            }
        }
    }
    assert!(Wire::to(&cluster, 1).try_call(&MetadataRequest::default(), 12).await.is_some());
}
