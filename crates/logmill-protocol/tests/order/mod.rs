//! What holds of the order in lanes after any history: a model that only remembers what was given to
//! whom, and what of it was settled.

use std::collections::BTreeMap;

use logmill_protocol::ids::{Nonce, PartitionKey};
use logmill_protocol::work::{
    Cursor, Lease, Range, Refused, Requeue, Requeued, Settle, Settled, State, Unit, UnitState,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::history::{Call, Reply};

/// What was given of each lane in its current generation, oldest first.
#[derive(Default)]
pub(crate) struct Order {
    given: BTreeMap<PartitionKey, Vec<Given>>,
    /// What was put back by hand, and was not given again since.
    by_hand: BTreeMap<PartitionKey, Vec<Range>>,
}

#[derive(Debug, PartialEq)]
struct Given {
    range: Range,
    nonce: Nonce,
    settled: bool,
    /// Its node settled another above it while it held both: then the order is its own affair.
    passed: bool,
}

impl Order {
    pub(crate) fn learn(
        &mut self,
        before: &State,
        call: &Call,
        reply: &Result<Reply, Refused>,
        after: &State,
    ) -> Result<(), TestCaseError> {
        match (call, reply) {
            (Call::Rebuild(request), Ok(_)) => self.forget(&request.partition),
            (Call::Forget(partition), Ok(_)) => self.forget(partition),
            (Call::Raise(request), Ok(Reply::Raised(raised))) => {
                let above = |range: &Range| range.end() > raised.watermark;
                self.by_hand.entry(request.partition.clone()).or_default().retain(above);
            }
            (Call::Take(request), Ok(Reply::Taken(taken))) => {
                for lease in taken.leases.iter().filter(|lease| !lease.partition.lane.is_whole()) {
                    self.give(before, lease)?;
                    // Whoever gets some of a lane is the only one to hold any, and gets what is above the rest.
                    for unit in after.units(&lease.partition, Cursor::START).items {
                        if matches!(unit.state, UnitState::Leased { .. }) {
                            prop_assert_eq!(&unit.node, &request.node, "{:?} beside {:?}", unit, lease);
                            let earlier = unit.nonce != request.nonce;
                            prop_assert!(
                                !earlier || unit.range.start() < lease.range.start(),
                                "{unit:?}, then {lease:?}"
                            );
                        }
                    }
                }
            }
            (Call::Settle(request), Ok(Reply::Settled(Settled::Done { .. })))
                if !request.held.partition.lane.is_whole() =>
            {
                self.settle(before, request)?
            }
            (Call::Requeue(request), Ok(Reply::Requeued(Requeued::Done { .. })))
                if !request.seen.partition.lane.is_whole() =>
            {
                self.put_back(before, request, after)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What goes back by hand is as if it had not been given, but must come again before anything above it is settled.
    fn put_back(&mut self, before: &State, request: &Requeue, after: &State) -> Result<(), TestCaseError> {
        let partition = &request.seen.partition;
        let units = |state: &State| state.units(partition, Cursor::START).items;
        let fresh: Vec<_> = units(after).into_iter().filter(|unit| unit.nonce == Nonce::default()).collect();
        for unit in units(before).iter().filter(|unit| unit.nonce != Nonce::default()) {
            if fresh.iter().any(|fresh| unit.range.covers(fresh.range)) {
                self.comes_again(partition, unit)?;
                self.by_hand.entry(partition.clone()).or_default().push(unit.range);
            }
        }
        Ok(())
    }

    /// Per key, what is handled again is a stretch that reaches to where handling had come: a unit comes
    /// again, that its node has not put back, only if all that was given above it since comes again too.
    fn give(&mut self, before: &State, lease: &Lease) -> Result<(), TestCaseError> {
        let units = before.units(&lease.partition, Cursor::START).items;
        let unit = units.iter().find(|unit| unit.range == lease.range).unwrap();
        if unit.nonce != Nonce::default() {
            self.comes_again(&lease.partition, unit)?;
        }
        let by_hand = self.by_hand.entry(lease.partition.clone()).or_default();
        let covers = |range: &Range| range.covers(lease.range);
        if let Some(at) = by_hand.iter().copied().find(covers) {
            by_hand.retain(|range| *range != at);
            by_hand.extend(at.without([lease.range]));
        }
        let given = Given { range: lease.range, nonce: lease.nonce, settled: false, passed: false };
        self.given.entry(lease.partition.clone()).or_default().push(given);
        Ok(())
    }

    fn comes_again(&self, partition: &PartitionKey, unit: &Unit) -> Result<(), TestCaseError> {
        let given = &self.given[partition];
        let is_same = |given: &Given| given.nonce == unit.nonce && given.range.covers(unit.range);
        let last = given.iter().rposition(is_same).unwrap();
        let above = |later: &&Given| later.settled && later.range.start() >= unit.range.end();
        let settled = given[last..].iter().find(above).filter(|_| !given[last].passed);
        prop_assert_eq!(settled, None, "settled, and {:?} comes again", unit);
        Ok(())
    }

    fn forget(&mut self, partition: &PartitionKey) {
        self.given.remove(partition);
        self.by_hand.remove(partition);
    }

    /// What is settled was given after everything below it, and none of that waits to come again.
    fn settle(&mut self, before: &State, request: &Settle) -> Result<(), TestCaseError> {
        let given = self.given.get_mut(&request.held.partition).unwrap();
        let range = request.held.range;
        let below = |back: &&Range| back.start() < range.start();
        let by_hand = self.by_hand.get(&request.held.partition).into_iter().flatten().find(below);
        prop_assert_eq!(by_hand, None, "put back by hand, and {:?} was settled", request);
        let is_this = |given: &Given| given.nonce == request.held.nonce && given.range == range;
        let this = given.iter().rposition(is_this).unwrap();
        let later = given[this..].iter().find(|later| later.range.end() <= range.start());
        prop_assert_eq!(later, None, "given later, and {:?} was settled", request);
        given[this].settled = request.settled().next().is_some();
        let units = before.units(&request.held.partition, Cursor::START).items;
        for unit in
            units.iter().filter(|unit| unit.range.start() < range.start() && unit.nonce != Nonce::default())
        {
            let is_held = matches!(unit.state, UnitState::Leased { .. });
            prop_assert!(is_held, "{unit:?} waits, and {request:?} was settled");
            let is_same = |given: &&mut Given| given.nonce == unit.nonce && given.range == unit.range;
            given.iter_mut().rev().find(is_same).unwrap().passed = true;
        }
        Ok(())
    }
}
