//! What holds of `State` after any history: the invariants of the store, against a model that only
//! counts which offsets were handled, and one of the order in which they were given.

#![allow(clippy::unwrap_used)]

mod history;
mod order;

use std::collections::BTreeMap;

use history::{Call, Driver, Reply, apply, step};
use logmill_protocol::ids::{Boot, Generation, MAX_OFFSET, Nonce, Partition, PartitionKey, Uuid};
use logmill_protocol::work::{
    Cursor, Page, Plan, Planned, Range, RangeSet, Rebuild, Refused, Renew, Renewed, Requeued, Settle,
    Settled, State, Take, Taken, Unit, UnitState,
};
use order::Order;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// Offsets that are handled, per partition, in its current generation.
#[derive(Default)]
struct Handled(BTreeMap<PartitionKey, RangeSet>);

impl Handled {
    fn learn(&mut self, call: &Call, reply: &Result<Reply, Refused>) -> Result<(), TestCaseError> {
        match (call, reply) {
            (Call::Rebuild(request), Ok(_)) => {
                let below = Range::new(0, request.watermark);
                let handled = request.done.iter().copied().chain(below).collect();
                self.0.insert(request.partition.clone(), handled);
            }
            (Call::Raise(request), Ok(_)) => self.add(&request.partition, Range::new(0, request.watermark)),
            (Call::Settle(request), Ok(Reply::Settled(Settled::Done { .. }))) => {
                self.add(&request.held.partition, request.settled());
            }
            (Call::Settle(request), Ok(Reply::Settled(Settled::Already))) => {
                let handled = &self.0[&request.held.partition];
                prop_assert!(request.settled().all(|range| handled.covers(range)));
            }
            (Call::Forget(partition), Ok(_)) => drop(self.0.remove(partition)),
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, partition: &PartitionKey, ranges: impl IntoIterator<Item = Range>) {
        self.0.get_mut(partition).unwrap().extend(ranges);
    }

    /// The store's watermark and settled ranges are exactly what was handled: not less, and above
    /// all not more.
    fn check(&self, state: &State) -> Result<(), TestCaseError> {
        let Page { items, next } = state.partitions(Cursor::START);
        prop_assert_eq!(next, None);
        prop_assert_eq!(items.len(), self.0.len());
        for partition in items {
            let part = state.snapshot(&partition).unwrap();
            let below = Range::new(0, part.watermark);
            let claimed: RangeSet = part.done.iter().copied().chain(below).collect();
            prop_assert_eq!(&claimed, &self.0[&part.partition], "{}", part.partition);
        }
        Ok(())
    }
}

fn all_units(state: &State) -> BTreeMap<(String, i64), Unit> {
    let mut units = BTreeMap::new();
    for partition in state.partitions(Cursor::START).items {
        let mut from = Some(Cursor::START);
        while let Some(cursor) = from {
            let page = state.units(&partition, cursor);
            from = page.next;
            let key = |unit: &Unit| (partition.to_string(), unit.range.start());
            units.extend(page.items.into_iter().map(|unit| (key(&unit), unit)));
        }
    }
    units
}

/// Each unit taken was free for the taking, and this is one more try.
fn check_taken(before: &State, call: &Call, taken: &Taken, now: u64) -> Result<(), TestCaseError> {
    let Call::Take(request) = call else { return Ok(()) };
    let units = all_units(before);
    for lease in &taken.leases {
        let unit = &units[&(lease.partition.to_string(), lease.range.start())];
        let due = match unit.state {
            UnitState::Ready { visible_at_ms } => visible_at_ms,
            UnitState::Leased { deadline_ms } => deadline_ms,
        };
        prop_assert!(due <= now, "{unit:?} was taken at {now}");
        prop_assert_eq!(lease.attempt, unit.attempt + 1);
        prop_assert_eq!((lease.range, lease.position), (unit.range, unit.position));
        prop_assert_eq!(lease.nonce, request.nonce);
    }
    Ok(())
}

/// With nodes that work and nothing that fails, everything is settled after a bounded number of
/// takes, whatever happened before.
fn drain(mut state: State) -> Result<(), TestCaseError> {
    let mut now = state.overview(0).now_ms;
    for round in 1..2_000u128 {
        let (node, nonce) = ("drain".into(), Nonce(round));
        let take = Take { node, nonce, lease_ms: 1_000, max_units: 64, extend: vec![] };
        let taken = state.take(now, &take).unwrap();
        for lease in &taken.leases {
            let settle = Settle { held: lease.held(), rest: vec![], gaps: vec![] };
            let settled = state.settle(now, &settle).unwrap();
            prop_assert!(matches!(settled, Settled::Done { .. }), "{settled:?}");
        }
        match taken.next_in_ms {
            Some(wait) => now += wait,
            None => break,
        }
    }
    for partition in state.partitions(Cursor::START).items {
        let part = state.snapshot(&partition).unwrap();
        prop_assert_eq!(part.watermark, part.planned, "{}", part.partition);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_invariants(steps in prop::collection::vec(step(), 1..70)) {
        let (mut state, mut driver) = (State::new(), Driver::new());
        let (mut handled, mut order) = (Handled::default(), Order::default());
        for step in &steps {
            let Some(call) = driver.call(step) else { continue };
            let before = state.clone();
            let reply = apply(&mut state, driver.now, &call);
            driver.learn(&call, &reply);
            handled.learn(&call, &reply)?;
            order.learn(&before, &call, &reply, &state)?;

            prop_assert_eq!(state.check_invariants(), Ok(()), "after {:?}", call);
            handled.check(&state)?;
            let now = state.overview(driver.now).now_ms;
            let mut untouched = before.clone();
            if !matches!(reply, Err(Refused::Invalid(_))) {
                untouched.depart(driver.now, "nobody").unwrap();
            }
            let refused = match &reply {
                Err(_) | Ok(Reply::Settled(Settled::Already | Settled::Stale(_) | Settled::Full { .. })) => true,
                Ok(Reply::Requeued(requeued)) => !matches!(requeued, Requeued::Done { .. }),
                Ok(Reply::Planned(planned)) => !matches!(planned, Planned::Ok { .. }),
                Ok(Reply::Renewed(renewed)) => renewed.iter().all(|&one| one == Renewed::Lost),
                Ok(Reply::Taken(taken)) => {
                    check_taken(&before, &call, taken, now)?;
                    false
                }
                Ok(_) => false,
            };
            if refused {
                prop_assert_eq!(&untouched, &state, "{:?} was refused and changed something", call);
            }
            prop_assert!(now >= before.overview(0).now_ms, "time ran backwards");
        }
        drain(state)?;
    }

    #[test]
    fn any_order_and_number_of_settles_gives_the_same_state(
        sizes in prop::collection::vec(1..9i64, 1..40),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let (mut state, leases) = leased(&sizes);
        let mut expected = state.clone();
        let settle = |lease: usize| {
            let held = logmill_protocol::work::Lease::held(&leases[lease]);
            Settle { held, rest: vec![], gaps: vec![] }
        };
        for lease in 0..leases.len() {
            expected.settle(1, &settle(lease)).unwrap();
        }
        let order = order.iter().map(|index| index.index(leases.len()));
        for lease in order.chain((0..leases.len()).rev()) {
            let settled = state.settle(1, &settle(lease)).unwrap();
            prop_assert!(matches!(settled, Settled::Done { .. } | Settled::Already), "{settled:?}");
            prop_assert_eq!(state.check_invariants(), Ok(()));
        }
        prop_assert_eq!(state, expected);
    }
}

fn partition() -> PartitionKey {
    PartitionKey::new(Partition::new("t", 0), Uuid::ZERO)
}

fn rebuilt(generation: u64, watermark: i64, planned: i64) -> Rebuild {
    let units = Range::new(watermark, planned).into_iter().collect();
    Rebuild {
        partition: partition(),
        generation: Generation(generation),
        boot: Boot(generation + 100),
        leader_epoch: -1,
        watermark,
        planned,
        done: vec![],
        units,
    }
}

/// A state whose units, of these sizes, are all leased, and the leases.
fn leased(sizes: &[i64]) -> (State, Vec<logmill_protocol::work::Lease>) {
    let mut state = State::new();
    state.rebuild(0, &rebuilt(1, 0, 0)).unwrap();
    let ends = sizes.iter().scan(0, |at, size| {
        *at += size;
        Some(*at)
    });
    let (generation, boot) = (Generation(1), Boot(101));
    let plan =
        Plan { partition: partition(), generation, boot, from: 0, ends: ends.collect(), max_units: 100 };
    state.plan(0, &plan).unwrap();
    let (node, nonce) = ("n".into(), Nonce(9));
    let take = Take { node, nonce, lease_ms: 1_000, max_units: 64, extend: vec![] };
    let taken = state.take(0, &take).unwrap();
    (state, taken.leases)
}

#[test]
fn after_a_rewind_nothing_old_settles_anything() {
    let (mut state, leases) = leased(&[10, 10]);
    state.rebuild(5, &rebuilt(2, 0, 20)).unwrap();
    for lease in &leases {
        let settle = Settle { held: lease.held(), rest: vec![], gaps: vec![] };
        assert!(matches!(state.settle(6, &settle), Ok(Settled::Stale(_))));
    }
    assert_eq!(state.snapshot(&partition()).unwrap().watermark, 0);
}

#[test]
fn a_lease_that_ended_is_kept_by_renew_until_somebody_takes_the_unit() {
    let (mut state, leases) = leased(&[10]);
    let held = vec![logmill_protocol::work::Progress { held: leases[0].held(), position: 4 }];
    let renew = Renew { lease_ms: 1_000, held };
    assert_eq!(state.renew(5_000, &renew), Ok(vec![Renewed::Kept]));
    let (node, nonce) = ("o".into(), Nonce(10));
    let other = Take { node, nonce, lease_ms: 1_000, max_units: 1, extend: vec![] };
    assert_eq!(state.take(5_999, &other).unwrap(), Taken { leases: vec![], next_in_ms: Some(1) });
    let taken = state.take(6_000, &other).unwrap();
    assert_eq!((taken.leases[0].position, taken.leases[0].attempt), (4, 2));
    assert_eq!(state.renew(6_001, &renew), Ok(vec![Renewed::Lost]));
}

#[test]
fn offsets_go_up_to_the_largest_and_no_further() {
    let mut state = State::new();
    state.rebuild(0, &rebuilt(1, MAX_OFFSET - 2, MAX_OFFSET - 2)).unwrap();
    let (generation, boot, from) = (Generation(1), Boot(101), MAX_OFFSET - 2);
    let plan = |end| Plan {
        partition: partition(),
        generation,
        boot,
        from,
        ends: vec![from + 1, end],
        max_units: 9,
    };
    assert!(matches!(state.plan(0, &plan(MAX_OFFSET + 1)), Err(Refused::Invalid(_))));
    let planned = state.plan(0, &plan(MAX_OFFSET));
    assert_eq!(planned, Ok(Planned::Ok { planned: MAX_OFFSET, units_added: 2 }));
}
