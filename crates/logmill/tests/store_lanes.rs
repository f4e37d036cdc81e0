//! What every store promises of lanes: the same scenarios on memory and on Redis.

#![allow(clippy::unwrap_used)]

#[macro_use]
mod store_bench;

use std::time::Duration;

use logmill_protocol::ids::{Lane, Offset, PartitionKey};
use logmill_protocol::work::{Plan, Raise, Raised, Renewed, Settled, StaleReason};
use logmill_testkit::launch::{Software, skipped};
use store_bench::{Bench, LEASE_MS, partition, plan, ranges, rest, settle};

scenarios! {
    a_lane_goes_out_in_order_to_one_node
    lanes_go_to_nodes_of_their_own
    nothing_is_settled_past_what_was_taken_back
    what_was_taken_back_is_kept_while_nobody_has_the_lane
    a_node_whose_lane_another_had_has_lost_it
    a_rest_holds_up_its_lane_until_it_is_visible
    a_lane_that_becomes_free_wakes
    a_raise_that_cuts_a_lease_holds_up_what_is_above
    a_raise_past_what_was_taken_back_lets_the_rest_go_on
}

const LEASE: i64 = LEASE_MS as i64;

fn lane(index: u16) -> PartitionKey {
    partition().in_lane(Lane::new(index, 8).unwrap())
}

async fn a_lane_goes_out_in_order_to_one_node(bench: Bench) {
    bench.planned_in(lane(3), &[10; 6]).await;
    let first = bench.take_as("a", 1, 9, &[]).await;
    assert_eq!(ranges(&first), ["0..10", "10..20", "20..30", "30..40"]);
    assert_eq!(first.next_in_ms, Some(LEASE_MS), "what waits is for nobody else");
    let overview = bench.store.overview().await.unwrap();
    assert_eq!((overview.ready, overview.delayed, overview.leased), (0, 0, 4));

    assert_eq!(bench.take_as("b", 2, 9, &[lane(3)]).await.leases, []);
    let more = bench.take_as("a", 3, 9, &[lane(7), lane(3), partition()]).await;
    assert_eq!(ranges(&more), ["40..50", "50..60"]);
    for lease in first.leases.iter().chain(&more.leases) {
        assert_eq!(bench.settle(lease).await, Settled::Done { watermark: lease.range.end() });
    }
}

async fn lanes_go_to_nodes_of_their_own(bench: Bench) {
    for index in 0..2 {
        bench.planned_in(lane(index), &[10, 10]).await;
    }
    bench.planned(&[10]).await;
    let overview = bench.store.overview().await.unwrap();
    assert_eq!((overview.partitions, overview.ready), (3, 3), "a lane that waits counts as one");
    let taken = bench.take(1, 1).await;
    assert_eq!(ranges(&taken), ["0..10"]);
    let rest = bench.take(2, 9).await;
    let keys: Vec<_> =
        [&taken, &rest].iter().flat_map(|taken| &taken.leases).map(|lease| &lease.partition).collect();
    assert_eq!(keys, [&partition(), &lane(0), &lane(0), &lane(1), &lane(1)], "in the order of their names");
}

async fn nothing_is_settled_past_what_was_taken_back(bench: Bench) {
    bench.planned_in(lane(0), &[10, 10, 10]).await;
    let low = bench.take_as("a", 1, 1, &[]).await.leases.remove(0);
    bench.pass(LEASE / 2).await;
    let high = bench.take_as("a", 2, 1, &[lane(0)]).await.leases.remove(0);
    bench.pass(LEASE / 2).await;
    // This take finds that the first lease has ended, and gets nothing: the second has not.
    assert_eq!(bench.take_as("b", 3, 9, &[]).await.leases, []);
    assert_eq!(bench.settle(&low).await, Settled::Stale(StaleReason::Nonce));
    assert_eq!(bench.settle(&high).await, Settled::Stale(StaleReason::Nonce));
    assert_eq!(bench.take_as("a", 4, 9, &[lane(0)]).await.leases, [], "it would lie above what came back");

    assert_eq!(bench.renew(&low, 5).await, Renewed::Kept);
    assert_eq!(bench.settle(&low).await, Settled::Done { watermark: 10 });
    assert_eq!(bench.settle(&high).await, Settled::Done { watermark: 20 });
    assert_eq!(ranges(&bench.take_as("b", 5, 9, &[]).await), ["20..30"]);
}

async fn what_was_taken_back_is_kept_while_nobody_has_the_lane(bench: Bench) {
    bench.planned_in(lane(0), &[10, 10]).await;
    let held = bench.take_as("a", 1, 9, &[]).await.leases;
    bench.planned(&[10]).await;
    bench.pass(LEASE).await;
    // Both leases have ended, but the whole partition's unit has waited for longer than the lane.
    assert_eq!(bench.take_as("b", 2, 1, &[]).await.leases[0].partition, partition());
    for lease in &held {
        assert_eq!(bench.settle(lease).await, Settled::Stale(StaleReason::Nonce));
    }
    for lease in &held {
        assert_eq!(bench.renew(lease, lease.range.end()).await, Renewed::Kept);
    }
    assert_eq!(bench.take_as("c", 3, 9, &[]).await.leases, []);
    for lease in &held {
        assert_eq!(bench.settle(lease).await, Settled::Done { watermark: lease.range.end() });
    }
}

