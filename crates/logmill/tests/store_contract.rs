//! What every store promises: the same scenarios on memory and on Redis.

#![allow(clippy::unwrap_used)]

#[macro_use]
mod store_bench;

use std::time::Duration;

use logmill::store::StoreError;
use logmill_protocol::ids::MAX_OFFSET;
use logmill_protocol::work::{
    Announce, Announced, Cursor, Gap, GapCause, Lease, MAX_RESTS, MAX_UNITS, Plan, Planned, Raise, Raised,
    Refused, Renewed, Settled, StaleReason, Taken,
};
use logmill_testkit::launch::{Software, skipped};
use store_bench::{Bench, gaps, is_no_state, partition, plan, range, ranges, rebuild, rest, settle};

scenarios! {
    units_come_in_order_and_settle_in_any
    a_late_settle_counts_while_nobody_took_the_unit
    a_zombie_is_refused_once_its_unit_was_taken
    an_expired_unit_comes_before_newer_ones_from_its_checkpoint
    a_rest_comes_back_after_its_delay
    a_plan_that_somebody_was_faster_with_adds_nothing
    a_full_partition_plans_no_more
    a_split_that_does_not_fit_is_refused_whole
    nothing_is_known_after_a_loss_until_the_rebuild
    a_rewind_voids_what_went_before
    a_store_behind_kafka_is_raised
    lost_offsets_are_listed_and_counted
    three_nodes_organise_and_a_fourth_when_one_departs
    no_wake_up_is_lost
    a_forgotten_partition_gives_no_units
    what_is_wrong_in_itself_is_refused
    listings_come_in_pages
    offsets_may_be_the_largest_there_are
}

async fn units_come_in_order_and_settle_in_any(bench: Bench) {
    bench.planned(&[10, 10, 10]).await;
    let taken = bench.take(1, 2).await;
    assert_eq!(ranges(&taken), ["0..10", "10..20"]);
    assert_eq!(taken.next_in_ms, Some(0));
    let third = bench.take(2, 2).await;
    assert_eq!(ranges(&third), ["20..30"]);
    assert_eq!(bench.settle(&third.leases[0]).await, Settled::Done { watermark: 0 });
    assert_eq!(bench.settle(&taken.leases[0]).await, Settled::Done { watermark: 10 });
    let snapshot = bench.store.snapshot(partition()).await.unwrap().unwrap();
    assert_eq!((snapshot.done, snapshot.units), (vec![range(20, 30)], 1));
    assert_eq!(bench.settle(&taken.leases[1]).await, Settled::Done { watermark: 30 });
    assert_eq!(bench.settle(&taken.leases[1]).await, Settled::Already);
    assert_eq!(bench.take(3, 1).await, Taken { leases: vec![], next_in_ms: None });
}

async fn a_late_settle_counts_while_nobody_took_the_unit(bench: Bench) {
    bench.planned(&[10, 10]).await;
    let taken = bench.take(1, 2).await;
    bench.pass(60_000).await;
    assert_eq!(bench.settle(&taken.leases[0]).await, Settled::Done { watermark: 10 });
    assert_eq!(ranges(&bench.take(2, 2).await), ["10..20"]);
}

async fn a_zombie_is_refused_once_its_unit_was_taken(bench: Bench) {
    bench.planned(&[10]).await;
    let zombie = bench.take(1, 1).await.leases.remove(0);
    bench.pass(LEASE as i64).await;
    let heir = bench.take(2, 1).await.leases.remove(0);
    assert_eq!((heir.range, heir.attempt), (zombie.range, 2));
    assert_eq!(bench.settle(&zombie).await, Settled::Stale(StaleReason::Nonce));
    assert_eq!(bench.renew(&zombie, 5).await, Renewed::Lost);
    assert_eq!(bench.watermark().await, 0);
    assert_eq!(bench.settle(&heir).await, Settled::Done { watermark: 10 });
    assert_eq!(bench.settle(&zombie).await, Settled::Already);
}

const LEASE: u64 = store_bench::LEASE_MS;

async fn an_expired_unit_comes_before_newer_ones_from_its_checkpoint(bench: Bench) {
    bench.planned(&[10]).await;
    let lease = bench.take(1, 1).await.leases.remove(0);
    assert_eq!(bench.renew(&lease, 6).await, Renewed::Kept);
    assert_eq!(bench.renew(&lease, 4).await, Renewed::Kept);
    bench.pass(LEASE as i64 + 5).await;
    bench.store.plan(plan(10, &[10])).await.unwrap();
    let taken = bench.take(2, 2).await;
    assert_eq!(ranges(&taken), ["0..10", "10..20"]);
    assert_eq!((taken.leases[0].position, taken.leases[0].attempt), (6, 2));
}

