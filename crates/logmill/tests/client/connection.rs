//! One connection: what is no broker, what is too old, what hangs, what lies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logmill::Error;
use logmill::client::{Client, Purpose, Transport};
use logmill_protocol::messages::list_groups::ListGroupsRequest;
use logmill_testkit::{Api, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::{builder, cluster, connect};

/// A client of a server that answers whatever comes with these bytes, and then closes.
async fn against(answer: &'static [u8]) -> Error {
    let transport = Transport::new(move |_| async move {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let mut request = [0; 64];
            let _ = theirs.read(&mut request).await;
            let _ = theirs.write_all(answer).await;
        });
        Ok(ours)
    });
    Client::builder().brokers("h:1").transport(transport).seed(1).connect().await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kafka_is_named() {
    for (answer, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "an HTTP server"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "it speaks TLS"),
        (b"-ERR unknown command\r\n", "a Redis server"),
        (b"SSH-2.0-OpenSSH_9\r\n", "an SSH server"),
        (b"", "is this a TLS listener, or not a Kafka broker?"),
        (b"\x00\x00\x00\x04\x00\x00\x00\x63", "correlation id 99 came where 1 is due"),
        (b"\x00\x00\x00\x02\x00\x00", "input ends"),
        (b"\x7f\xff\xff\xff", "receive.message.max.bytes"),
        (b"\xff\xff\xff\xff", "frame claims -1"),
    ] {
        let error = against(answer).await.to_string();
        assert!(error.contains(expected), "{:?}: {error}", Bytes::from_static(answer));
        assert!(error.contains("h:1"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_where_nothing_answers_is_told_with_what_to_check() {
    let cluster = cluster(1);
    cluster.crash(1);
    let error = builder(&cluster).connect().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("is the broker up, and is the address (-b) right?"), "{error}");
    assert!(error.is_retriable());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_on_connecting_is_given_up() {
    let transport = Transport::new(|_| std::future::pending::<std::io::Result<tokio::io::DuplexStream>>());
    let error = Client::builder().brokers("h:1").transport(transport).connect().await.unwrap_err();
    assert!(error.to_string().contains("no connection within 10s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_on_the_first_request_is_given_up() {
    let cluster = cluster(1);
    cluster.on(Api::ApiVersions, Fault::Hang);
    let error = builder(&cluster).set("request.timeout.ms", "5000").connect().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { api: Api::ApiVersions, .. }), "{error:?}");
}

/// Every API with all its versions, but these with none newer than the one given.
fn all_but(limits: &[(Api, i16)]) -> Vec<(Api, std::ops::RangeInclusive<i16>)> {
    let newest = |api: Api| limits.iter().find(|(it, _)| *it == api).map_or(api.versions().1, |it| it.1);
    Api::ALL.iter().map(|&api| (api, api.versions().0..=newest(api))).collect()
}

#[tokio::test(start_paused = true)]
async fn brokers_before_2_1_are_refused_by_name() {
    let cluster = cluster(1);
    cluster.set_api_versions(Some(all_but(&[(Api::Fetch, 8), (Api::Produce, 6)])));
    let error = builder(&cluster).connect().await.unwrap_err();
    assert!(matches!(error, Error::TooOld { version: "2.0", .. }), "{error:?}");
    assert!(error.to_string().contains("logmill needs 2.1 or later"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_know_our_question_is_asked_an_older_one() {
    let cluster = cluster(1);
    for newest in [0, 2, 3] {
        cluster.set_api_versions(Some(all_but(&[(Api::ApiVersions, newest)])));
        assert_eq!(connect(&cluster).await.brokers().len(), 1, "newest {newest}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_answered_in_order_and_a_late_one_ends_all() {
    let cluster = cluster(1);
    let client = builder(&cluster).set("request.timeout.ms", "1000").connect().await.unwrap();
    let broker = client.brokers()[0].0;
    let soon = Instant::now() + Duration::from_secs(1);
    let connection = client.connection(broker, Purpose::Control, soon).await.unwrap();
    let first = connection.start(&ListGroupsRequest::default(), soon).await.unwrap();
    let second = connection.start(&ListGroupsRequest::default(), soon).await.unwrap();
    drop(first);
    second.await.unwrap();

    cluster.on_once(Api::ListGroups, Fault::Hang);
    let late = connection.start(&ListGroupsRequest::default(), soon).await.unwrap();
    let behind =
        connection.start(&ListGroupsRequest::default(), soon + Duration::from_secs(60)).await.unwrap();
    let error = late.await.unwrap_err();
    assert!(matches!(error, Error::Timeout { api: Api::ListGroups, .. }), "{error:?}");
    assert!(error.may_have_happened());
    let error = behind.await.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");
    assert!(connection.is_closed());
    let error = connection.call(&ListGroupsRequest::default(), soon).await.unwrap_err();
    assert!(matches!(error, Error::NotSent { .. }) && !error.may_have_happened(), "{error:?}");

    let again = client.connection(broker, Purpose::Control, Instant::now() + Duration::from_secs(5)).await;
    again
        .unwrap()
        .call(&ListGroupsRequest::default(), Instant::now() + Duration::from_secs(1))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_damaged_end_the_connection_and_never_panic() {
    let cluster = cluster(1);
    let client = connect(&cluster).await;
    let broker = client.brokers()[0].0;
    for fault in [
        Fault::CutShort,
        Fault::Garbage(Bytes::from_static(&[0, 0, 0, 8, 0, 0, 0, 1, 255, 255, 255, 255])),
        Fault::ApplyThenDisconnect,
    ] {
        cluster.on_once(Api::ListGroups, fault.clone());
        let soon = Instant::now() + Duration::from_secs(5);
        let connection = client.connection(broker, Purpose::Control, soon).await.unwrap();
        let error = connection.call(&ListGroupsRequest::default(), soon).await.unwrap_err();
        assert!(error.may_have_happened() && error.is_retriable(), "{fault:?}: {error:?}");
        assert!(connection.is_closed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_is_closed_and_made_again_when_needed() {
    let cluster = cluster(1);
    let client = builder(&cluster).set("connections.max.idle.ms", "2000").connect().await.unwrap();
    let broker = client.brokers()[0].0;
    let deadline = || Instant::now() + Duration::from_secs(1);
    let connection = client.connection(broker, Purpose::Control, deadline()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    connection.call(&ListGroupsRequest::default(), deadline()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!connection.is_closed(), "it was used 1.5 s ago");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(connection.is_closed());
    let connection = client.connection(broker, Purpose::Control, deadline()).await.unwrap();
    connection.call(&ListGroupsRequest::default(), deadline()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_requests_wait_for_answers() {
    let cluster = cluster(1);
    let client = connect(&cluster).await;
    let broker = client.brokers()[0].0;
    let deadline = Instant::now() + Duration::from_secs(10);
    let connection = Arc::new(client.connection(broker, Purpose::Control, deadline).await.unwrap());
    cluster.on_once(Api::ListGroups, Fault::Delay(Duration::from_secs(5)));
    let mut replies = Vec::new();
    for _ in 0..64 {
        replies.push(connection.start(&ListGroupsRequest::default(), deadline).await.unwrap());
    }
    let request = ListGroupsRequest::default();
    let one_more = connection.start(&request, deadline);
    let waited = tokio::time::timeout(Duration::from_secs(1), one_more).await;
    assert!(waited.is_err(), "the 65th has to wait");
    for reply in replies {
        reply.await.unwrap();
    }
    connection.call(&request, deadline).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_one_seed_pause_alike() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let cluster = cluster(1);
        let client = connect(&cluster).await;
        cluster.crash(1);
        let start = Instant::now();
        let error =
            client.call(logmill::client::Target::Any, &ListGroupsRequest::default()).await.unwrap_err();
        assert!(error.is_retriable(), "{error:?}");
        runs.push((start.elapsed(), error.to_string()));
    }
    assert_eq!(runs[0], runs[1]);
}
