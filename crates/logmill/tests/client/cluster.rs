//! The cluster's metadata: leaders that move, brokers that fall, topics that come, go, and come again.

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use logmill::Error;
use logmill::client::{Client, Purpose, Transport};
use logmill_protocol::ids::Partition;
use logmill_testkit::{Api, Cluster, Fault};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::support::{builder, cluster, connect, put};

#[tokio::test(start_paused = true)]
async fn leaders_are_found_once_and_asked_for_again_only_after_a_failure() {
    let cluster = cluster(3);
    cluster.create_topic("t", 6);
    let client = connect(&cluster).await;
    let asked = cluster.calls(Api::Metadata);
    for index in 0..6 {
        let leader = client.leader(&Partition::new("t", index)).await.unwrap();
        assert_eq!(Some(leader.broker.0), cluster.leader("t", index));
        assert_eq!(leader.epoch, cluster.leader_epoch("t", index));
        assert_eq!(Some(leader.topic_id), cluster.topic_id("t"));
    }
    assert_eq!(cluster.calls(Api::Metadata), asked + 1);

    let partition = Partition::new("t", 0);
    let old = client.leader(&partition).await.unwrap();
    let to = 1 + old.broker.0 % 3;
    cluster.move_leader("t", 0, to);
    assert_eq!(client.leader(&partition).await.unwrap(), old, "nothing has failed yet");
    for _ in 0..10 {
        client.leader_failed(&partition, &old);
        assert_eq!(client.leader(&partition).await.unwrap().broker.0, to);
    }
    assert_eq!(cluster.calls(Api::Metadata), asked + 2, "ten failures of one leader ask once");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_that_wait_for_one_topic_ask_once() {
    let cluster = cluster(3);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let asked = cluster.calls(Api::Metadata);
    let partition = Partition::new("t", 0);
    let waiting = (0..100).map(|_| client.leader(&partition));
    let found = futures_util::future::join_all(waiting).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(cluster.calls(Api::Metadata), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_asked_for_again_and_then_told_with_the_command_that_makes_it() {
    let cluster = cluster(1);
    let client = connect(&cluster).await;
    let start = Instant::now();
    let error = client.topic("nope").await.unwrap_err();
    assert!(matches!(error, Error::UnknownTopic { .. }), "{error:?}");
    assert!(error.to_string().contains("logmill topic create -b"), "{error}");
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(5), "{waited:?}");

    let late = client.clone();
    let looking = tokio::spawn(async move { late.topic("late").await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.create_topic("late", 2);
    assert_eq!(looking.await.unwrap().unwrap().partitions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_partition_beyond_the_topic_is_told_with_how_many_there_are() {
    let cluster = cluster(1);
    cluster.create_topic("t", 3);
    let error = connect(&cluster).await.leader(&Partition::new("t", 3)).await.unwrap_err();
    assert!(matches!(error, Error::UnknownPartition { partitions: 3, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crashed_broker_is_worked_around_and_found_again() {
    let cluster = cluster(3);
    cluster.create_topic("t", 3);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    put(&client, &partition, &["a"]).await;
    let old = client.leader(&partition).await.unwrap();
    cluster.crash(old.broker.0);
    client.leader_failed(&partition, &old);
    let new = client.leader(&partition).await.unwrap();
    assert!(new.broker != old.broker && new.epoch > old.epoch);
    put(&client, &partition, &["b"]).await;
    cluster.restart(old.broker.0);
    cluster.move_leader("t", 0, old.broker.0);
    client.leader_failed(&partition, &new);
    assert_eq!(client.leader(&partition).await.unwrap().broker, old.broker);
    assert_eq!(put(&client, &partition, &["c"]).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_a_leader_is_waited_for() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    let leader = client.leader(&partition).await.unwrap();
    cluster.crash(1);
    client.leader_failed(&partition, &leader);
    let waiting = tokio::spawn({
        let client = client.clone();
        let partition = partition.clone();
        async move { client.leader(&partition).await }
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!waiting.is_finished());
    cluster.restart(1);
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn when_all_known_brokers_fail_the_first_addresses_are_tried_again() {
    let cluster = cluster(3);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    for broker in 1..=3 {
        cluster.crash(broker);
    }
    client.invalidate("t");
    assert!(client.topic("t").await.is_err());
    for broker in 1..=3 {
        cluster.restart(broker);
    }
    assert_eq!(client.topic("t").await.unwrap().partitions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_metadata_answer_that_fails_is_asked_for_elsewhere() {
    let cluster = cluster(3);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    cluster.on_times(Api::Metadata, 2, Fault::ApplyThenDisconnect);
    client.topic("t").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_background_task_ends_with_the_client() {
    let cluster = cluster(1);
    let client = connect(&cluster).await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks > 0);
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_again_under_its_name_has_another_id() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let old = client.topic("t").await.unwrap().id;
    client.admin().delete_topic("t").await.unwrap();
    cluster.create_topic("t", 2);
    let new = client.topic("t").await.unwrap();
    assert!(new.id != old && new.partitions.len() == 2);
}

#[tokio::test(start_paused = true)]
async fn new_partitions_are_noticed_without_a_failure() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = builder(&cluster).set("metadata.max.age.ms", "5000").connect().await.unwrap();
    client.topic("t").await.unwrap();
    let mut changes = client.changes();
    client.admin().create_partitions("t", 4).await.unwrap();
    changes.changed().await.unwrap();
    assert_eq!(client.topic("t").await.unwrap().partitions.len(), 4);
}

/// A client whose dialling waits while the gate is shut.
async fn behind_a_gate(cluster: &Cluster) -> (Client, watch::Sender<bool>) {
    let (gate, open) = watch::channel(true);
    let dialled = cluster.clone();
    let transport = Transport::new(move |address| {
        let (cluster, mut open) = (dialled.clone(), open.clone());
        async move {
            open.wait_for(|open| *open).await.unwrap();
            cluster.dial(&address.host, address.port)
        }
    });
    (builder(cluster).transport(transport).connect().await.unwrap(), gate)
}

/// A loop that looks at something else for a while leaves its questions where they stand.
#[tokio::test(start_paused = true)]
async fn one_who_asked_and_stopped_listening_holds_nobody_up() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let partition = Partition::new("t", 0);
    let (client, gate) = behind_a_gate(&cluster).await;
    let leader = client.leader(&partition).await.unwrap();
    cluster.crash(1);
    cluster.restart(1);
    gate.send_replace(false);
    client.leader_failed(&partition, &leader);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut question = pin!(client.leader(&partition));
    let mut connection = pin!(client.connection(leader.broker, Purpose::Produce, deadline));
    for _ in 0..10 {
        assert!(poll!(&mut question).is_pending());
        assert!(poll!(&mut connection).is_pending());
        tokio::task::yield_now().await;
    }
    gate.send_replace(true);
    let others = async {
        client.leader(&partition).await.unwrap();
        client.connection(leader.broker, Purpose::Produce, deadline).await.unwrap();
    };
    timeout(Duration::from_secs(30), others).await.expect("the others are held up");
    question.await.unwrap();
    connection.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_connection_waits_no_longer_than_it_said_and_the_attempt_goes_on() {
    let cluster = cluster(1);
    let (client, gate) = behind_a_gate(&cluster).await;
    let (broker, _) = client.brokers()[0].clone();
    gate.send_replace(false);
    let start = Instant::now();
    let within = |seconds| client.connection(broker, Purpose::Produce, start + Duration::from_secs(seconds));
    let (hasty, patient) = tokio::join!(within(1), async {
        let patient = within(5);
        let opened = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            gate.send_replace(true);
        };
        tokio::join!(patient, opened).0
    });
    let hasty = hasty.unwrap_err();
    assert!(matches!(hasty, Error::Unreachable { .. }), "{hasty:?}");
    patient.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}
