//! What every store promises of units that are put back by hand: the same scenarios on memory and on Redis.

#![allow(clippy::unwrap_used)]

#[macro_use]
mod store_bench;

use std::time::Duration;

use logmill_protocol::ids::{Lane, Offset, PartitionKey};
use logmill_protocol::work::{
    Cursor, Held, Renewed, Requeue, Requeued, Settled, StaleReason, Unit, UnitState,
};
use logmill_testkit::launch::{Software, skipped};
use store_bench::{Bench, LEASE_MS, partition, ranges, rest, settle};

scenarios! {
    its_holder_can_do_nothing_more_and_its_try_does_not_count
    a_unit_that_waits_comes_first_without_its_delay
    a_unit_is_cut_in_two
    what_was_seen_must_still_be_so
    a_lane_goes_back_as_one
    a_lanes_delay_ends
    whoever_waits_for_units_is_woken
}

fn lane() -> PartitionKey {
    partition().in_lane(Lane::new(3, 8).unwrap())
}

impl Bench {
    async fn units(&self, key: &PartitionKey) -> Vec<Unit> {
        let mut units = self.store.units(key.clone(), Cursor::START).await.unwrap().items;
        units.sort_by_key(|unit| unit.range.start());
        units
    }

    /// The unit that begins there, as it is seen.
    async fn seen(&self, key: &PartitionKey, start: Offset) -> Held {
        let snapshot = self.store.snapshot(key.clone()).await.unwrap().unwrap();
        let units = self.units(key).await;
        units.iter().find(|unit| unit.range.start() == start).unwrap().seen(&snapshot)
    }

    async fn requeue(&self, seen: Held, cut: Option<Offset>, front: bool) -> Requeued {
        self.store.requeue(Requeue { seen, cut, front }).await.unwrap()
    }
}

const fn done(released: u32) -> Requeued {
    Requeued::Done { released }
}

async fn its_holder_can_do_nothing_more_and_its_try_does_not_count(bench: Bench) {
    bench.planned(&[10, 10]).await;
    let taken = bench.take(1, 9).await.leases;
    assert_eq!(bench.renew(&taken[0], 4).await, Renewed::Kept);
    let seen = bench.seen(&partition(), 0).await;
    assert_eq!(bench.requeue(seen.clone(), None, false).await, done(1));
    assert_eq!(bench.renew(&taken[0], 6).await, Renewed::Lost);
    assert_eq!(bench.settle(&taken[0]).await, Settled::Stale(StaleReason::Nonce));
    assert_eq!(bench.settle(&taken[1]).await, Settled::Done { watermark: 0 }, "the other is its own affair");
    assert_eq!(bench.requeue(seen, None, false).await, Requeued::Stale(StaleReason::Nonce), "it is done");
    let again = bench.take(2, 9).await.leases;
    assert_eq!((again.len(), again[0].position, again[0].attempt), (1, 4, 1));
    assert_eq!(bench.settle(&taken[0]).await, Settled::Stale(StaleReason::Nonce));
    assert_eq!(bench.settle(&again[0]).await, Settled::Done { watermark: 20 });
}

async fn a_unit_that_waits_comes_first_without_its_delay(bench: Bench) {
    bench.planned(&[10, 10, 10]).await;
    let taken = bench.take(1, 1).await.leases;
    bench.settle_but(&taken[0], &[rest(5, 8, 60_000, 2)]).await;
    assert_eq!(ranges(&bench.take(2, 1).await), ["10..20"]);
    let seen = bench.seen(&partition(), 5).await;
    assert_eq!(bench.requeue(seen, None, true).await, done(0));
    let first = bench.take(3, 9).await;
    assert_eq!((ranges(&first), first.leases[0].attempt), (vec!["5..8".into(), "20..30".into()], 3));
}

