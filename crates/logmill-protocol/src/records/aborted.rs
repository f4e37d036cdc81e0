//! Which batches a reader of committed records may see.

use std::collections::BTreeSet;

use super::{Batch, MarkerKind};
use crate::ids::Offset;

/// The aborted transactions of one Fetch response, and how far the reading of it has come. Batches
/// must be shown in the order of their offsets.
#[derive(Clone, Debug, Default)]
pub struct AbortedTransactions {
    /// Producer id and first offset, the latest first: those not reached yet are taken off the end.
    ahead: Vec<(Offset, i64)>,
    /// The producers whose transaction at this place was aborted.
    aborting: BTreeSet<i64>,
}

impl AbortedTransactions {
    /// Takes producer id and first offset of each aborted transaction, as the response lists them.
    pub fn new(transactions: impl IntoIterator<Item = (i64, Offset)>) -> Self {
        let mut ahead: Vec<_> = transactions.into_iter().map(|(producer, first)| (first, producer)).collect();
        ahead.sort_unstable_by(|a, b| b.cmp(a));
        Self { ahead, aborting: BTreeSet::new() }
    }

    /// Whether the batch's records count for a reader of committed records: markers and aborted
    /// records do not. The position moves past them all the same.
    pub fn is_visible(&mut self, batch: &Batch) -> bool {
        let last = batch.last_offset();
        while let Some((_, producer)) = self.ahead.pop_if(|(first, _)| *first <= last) {
            self.aborting.insert(producer);
        }
        let producer = batch.header().producer_id;
        if batch.is_control() {
            if batch.marker().is_some_and(|marker| marker.kind == MarkerKind::Abort) {
                self.aborting.remove(&producer);
            }
            return false;
        }
        !(batch.is_transactional() && self.aborting.contains(&producer))
    }
}
