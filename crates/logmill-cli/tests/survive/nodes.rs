//! Faults of nodes: killed, paused, all gone at once.

use std::time::Duration;

use logmill_testkit::launch::{Redis, RedisOptions, Software, skipped};

use super::fleet::{CHECKPOINT, Fleet, LEASE};
use super::servers::{NARROW, RECORDS, shared, turn};

#[tokio::test]
async fn a_node_is_killed_in_the_middle_of_its_units_and_then_the_organiser() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    for organiser in [false, true] {
        let group = if organiser { "organiser-killed" } else { "node-killed" };
        let brokers = kafka.bootstrap();
        let mut fleet = Fleet::start(&client, &brokers, group, NARROW, RECORDS, Some(&redis.url()));
        fleet.at(25).await;
        let organises = fleet.organiser().await;
        let victim = if organiser { organises } else { (organises + 1) % 3 };
        let died = fleet.nodes[victim].kill9();
        fleet.finish(|line| line.node == victim && line.at + CHECKPOINT >= died).await;
    }
}

#[tokio::test]
async fn a_node_that_slept_past_its_leases_changes_nothing_when_it_wakes() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let brokers = kafka.bootstrap();
    let fleet = Fleet::start(&client, &brokers, "slept", NARROW, RECORDS, Some(&redis.url()));
    fleet.at(20).await;
    // The organiser: it wakes to find its membership gone as well.
    let sleeper = fleet.organiser().await;
    fleet.nodes[sleeper].signal("STOP");
    let slept = std::time::Instant::now();
    // The fault itself takes time: longer than the lease and than Kafka's session.
    tokio::time::sleep(LEASE * 5 / 2).await;
    fleet.nodes[sleeper].signal("CONT");
    let woke = std::time::Instant::now();
    // What the sleeper had in hand others did again; what it was about to write when it fell asleep it writes
    // when it wakes.
    let moment = Duration::from_secs(1);
    let near = |line: &super::tally::Line| {
        line.at + CHECKPOINT >= slept && (line.node == sleeper || line.at >= slept + LEASE - moment)
    };
    fleet.finish(|line| near(line) && line.at <= woke + moment).await;
}

#[tokio::test]
async fn all_nodes_are_killed_at_once_and_others_go_on() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let shared = shared().await;
    let (kafka, client) = turn(&shared).await;
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let brokers = kafka.bootstrap();
    let mut fleet = Fleet::start(&client, &brokers, "all-killed", NARROW, RECORDS, Some(&redis.url()));
    fleet.at(30).await;
    let died = fleet.nodes.iter_mut().map(|node| node.kill9()).min().unwrap();
    fleet.add(3);
    fleet.finish(|line| line.node < 3 && line.at + CHECKPOINT >= died).await;
}
