//! What is published as metrics, beside what happened.

#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use logmill::control::{Control, Scope};
use logmill::node::{Background, Metrics, NodeBuilder, Outcome, Received, Retry};
use logmill::store::MemoryStore;
use logmill::{Producer, Record};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rig::{Rig, Tally};
use tokio::time::sleep;

/// The recorder of this program. Tests tell theirs by the group, or the topic.
static RECORDER: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    handle
});

/// The sum of what is published under this name with all of these words among its labels; none if nothing is.
fn value(name: &str, words: &[&str]) -> Option<f64> {
    let text = RECORDER.render();
    let with_labels = format!("{name}{{");
    let is_it = |line: &&str| line.starts_with(&with_labels) && words.iter().all(|word| line.contains(word));
    let values =
        text.lines().filter(is_it).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// Waits until it has this value; it takes no real time, and not for ever.
async fn comes_to(name: &str, words: &[&str], wanted: f64) {
    for _ in 0..600 {
        if value(name, words) == Some(wanted) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{name}{words:?} is {:?}, not {wanted}:\n{}", value(name, words), RECORDER.render());
}

fn node(rig: &Rig, group: &str) -> NodeBuilder {
    LazyLock::force(&RECORDER);
    let retry = Retry::exponential(Duration::from_millis(50), Duration::from_secs(1)).max_attempts(3);
    let builder = rig.node(group).topics(["orders"]).retry(retry).background(Background::Here).seed(7);
    builder.commit_interval(Duration::from_millis(500)).lease(Duration::from_secs(3))
}

async fn with_records(records: i64) -> Rig {
    let rig = Rig::new(1, 1);
    rig.cluster.create_topic("orders", 1);
    rig.produce("orders", 0, records).await;
    rig
}

#[tokio::test(start_paused = true)]
async fn what_a_node_did_is_published_as_it_was() {
    let rig = with_records(100).await;
    let handler = |record: Received| {
        std::future::ready(match (record.offset(), record.attempt()) {
            (20 | 21, 1) => Outcome::Retry { reason: "not yet".into() },
            (50, _) => Outcome::DeadLetter("zero amount".into()),
            _ => Outcome::Ack,
        })
    };
    let builder = node(&rig, "told").metrics(Metrics::ByPartition).concurrency(8);
    let node = builder.name("told-1").handler(handler).build().await.unwrap();
    let (group, place) = ("group=\"told\"", ["group=\"told\"", "topic=\"orders\"", "partition=\"0\""]);
    let at = |kind| [&place[..], &[kind]].concat();
    comes_to("logmill_partition_offset", &at("kind=\"complete\""), 100.0).await;
    for kind in ["kind=\"planned\"", "kind=\"end\""] {
        assert_eq!(value("logmill_partition_offset", &at(kind)), Some(100.0));
    }
    assert_eq!(value("logmill_partition_offset", &at("kind=\"start\"")), Some(0.0));
    assert_eq!(value("logmill_partition_gaps", &place), Some(0.0));
    comes_to("logmill_retries_total", &[group, "topic=\"orders\"", "error_type=\"handler\""], 2.0).await;
    comes_to("logmill_dead_letters_total", &[group, "topic=\"orders\"", "reason=\"handler\""], 1.0).await;
    let group_name = "messaging_consumer_group_name=\"told\"";
    // What is tried again later may be read again.
    let consumed = value("messaging_client_consumed_messages_total", &[group_name, "=\"kafka\""]).unwrap();
    assert!((100.0..=102.0).contains(&consumed), "{consumed}");
    comes_to("messaging_process_duration_seconds_count", &[group_name], 102.0).await;
    let counts = node.counts();
    comes_to("logmill_unit_duration_seconds_count", &[group], counts.units as f64).await;
    assert_eq!(value("logmill_unit_duration_seconds_count", &[group, "outcome=\"dead\""]), Some(1.0));
    assert!(value("logmill_unit_planned_total", &[group]).unwrap() >= 5.0);
    assert_eq!(value("logmill_lease_expirations_total", &[group]), Some(0.0));
    assert_eq!(
        (value("logmill_consumer_lag", &[group]), value("logmill_queue_backlog", &[group])),
        (Some(0.0), Some(0.0))
    );
    assert_eq!(value("logmill_consumer_lag_time_seconds", &[group]), Some(0.0));
    let name = "node=\"told-1\"";
    assert_eq!(value("logmill_node_slots", &[name, "state=\"busy\""]), Some(0.0));
    assert_eq!(value("logmill_node_slots", &[name, "state=\"idle\""]), Some(8.0));
    assert_eq!(value("logmill_node_info", &[name, "role=\"organiser\""]), Some(1.0));
    assert_eq!(value("logmill_node_info", &[name, "role=\"node\""]), Some(0.0));
    assert_eq!(value("logmill_organiser_partitions", &[name]), Some(1.0));
    assert_eq!(value("logmill_organiser_rebalances_total", &[name]), Some(1.0));
    assert!(value("logmill_node_last_heartbeat_timestamp_seconds", &[name]).unwrap() > 1e9);
    assert!(value("logmill_kafka_request_duration_seconds_count", &["api=\"Fetch\""]).unwrap() > 0.0);
    assert!(value("messaging_client_operation_duration_seconds_count", &["=\"commit\""]).unwrap() > 0.0);
    assert!(value("logmill_kafka_connections", &[]).unwrap() > 0.0);
    assert_eq!(
        value("logmill_redis_command_duration_seconds_count", &[group]),
        None,
        "the store is in memory"
    );

    let control = Control::open(&rig.client().await, "told");
    control.pause(&Scope::Group, "", "ann").await.unwrap();
    comes_to("logmill_paused", &[group, "scope=\"group\""], 1.0).await;
    rig.produce("orders", 0, 7).await;
    comes_to("logmill_consumer_lag", &[group], 7.0).await;
    comes_to("logmill_queue_backlog", &[group], 7.0).await;
    rig.cluster.delete_records("orders", 0, 103);
    control.resume(&Scope::Group).await.unwrap();
    comes_to("logmill_paused", &[group, "scope=\"group\""], 0.0).await;
    comes_to("logmill_skipped_total", &[group, "topic=\"orders\"", "reason=\"retention\""], 3.0).await;
    comes_to("logmill_consumer_lag", &[group], 0.0).await;
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn units_in_hand_slots_at_work_and_calls_of_a_shared_store_are_published() {
    let rig = with_records(100).await;
    let tally = Tally::default();
    let counted = tally.clone();
    let handler = move |record: Received| {
        counted.count(&record);
        std::future::pending::<()>()
    };
    let builder = node(&rig, "stuck").name("stuck-1").metrics(Metrics::ByTopic).concurrency(4).max_units(2);
    let node = builder.store(Arc::new(MemoryStore::new())).handler(handler).build().await.unwrap();
    tally.reaches(4).await;
    let group = "group=\"stuck\"";
    comes_to("logmill_queue_size", &[group], 2.0).await;
    assert!(value("logmill_queue_size", &[group, "state=\"leased\""]).unwrap() >= 1.0);
    comes_to("logmill_queue_backlog", &[group, "state=\"planned\""], 40.0).await;
    comes_to("logmill_queue_backlog", &[group, "state=\"unplanned\""], 60.0).await;
    comes_to("logmill_node_slots", &["node=\"stuck-1\"", "state=\"busy\""], 4.0).await;
    sleep(Duration::from_secs(20)).await;
    assert!(value("logmill_lease_active_age_seconds", &[group]).unwrap() >= 20.0);
    assert!(value("logmill_redis_command_duration_seconds_count", &["command=\"renew\""]).unwrap() > 0.0);
    assert_eq!(value("logmill_partition_offset", &[group]), None, "by topic only");
    node.kill();
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_another_node_organises_by_now_is_not_told_of() {
    let rig = Rig::new(1, 1);
    rig.cluster.create_topic("orders", 2);
    rig.produce("orders", 0, 5).await;
    rig.produce("orders", 1, 5).await;
    let handler = |_: Received| std::future::ready(());
    let first = node(&rig, "moved").metrics(Metrics::ByPartition).handler(handler).build().await.unwrap();
    let end = ["group=\"moved\"", "kind=\"end\""];
    comes_to("logmill_partition_offset", &end, 10.0).await;
    let second = node(&rig, "moved").handler(handler).build().await.unwrap();
    comes_to("logmill_partition_offset", &end, 5.0).await;
    second.drain().await.unwrap();
    comes_to("logmill_partition_offset", &end, 10.0).await;
    first.drain().await.unwrap();
    comes_to("logmill_partition_offset", &end, 0.0).await;
}

#[tokio::test(start_paused = true)]
async fn what_nodes_of_one_program_did_adds_up_to_the_last_record() {
    let rig = with_records(0).await;
    let tally = Tally::default();
    for records in [1_500, 3_000] {
        rig.produce("orders", 0, 1_500).await;
        let counted = tally.clone();
        let handler = move |record: Received| {
            counted.count(&record);
            std::future::ready(())
        };
        let node = node(&rig, "sum").metrics(Metrics::ByTopic).handler(handler).build().await.unwrap();
        tally.reaches(records).await;
        // What its last second brought is told as it ends.
        node.drain().await.unwrap();
    }
    let group = "messaging_consumer_group_name=\"sum\"";
    comes_to("messaging_client_consumed_messages_total", &[group], 3_000.0).await;
    comes_to("messaging_process_duration_seconds_count", &[group], 3_000.0).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_holds_is_busy() {
    let rig = with_records(10).await;
    let node = node(&rig, "pulled").name("pulled-1").metrics(Metrics::ByTopic).build().await.unwrap();
    let busy = ["node=\"pulled-1\"", "state=\"busy\""];
    let first = node.recv().await.unwrap().unwrap();
    let second = node.recv().await.unwrap().unwrap();
    comes_to("logmill_node_slots", &busy, 2.0).await;
    first.ack();
    drop(second);
    comes_to("logmill_node_slots", &busy, 0.0).await;
    // The one that was dropped has not been handled.
    let group = "messaging_consumer_group_name=\"pulled\"";
    assert_eq!(value("messaging_process_duration_seconds_count", &[group]), Some(1.0));
    node.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_producer_publishes_what_it_sent_and_one_that_was_not_told_to_nothing() {
    let rig = Rig::new(1, 1);
    LazyLock::force(&RECORDER);
    let topic = "messaging_destination_name=\"sent\"";
    rig.cluster.create_topic("sent", 1);
    for (publishes, wanted) in [(false, None), (true, Some(50.0))] {
        let builder = Producer::builder().brokers(rig.cluster.bootstrap()).transport(rig.transport.clone());
        let producer = builder.on_this_runtime().metrics(publishes).build().await.unwrap();
        for _ in 0..50 {
            producer.send(Record::to("sent").value("v")).await.unwrap();
        }
        sleep(Duration::from_secs(5)).await;
        assert_eq!(value("messaging_client_sent_messages_total", &[topic]), wanted);
        producer.close().await.unwrap();
    }
    assert_eq!(value("logmill_producer_batch_records_count", &["topic=\"sent\""]), Some(50.0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_not_told_to_publishes_nothing() {
    let rig = with_records(10).await;
    let tally = Tally::default();
    let counted = tally.clone();
    let handler = move |record: Received| {
        counted.count(&record);
        std::future::ready(())
    };
    let node = node(&rig, "silent").handler(handler).build().await.unwrap();
    tally.reaches(10).await;
    sleep(Duration::from_secs(10)).await;
    assert!(!RECORDER.render().contains("silent"));
    node.drain().await.unwrap();
}
