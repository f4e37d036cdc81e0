//! Each fault of the proxy, seen from a client of an echoing server.
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::time::Duration;

use logmill_testkit::proxy::{Flow, Proxy, Toward};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// Long enough to be sure that nothing comes; only tests of silence wait for it.
const SILENCE: Duration = Duration::from_millis(150);

/// A server that sends back what it reads, and ends when its client ends.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}

async fn proxied() -> (Proxy, TcpStream) {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let client = TcpStream::connect(proxy.addr()).await.unwrap();
    (proxy, client)
}

async fn read(client: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut got = vec![0; bytes];
    client.read_exact(&mut got).await.unwrap();
    got
}

async fn is_silent(client: &mut TcpStream) -> bool {
    timeout(SILENCE, client.read_u8()).await.is_err()
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[tokio::test]
async fn untouched_bytes_arrive_and_are_counted_and_the_end_is_passed_on() {
    let (proxy, mut client) = proxied().await;
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
    let (mut from, mut to) = client.split();
    let send = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, read) = tokio::join!(send, from.read_to_end(&mut got));
    read.unwrap();
    assert!(got == sent, "what came back differs");
    let counts = proxy.counts();
    assert_eq!((counts.accepted, counts.reset), (1, 0));
    assert_eq!((counts.to_server, counts.to_client), (3_000_000, 3_000_000));
}

#[tokio::test]
async fn delayed_bytes_are_late_and_not_one_after_the_other() {
    let (proxy, mut client) = proxied().await;
    let by = Duration::from_millis(60);
    proxy.set(Toward::Client, Flow::Delay { by, jitter: Duration::from_millis(20) });
    let started = Instant::now();
    for _ in 0..20 {
        client.write_all(b"x").await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read(&mut client, 20).await, [b'x'; 20]);
    let took = started.elapsed();
    assert!(took >= by, "{took:?}");
    assert!(took < by * 10, "each byte waited for the one before: {took:?}");
}

#[tokio::test]
async fn stalled_bytes_arrive_after_healing() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Toward::Client, Flow::Stall);
    client.write_all(b"hello").await.unwrap();
    assert!(is_silent(&mut client).await);
    assert_eq!(proxy.counts().to_server, 5, "one way still works");
    proxy.heal();
    assert_eq!(read(&mut client, 5).await, b"hello");
}

#[tokio::test]
async fn swallowed_bytes_never_arrive_and_healing_resets() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Toward::Client, Flow::Swallow { after: 3 });
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut client, 3).await, b"hel");
    assert!(is_silent(&mut client).await);
    assert_eq!(proxy.counts().swallowed_to_client, 2);
    proxy.heal();
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "a stream with a hole must not go on");
}

#[tokio::test]
async fn swallowed_replies_leave_the_next_ones_whole() {
    let (proxy, mut client) = proxied().await;
    client.write_all(&frame("first")).await.unwrap();
    assert_eq!(read(&mut client, 9).await, frame("first"));
    proxy.set(Toward::Client, Flow::SwallowFrames { count: 2 });
    for lost in ["second", ""] {
        client.write_all(&frame(lost)).await.unwrap();
    }
    assert!(is_silent(&mut client).await);
    client.write_all(&frame("fourth")).await.unwrap();
    assert_eq!(read(&mut client, 10).await, frame("fourth"));
    assert_eq!(proxy.counts().swallowed_to_client, 10 + 4);
}

#[tokio::test]
async fn a_frame_half_swallowed_is_swallowed_to_its_end() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Toward::Server, Flow::SwallowFrames { count: 1 });
    let lost = frame("cut in two");
    client.write_all(&lost[..6]).await.unwrap();
    while proxy.counts().swallowed_to_server < 6 {
        tokio::task::yield_now().await;
    }
    proxy.heal();
    client.write_all(&lost[6..]).await.unwrap();
    client.write_all(&frame("whole")).await.unwrap();
    assert_eq!(read(&mut client, 9).await, frame("whole"));
}

#[tokio::test]
async fn a_reset_reaches_the_open_connections_only() {
    let (proxy, mut client) = proxied().await;
    client.write_all(b"x").await.unwrap();
    read(&mut client, 1).await;
    proxy.reset();
    assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut next = TcpStream::connect(proxy.addr()).await.unwrap();
    next.write_all(b"y").await.unwrap();
    assert_eq!(read(&mut next, 1).await, b"y");
    let counts = proxy.counts();
    assert_eq!((counts.accepted, counts.open, counts.reset), (2, 1, 1));
}

#[tokio::test]
async fn a_black_hole_accepts_and_never_answers_until_healed() {
    let (proxy, mut open) = proxied().await;
    open.write_all(b"a").await.unwrap();
    read(&mut open, 1).await;
    proxy.black_hole();
    let mut fresh = TcpStream::connect(proxy.addr()).await.unwrap();
    fresh.write_all(b"b").await.unwrap();
    open.write_all(b"c").await.unwrap();
    assert!(is_silent(&mut fresh).await);
    assert!(is_silent(&mut open).await);
    proxy.heal();
    assert_eq!(read(&mut fresh, 1).await, b"b");
    assert_eq!(read(&mut open, 1).await, b"c");
}

#[tokio::test]
async fn a_half_closed_connection_ends_one_way() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'x');
    proxy.half_close(Toward::Server);
    assert_eq!(server.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    server.write_all(b"still here").await.unwrap();
    assert_eq!(read(&mut client, 10).await, b"still here");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_reset_and_can_be_replaced() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(nobody).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.set_upstream(echo().await);
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(read(&mut client, 1).await, b"x");
}

#[tokio::test]
async fn dropping_it_resets_and_stops_listening() {
    let (proxy, mut client) = proxied().await;
    client.write_all(b"x").await.unwrap();
    read(&mut client, 1).await;
    let address = proxy.addr();
    drop(proxy);
    assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(TcpStream::connect(address).await.is_err());
}
