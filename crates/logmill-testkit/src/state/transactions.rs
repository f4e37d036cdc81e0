//! Transactions by their first protocol (KIP-98): who holds a transactional id, which partitions and
//! consumer groups a transaction has touched, and how it ends. An ending is done at once everywhere:
//! the markers are written before the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::wire::Str;
use tokio::time::Instant;

use super::State;
use super::log::Ending;

/// The longest time that a transaction may stay open (`transaction.max.timeout.ms`).
const LONGEST: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing since the id was taken.
    Empty,
    /// Open, and rolled back at that time if it is still.
    Ongoing { until: Instant },
    /// Ended, and how.
    Ended { commit: bool },
}

#[derive(Debug)]
struct Transaction {
    producer_id: i64,
    epoch: i16,
    timeout: Duration,
    phase: Phase,
    partitions: BTreeSet<(Str, i32)>,
    groups: BTreeSet<Str>,
}

/// Every transactional id, ever taken.
#[derive(Debug, Default)]
pub(crate) struct Transactions(BTreeMap<Str, Transaction>);

/// A producer as it names itself in requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) id: &'a Str,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

impl Transactions {
    /// Whether a batch of this producer may be stored in the partition inside a transaction.
    pub(crate) fn is_open_in(&self, producer_id: i64, topic: &str, index: i32) -> bool {
        let mut open = self.0.values().filter(|t| matches!(t.phase, Phase::Ongoing { .. }));
        open.any(|t| {
            t.producer_id == producer_id && t.partitions.iter().any(|(n, i)| n == topic && *i == index)
        })
    }

    /// When the next open transaction is rolled back for its age.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let until = |t: &Transaction| match t.phase {
            Phase::Ongoing { until } => Some(until),
            _ => None,
        };
        self.0.values().filter_map(until).min()
    }

    fn claimed(&mut self, claim: Claim<'_>) -> Result<&mut Transaction, ErrorCode> {
        let found = self.0.get_mut(claim.id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if found.producer_id != claim.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if found.epoch != claim.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(found)
    }

    /// The transaction, opened if it is not.
    pub(crate) fn open(&mut self, claim: Claim<'_>, now: Instant) -> Result<Open<'_>, ErrorCode> {
        let found = self.claimed(claim)?;
        if !matches!(found.phase, Phase::Ongoing { .. }) {
            found.phase = Phase::Ongoing { until: now + found.timeout };
        }
        Ok(Open(found))
    }

    /// Whether the claim is good and its transaction has the consumer group in it.
    pub(crate) fn check_group(&mut self, claim: Claim<'_>, group: &Str) -> Result<(), ErrorCode> {
        let found = self.claimed(claim)?;
        let open = matches!(found.phase, Phase::Ongoing { .. }) && found.groups.contains(group);
        if open { Ok(()) } else { Err(ErrorCode::InvalidTxnState) }
    }

    /// Forgets a topic that was deleted: its markers have nowhere to go.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for transaction in self.0.values_mut() {
            transaction.partitions.retain(|(name, _)| name != topic);
        }
    }
}

/// A transaction that is open.
#[derive(Debug)]
pub(crate) struct Open<'a>(&'a mut Transaction);

impl Open<'_> {
    pub(crate) fn add_partition(&mut self, topic: Str, index: i32) {
        self.0.partitions.insert((topic, index));
    }

    pub(crate) fn add_group(&mut self, group: Str) {
        self.0.groups.insert(group);
    }
}