async fn a_rest_comes_back_after_its_delay(bench: Bench) {
    bench.planned(&[10]).await;
    let lease = bench.take(1, 1).await.leases.remove(0);
    let back = [rest(3, 4, 200, 1), rest(8, 10, 0, 0)];
    assert_eq!(bench.settle_but(&lease, &back).await, Settled::Done { watermark: 3 });
    // The answer was lost: the same settle again changes nothing.
    assert_eq!(bench.settle_but(&lease, &back).await, Settled::Already);
    let released = bench.take(2, 5).await;
    assert_eq!((ranges(&released), released.leases[0].attempt), (vec!["8..10".into()], 1));
    assert_eq!(released.next_in_ms, Some(200));
    bench.pass(199).await;
    assert_eq!(bench.take(3, 5).await.next_in_ms, Some(1));
    bench.pass(1).await;
    let retried = bench.take(4, 5).await;
    assert_eq!((ranges(&retried), retried.leases[0].attempt), (vec!["3..4".into()], 2));
    assert_eq!(bench.settle(&retried.leases[0]).await, Settled::Done { watermark: 8 });
}

async fn a_plan_that_somebody_was_faster_with_adds_nothing(bench: Bench) {
    bench.planned(&[10]).await;
    let other = bench.other().await;
    let planned = other.plan(plan(10, &[10])).await.unwrap();
    assert_eq!(planned, Planned::Ok { planned: 20, units_added: 1 });
    assert_eq!(bench.store.plan(plan(10, &[5])).await.unwrap(), Planned::Moved { planned: 20 });
    let stale = Plan { boot: logmill_protocol::ids::Boot(8), ..plan(20, &[5]) };
    let refused = bench.store.plan(stale).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(Refused::Stale { .. })), "{refused}");
}

async fn a_full_partition_plans_no_more(bench: Bench) {
    bench.planned(&[1, 1]).await;
    let most = |from, sizes: &[i64]| Plan { max_units: 3, ..plan(from, sizes) };
    let planned = bench.store.plan(most(2, &[1, 1])).await.unwrap();
    assert_eq!(planned, Planned::Ok { planned: 3, units_added: 1 });
    assert_eq!(bench.store.plan(most(3, &[1])).await.unwrap(), Planned::Full { units: 3 });
    let lease = bench.take(1, 1).await.leases.remove(0);
    bench.settle(&lease).await;
    let planned = bench.store.plan(most(3, &[1])).await.unwrap();
    assert_eq!(planned, Planned::Ok { planned: 4, units_added: 1 });
}

async fn a_split_that_does_not_fit_is_refused_whole(bench: Bench) {
    let parts = MAX_RESTS as i64;
    // Split parts stay out of the way of the next take.
    let split = |lease: &Lease, delay_ms| {
        let one = lease.range.len() as i64 / parts;
        let rest = |part| {
            rest(lease.range.start() + part * one, lease.range.start() + (part + 1) * one, delay_ms, 0)
        };
        (0..parts).map(rest).collect::<Vec<_>>()
    };
    bench.planned(&[parts * parts * 2]).await;
    let first = bench.take(1, 1).await.leases.remove(0);
    bench.settle_but(&first, &split(&first, 0)).await;
    let (mut units, mut nonce) = (parts, 1);
    loop {
        nonce += 1;
        let lease = bench.take(nonce, 1).await.leases.remove(0);
        let settled = bench.settle_but(&lease, &split(&lease, 60_000)).await;
        units += parts - 1;
        if units > MAX_UNITS.into() {
            let held = MAX_UNITS as i64 - (parts - 1 - (units - MAX_UNITS as i64));
            assert_eq!(settled, Settled::Full { units: held as u32 });
            // In one piece it can go back.
            let whole = [rest(lease.range.start(), lease.range.end(), 0, 0)];
            assert!(matches!(bench.settle_but(&lease, &whole).await, Settled::Done { .. }));
            break;
        }
        assert!(matches!(settled, Settled::Done { .. }), "{settled:?}");
    }
}

