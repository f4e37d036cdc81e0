//! The units of a group, as its store has them.

use std::collections::BTreeMap;

use logmill_protocol::ids::PartitionKey;
use logmill_protocol::work::{Cursor, Unit};

use crate::store::{Store, StoreError};

/// The partitions that a store has of its group, each lane by itself, in order.
///
/// # Errors
/// The store does not answer in time.
pub async fn partitions(store: &dyn Store) -> Result<Vec<PartitionKey>, StoreError> {
    let mut all = Vec::new();
    let mut next = Some(Cursor::START);
    while let Some(from) = next {
        let page = store.partitions(from).await?;
        all.extend(page.items);
        next = page.next;
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// The units of a partition or lane, in order. While the store changes, each is as it was at some time in between.
///
/// # Errors
/// The store does not answer in time.
pub async fn units_of(store: &dyn Store, partition: &PartitionKey) -> Result<Vec<Unit>, StoreError> {
    // A page may show again what another has shown.
    let mut units = BTreeMap::new();
    let mut next = Some(Cursor::START);
    while let Some(from) = next {
        let page = store.units(partition.clone(), from).await?;
        units.extend(page.items.into_iter().map(|unit| (unit.range.start(), unit)));
        next = page.next;
    }
    Ok(units.into_values().collect())
}