impl State {
    /// Takes a transactional id: gives producer id and epoch. Whoever held it before is fenced, and what
    /// it left open is rolled back. `held` is what a producer that starts anew says it has had.
    pub(crate) fn take_transactional_id(
        &mut self,
        id: &Str,
        timeout: Duration,
        held: Option<(i64, i16)>,
    ) -> Result<(i64, i16), ErrorCode> {
        if timeout.is_zero() || timeout > LONGEST {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        if let Some(found) = self.transactions.0.get_mut(id) {
            if held.is_some_and(|held| held != (found.producer_id, found.epoch)) {
                return Err(ErrorCode::ProducerFenced);
            }
            found.timeout = timeout;
            self.roll_back(id);
        }
        let fresh = Transaction {
            producer_id: self.next_producer_id,
            epoch: -1,
            timeout,
            phase: Phase::Empty,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
        };
        let key = super::owned(id);
        let taken = self.transactions.0.entry(key).or_insert(fresh);
        // Where epochs end, a new producer id begins.
        if taken.epoch == -1 || taken.epoch == i16::MAX {
            (taken.producer_id, taken.epoch) = (self.next_producer_id, -1);
            self.next_producer_id += 1;
        }
        taken.epoch += 1;
        taken.phase = Phase::Empty;
        Ok((taken.producer_id, taken.epoch))
    }

    /// Rolls back what is open under an id, with the epoch raised, so that its holder is fenced in
    /// every partition it wrote to.
    fn roll_back(&mut self, id: &Str) {
        let Some(found) = self.transactions.0.get_mut(id) else { return };
        if matches!(found.phase, Phase::Ongoing { .. }) {
            found.epoch = found.epoch.saturating_add(1);
            self.write_end(id, false);
        }
    }

    /// Rolls back every transaction that has been open for too long.
    pub(crate) fn expire_transactions(&mut self) {
        while let Some(due) = self.transactions.next_due().filter(|due| *due <= self.now) {
            let is_due = |t: &Transaction| t.phase == Phase::Ongoing { until: due };
            let late = self.transactions.0.iter().find(|(_, t)| is_due(t)).map(|(id, _)| id.clone());
            let Some(id) = late else { return };
            self.roll_back(&id);
        }
    }

    /// Commits or rolls back. Asked again, it tells the same.
    pub(crate) fn end_transaction(&mut self, claim: Claim<'_>, commit: bool) -> Result<(), ErrorCode> {
        let found = self.transactions.claimed(claim)?;
        match found.phase {
            Phase::Ended { commit: before } if before == commit => Ok(()),
            Phase::Ended { .. } | Phase::Empty => Err(ErrorCode::InvalidTxnState),
            Phase::Ongoing { .. } => {
                self.write_end(claim.id, commit);
                Ok(())
            }
        }
    }

    /// Writes the markers, and settles the offsets committed inside.
    fn write_end(&mut self, id: &Str, commit: bool) {
        let wall_ms = self.wall_ms();
        let Some(found) = self.transactions.0.get_mut(id) else { return };
        found.phase = Phase::Ended { commit };
        let ending = Ending { producer_id: found.producer_id, producer_epoch: found.epoch, commit };
        let partitions = std::mem::take(&mut found.partitions);
        let groups = std::mem::take(&mut found.groups);
        for (topic, index) in partitions {
            if let Some(partition) = self.topics.partition_mut(&topic, index) {
                self.stored_bytes += partition.log.end_transaction(&ending, wall_ms);
                self.wake_partition(&topic, index);
            }
        }
        for group in groups {
            if let Some(group) = self.groups.get_mut(&group) {
                group.end_transaction(ending.producer_id, commit);
            }
        }
    }

    /// Deletes a topic with its logs, its committed offsets and its part in transactions.
    pub(crate) fn delete_topic(&mut self, name: &str) -> bool {
        let Some(topic) = self.topics.remove(name) else { return false };
        self.stored_bytes -= topic.partitions.iter().map(|p| p.log.bytes()).sum::<usize>();
        self.transactions.forget_topic(name);
        for group in self.groups.values_mut() {
            group.forget_topic(name);
        }
        for index in 0..topic.partitions.len() {
            self.wakes.wake(&super::wakes::Watch::Partition(topic.id, index as i32));
        }
        true
    }
}