async fn a_node_whose_lane_another_had_has_lost_it(bench: Bench) {
    bench.planned_in(lane(0), &[10, 10]).await;
    let zombie = bench.take_as("a", 1, 9, &[]).await.leases;
    bench.pass(LEASE).await;
    let heir = bench.take_as("b", 2, 1, &[]).await.leases.remove(0);
    assert_eq!((heir.range, heir.attempt), (zombie[0].range, 2));
    assert_eq!(bench.renew(&zombie[1], 10).await, Renewed::Lost);
    assert_eq!(bench.settle(&heir).await, Settled::Done { watermark: 10 });
    // The lane is free, and nobody took its second unit. But the first was handled again meanwhile.
    assert_eq!(bench.renew(&zombie[1], 10).await, Renewed::Lost);
    assert_eq!(bench.settle(&zombie[1]).await, Settled::Stale(StaleReason::Nonce));
    assert_eq!(bench.settle(&zombie[0]).await, Settled::Already);
    assert_eq!(ranges(&bench.take_as("a", 3, 9, &[]).await), ["10..20"]);
}

async fn a_rest_holds_up_its_lane_until_it_is_visible(bench: Bench) {
    bench.planned_in(lane(0), &[10, 10, 10]).await;
    let taken = bench.take_as("a", 1, 2, &[]).await;
    let back = [rest(3, 4, 200, 1)];
    assert_eq!(bench.settle_but(&taken.leases[0], &back).await, Settled::Done { watermark: 3 });
    assert_eq!(bench.take_as("a", 2, 9, &[lane(0)]).await.leases, [], "the rest comes first");
    assert_eq!(bench.settle(&taken.leases[1]).await, Settled::Done { watermark: 3 });
    assert_eq!(bench.take_as("b", 3, 9, &[]).await.next_in_ms, Some(200));
    let overview = bench.store.overview().await.unwrap();
    assert_eq!((overview.ready, overview.delayed), (0, 1));
    bench.pass(200).await;
    let retried = bench.take_as("b", 4, 9, &[]).await;
    assert_eq!((ranges(&retried), retried.leases[0].attempt), (vec!["3..4".into(), "20..30".into()], 2));
}

async fn a_lane_that_becomes_free_wakes(bench: Bench) {
    bench.planned_in(lane(0), &[10, 10]).await;
    let held = bench.take_as("a", 1, 1, &[]).await.leases.remove(0);
    let other = bench.other().await;
    let seen = bench.store.version();
    assert_eq!(bench.take_as("b", 2, 1, &[]).await.leases, []);
    other.settle(settle(&held)).await.unwrap();
    while bench.store.version() == seen {
        bench.store.changed(seen, Duration::from_secs(30)).await;
    }
    assert_eq!(ranges(&bench.take_as("b", 3, 1, &[]).await), ["10..20"]);
}

fn raise(watermark: Offset) -> Raise {
    let Plan { generation, boot, .. } = plan(0, &[1]);
    Raise { partition: lane(0), generation, boot, watermark }
}

async fn a_raise_that_cuts_a_lease_holds_up_what_is_above(bench: Bench) {
    bench.planned_in(lane(0), &[10, 10, 10]).await;
    let held = bench.take_as("a", 1, 2, &[]).await.leases;
    assert_eq!(bench.store.raise(raise(5)).await.unwrap(), Raised { watermark: 5 });
    assert_eq!(bench.settle(&held[1]).await, Settled::Stale(StaleReason::Nonce));
    assert_eq!(bench.take_as("b", 2, 9, &[]).await.leases, []);
    assert_eq!(bench.take_as("a", 2, 9, &[lane(0)]).await.leases, [], "it would lie above the cut");
    bench.pass(LEASE).await;
    assert_eq!(ranges(&bench.take_as("b", 3, 9, &[]).await), ["5..10", "10..20", "20..30"]);
}

async fn a_raise_past_what_was_taken_back_lets_the_rest_go_on(bench: Bench) {
    bench.planned_in(lane(0), &[10, 10, 10]).await;
    bench.take_as("a", 1, 1, &[]).await;
    bench.pass(LEASE / 2).await;
    let high = bench.take_as("a", 2, 1, &[lane(0)]).await.leases.remove(0);
    bench.pass(LEASE / 2).await;
    bench.take_as("b", 3, 9, &[]).await;
    assert_eq!(bench.settle(&high).await, Settled::Stale(StaleReason::Nonce));
    assert_eq!(bench.store.raise(raise(10)).await.unwrap(), Raised { watermark: 10 });
    assert_eq!(bench.settle(&high).await, Settled::Done { watermark: 20 });
    assert_eq!(bench.store.raise(raise(25)).await.unwrap(), Raised { watermark: 25 });
    assert_eq!(ranges(&bench.take_as("b", 4, 9, &[]).await), ["25..30"]);
}