async fn nothing_is_known_after_a_loss_until_the_rebuild(bench: Bench) {
    bench.planned(&[10, 10]).await;
    let lease = bench.take(1, 1).await.leases.remove(0);
    bench.wipe().await;
    assert!(is_no_state(bench.store.plan(plan(20, &[5])).await));
    assert!(is_no_state(bench.store.settle(settle(&lease)).await));
    assert_eq!(bench.renew(&lease, 1).await, Renewed::Lost);
    assert_eq!(bench.take(2, 1).await, Taken { leases: vec![], next_in_ms: None });
    assert_eq!(bench.store.snapshot(partition()).await.unwrap(), None);

    let mut from_kafka = rebuild(2, 5);
    (from_kafka.planned, from_kafka.done, from_kafka.units) = (20, vec![range(8, 20)], vec![range(5, 8)]);
    bench.store.rebuild(from_kafka.clone()).await.unwrap();
    assert_eq!(bench.settle(&lease).await, Settled::Stale(StaleReason::Generation));
    assert_eq!(ranges(&bench.take(3, 9).await), ["5..8"]);
    let again = bench.store.rebuild(from_kafka).await.unwrap_err();
    assert!(matches!(again, StoreError::Refused(Refused::Stale { .. })), "{again}");
}

async fn a_rewind_voids_what_went_before(bench: Bench) {
    bench.planned(&[10, 10]).await;
    let lease = bench.take(1, 1).await.leases.remove(0);
    bench.settle(&lease).await;
    let held = bench.take(2, 1).await.leases.remove(0);
    bench.store.rebuild(rebuild(2, 0)).await.unwrap();
    assert_eq!(bench.settle(&lease).await, Settled::Stale(StaleReason::Generation));
    assert_eq!(bench.settle(&held).await, Settled::Stale(StaleReason::Generation));
    assert_eq!(bench.renew(&held, 20).await, Renewed::Lost);
    assert_eq!(bench.watermark().await, 0);
    assert_eq!(bench.take(3, 9).await.leases, []);
}

async fn a_store_behind_kafka_is_raised(bench: Bench) {
    bench.planned(&[10, 10, 10]).await;
    let taken = bench.take(1, 2).await;
    let raise = |watermark| {
        let Plan { partition, generation, boot, .. } = plan(0, &[1]);
        Raise { partition, generation, boot, watermark }
    };
    assert_eq!(bench.store.raise(raise(15)).await.unwrap(), Raised { watermark: 15 });
    assert_eq!(bench.store.raise(raise(3)).await.unwrap(), Raised { watermark: 15 });
    assert_eq!(bench.settle(&taken.leases[0]).await, Settled::Already);
    assert_eq!(bench.settle(&taken.leases[1]).await, Settled::Stale(StaleReason::Range));
    assert_eq!(ranges(&bench.take(2, 9).await), ["15..20", "20..30"]);
    assert_eq!(bench.store.raise(raise(40)).await.unwrap(), Raised { watermark: 40 });
    let snapshot = bench.store.snapshot(partition()).await.unwrap().unwrap();
    assert_eq!((snapshot.planned, snapshot.units), (40, 0));
}

async fn lost_offsets_are_listed_and_counted(bench: Bench) {
    bench.planned(&[10]).await;
    let lease = bench.take(1, 1).await.leases.remove(0);
    let lost = vec![
        Gap { range: range(0, 4), cause: GapCause::Retention },
        Gap { range: range(6, 7), cause: GapCause::Unreadable },
    ];
    let settled = bench.store.settle(gaps(&lease, lost.clone())).await.unwrap();
    assert_eq!(settled, Settled::Done { watermark: 10 });
    let overview = bench.store.overview().await.unwrap();
    assert_eq!(overview.lost_offsets, 5);
    assert_eq!(overview.gaps.iter().map(|lost| lost.gap).collect::<Vec<_>>(), lost);
    bench.store.forget(partition()).await.unwrap();
    assert_eq!(bench.store.overview().await.unwrap().lost_offsets, 5);
}

async fn three_nodes_organise_and_a_fourth_when_one_departs(bench: Bench) {
    let announce = async |node: &str| {
        let (node, info) = (node.to_owned(), String::new());
        let request = Announce { node, info, wants_organise: true, ttl_ms: 500, max_organisers: 3 };
        bench.store.announce(request).await.unwrap()
    };
    for node in ["a", "b", "c"] {
        assert!(announce(node).await.organise);
    }
    assert_eq!(announce("d").await, Announced { organise: false, live_nodes: 4 });
    assert_eq!(announce("a").await, Announced { organise: true, live_nodes: 4 });
    bench.store.depart("b".into()).await.unwrap();
    assert_eq!(announce("d").await, Announced { organise: true, live_nodes: 3 });
    assert_eq!(announce("b").await, Announced { organise: false, live_nodes: 4 });
    bench.pass(499).await;
    assert_eq!(announce("b").await, Announced { organise: false, live_nodes: 4 });
    bench.pass(1).await;
    assert_eq!(announce("b").await, Announced { organise: true, live_nodes: 1 });
}