async fn a_unit_is_cut_in_two(bench: Bench) {
    bench.planned(&[10, 10]).await;
    assert_eq!(bench.requeue(bench.seen(&partition(), 10).await, Some(13), false).await, done(0));
    let taken = bench.take(1, 9).await;
    assert_eq!(ranges(&taken), ["0..10", "10..13", "13..20"]);
    // One that is held is taken away and cut at once; what was handled of it stays so.
    assert_eq!(bench.renew(&taken.leases[0], 4).await, Renewed::Kept);
    assert_eq!(bench.requeue(bench.seen(&partition(), 0).await, Some(7), false).await, done(1));
    let again = bench.take(2, 9).await.leases;
    let positions: Vec<_> = again.iter().map(|lease| (lease.range.to_string(), lease.position)).collect();
    assert_eq!(positions, [("0..7".to_owned(), 4), ("7..10".to_owned(), 7)]);
    assert_eq!(bench.settle(&again[1]).await, Settled::Done { watermark: 0 });
    assert_eq!(bench.settle(&again[0]).await, Settled::Done { watermark: 10 });
    for at in [0, 10, 13, 99] {
        let seen = Held { range: taken.leases[1].range, ..taken.leases[1].held() };
        let cut = bench.store.requeue(Requeue { seen, cut: Some(at), front: false }).await;
        assert!(cut.unwrap_err().to_string().contains(&format!("offset {at} lies outside the unit")));
    }
}

async fn what_was_seen_must_still_be_so(bench: Bench) {
    bench.planned(&[10]).await;
    let fresh = bench.seen(&partition(), 0).await;
    let lease = bench.take(1, 9).await.leases.remove(0);
    assert_eq!(bench.requeue(fresh.clone(), None, true).await, Requeued::Stale(StaleReason::Nonce));
    let longer = Held { range: store_bench::range(0, 11), ..lease.held() };
    assert_eq!(bench.requeue(longer, None, true).await, Requeued::Stale(StaleReason::Range));
    bench.settle(&lease).await;
    assert_eq!(bench.requeue(lease.held(), None, true).await, Requeued::Stale(StaleReason::Range));
    bench.store.rebuild(store_bench::rebuild(2, 0)).await.unwrap();
    let old = bench.store.requeue(Requeue { seen: fresh.clone(), cut: None, front: true }).await;
    assert!(old.unwrap_err().to_string().contains("generation 2"));
    bench.wipe().await;
    assert!(store_bench::is_no_state(
        bench.store.requeue(Requeue { seen: fresh, cut: None, front: true }).await
    ));
}

async fn a_lane_goes_back_as_one(bench: Bench) {
    bench.planned_in(lane(), &[10; 4]).await;
    let held = bench.take_as("a", 1, 3, &[]).await.leases;
    assert_eq!(bench.requeue(bench.seen(&lane(), 10).await, None, false).await, done(3));
    for lease in &held {
        assert_eq!(bench.renew(lease, lease.range.end()).await, Renewed::Lost);
        assert_eq!(bench.settle(lease).await, Settled::Stale(StaleReason::Nonce), "it would pass 10..20");
    }
    assert_eq!(bench.take_as("a", 2, 9, &[lane()]).await.leases.len(), 4, "the lane is free");
    let units = bench.units(&lane()).await;
    assert!(units.iter().all(|unit| unit.attempt == 1 && matches!(unit.state, UnitState::Leased { .. })));
}

async fn a_lanes_delay_ends(bench: Bench) {
    bench.planned_in(lane(), &[10, 10]).await;
    let held = bench.take_as("a", 1, 1, &[]).await.leases.remove(0);
    bench.settle_but(&held, &[rest(3, 4, 60_000, 1)]).await;
    assert_eq!(bench.take_as("b", 2, 9, &[]).await.next_in_ms, Some(60_000));
    // It was placed in the queue by the delay of its first unit.
    bench.pass(LEASE_MS as i64).await;
    assert_eq!(bench.requeue(bench.seen(&lane(), 3).await, None, true).await, done(0));
    assert_eq!(ranges(&bench.take_as("b", 3, 9, &[]).await), ["3..4", "10..20"]);
}

async fn whoever_waits_for_units_is_woken(bench: Bench) {
    bench.planned(&[10]).await;
    bench.take(1, 9).await;
    let (other, seen) = (bench.other().await, bench.store.version());
    let unit = bench.seen(&partition(), 0).await;
    other.requeue(Requeue { seen: unit, cut: None, front: false }).await.unwrap();
    while bench.store.version() == seen {
        bench.store.changed(seen, Duration::from_secs(30)).await;
    }
    let lease = bench.take(2, 9).await.leases.remove(0);
    bench.store.settle(settle(&lease)).await.unwrap();
}
