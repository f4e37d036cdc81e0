//! The cluster's metadata: leaders that move, brokers that fall, topics that come, go, and come again.

use std::time::Duration;

use logmill::Error;
use logmill::client::Purpose;
use logmill_protocol::ids::Partition;
use logmill_testkit::{Api, Fault};
use tokio::time::Instant;

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

/// A reader's next fetch lies still while the reader works on the last one, whatever it is waiting for.
#[tokio::test(start_paused = true)]
async fn whoever_asked_and_is_not_polled_holds_nobody_up() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    cluster.create_topic("u", 1);
    let client = connect(&cluster).await;
    let broker = client.leader(&Partition::new("t", 0)).await.unwrap().broker;
    let soon = Instant::now() + Duration::from_secs(20);

    // One connects and one asks about a topic, and neither is polled again.
    let mut connecting = Box::pin(client.connection(broker, Purpose::Watch, soon));
    assert!(futures_util::poll!(&mut connecting).is_pending());
    client.invalidate("t");
    let mut asking = Box::pin(client.topic("t"));
    assert!(futures_util::poll!(&mut asking).is_pending());

    let others = async {
        client.connection(broker, Purpose::Watch, soon).await.unwrap();
        client.topic("u").await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(60), others).await.expect("held up by one who is not polled");
    connecting.await.unwrap();
    asking.await.unwrap();
}