async fn no_wake_up_is_lost(bench: Bench) {
    bench.planned(&[10]).await;
    let other = bench.other().await;
    let held = bench.take(1, 1).await.leases.remove(0);
    // Long enough that only a wake-up ends the wait; the store's own cap is waited out by the loop.
    let woken = async |seen: u64| {
        while bench.store.version() == seen {
            bench.store.changed(seen, Duration::from_secs(30)).await;
        }
    };

    let seen = bench.store.version();
    assert_eq!(bench.take(2, 1).await.leases, []);
    // Between the take and the wait.
    other.plan(plan(10, &[10])).await.unwrap();
    woken(seen).await;
    bench.take(3, 1).await;

    let seen = bench.store.version();
    tokio::join!(woken(seen), async {
        other.settle(store_bench::settle(&held)).await.unwrap();
        let taken = bench.take(4, 1).await;
        assert_eq!(taken.leases, []);
        other.rebuild(rebuild(2, 30)).await.unwrap();
    });
}

async fn a_forgotten_partition_gives_no_units(bench: Bench) {
    bench.planned(&[10, 10]).await;
    let lease = bench.take(1, 1).await.leases.remove(0);
    assert!(bench.store.forget(partition()).await.unwrap());
    assert!(!bench.store.forget(partition()).await.unwrap());
    assert!(is_no_state(bench.store.settle(settle(&lease)).await));
    bench.pass(LEASE as i64 * 2).await;
    assert_eq!(bench.take(2, 9).await, Taken { leases: vec![], next_in_ms: None });
}

async fn what_is_wrong_in_itself_is_refused(bench: Bench) {
    bench.planned(&[10]).await;
    let lease = bench.take(1, 1).await.leases.remove(0);
    let outside = logmill_protocol::work::Settle { rest: vec![rest(9, 11, 0, 0)], ..settle(&lease) };
    let answers = [
        bench.store.settle(outside).await.err(),
        bench.store.plan(plan(10, &[])).await.err(),
        bench.store.plan(plan(10, &[MAX_OFFSET])).await.err(),
        bench.store.rebuild(logmill_protocol::work::Rebuild { planned: 9, ..rebuild(2, 0) }).await.err(),
        bench.store.depart(String::new()).await.err(),
    ];
    for answer in answers {
        let refused = answer.unwrap();
        assert!(matches!(refused, StoreError::Refused(Refused::Invalid(_))), "{refused}");
        assert!(!refused.is_retriable());
    }
}

async fn listings_come_in_pages(bench: Bench) {
    bench.store.rebuild(rebuild(1, 0)).await.unwrap();
    for from in 0..12 {
        bench.store.plan(plan(from * 100, &[1; 100])).await.unwrap();
    }
    let mut starts = std::collections::BTreeSet::new();
    let (mut from, mut pages) = (Some(Cursor::START), 0);
    while let Some(cursor) = from {
        let page = bench.store.units(partition(), cursor).await.unwrap();
        starts.extend(page.items.iter().map(|unit| unit.range.start()));
        (from, pages) = (page.next, pages + 1);
    }
    assert_eq!(starts, (0..1_200).collect());
    assert!(pages > 1);
    assert_eq!(bench.store.partitions(Cursor::START).await.unwrap().items, [partition()]);
}

async fn offsets_may_be_the_largest_there_are(bench: Bench) {
    bench.store.rebuild(rebuild(1, MAX_OFFSET - 3)).await.unwrap();
    bench.store.plan(plan(MAX_OFFSET - 3, &[1, 1, 1])).await.unwrap();
    let taken = bench.take(1, 9).await;
    for lease in [&taken.leases[2], &taken.leases[0]] {
        bench.settle(lease).await;
    }
    let snapshot = bench.store.snapshot(partition()).await.unwrap().unwrap();
    assert_eq!(snapshot.done, [range(MAX_OFFSET - 1, MAX_OFFSET)]);
    let settled = bench.settle(&taken.leases[1]).await;
    assert_eq!(settled, Settled::Done { watermark: MAX_OFFSET });
}
