//! How many bytes to ask for when a range is short: a broker sends as much as it may, whatever the
//! range, and what lies beyond the range is thrown away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use logmill_protocol::ids::Partition;

/// How many partitions are remembered.
const PARTITIONS: usize = 16_384;
/// Never ask for less: a batch or two cost no more than one.
const LEAST: usize = 16 << 10;
/// What an offset is taken to need in a partition not read yet.
const FIRST_GUESS: f64 = 1024.0;

/// How many bytes an offset takes in each partition read so far. Cheap to clone; clones share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizing(Arc<Mutex<BTreeMap<Partition, f64>>>);

impl Sizing {
    /// How many bytes to ask for to get so many offsets, with a quarter to spare.
    pub(super) fn for_offsets(&self, partition: &Partition, offsets: i64, most: usize) -> usize {
        let density = *self.lock().get(partition).unwrap_or(&FIRST_GUESS);
        // A float that is out of range becomes the nearest integer.
        let bytes = (offsets as f64 * density * 1.25) as usize;
        bytes.clamp(LEAST.min(most), most)
    }

    /// Learns from a response.
    pub(super) fn learn(&self, partition: &Partition, bytes: usize, offsets: i64) {
        if offsets <= 0 {
            return;
        }
        let seen = bytes as f64 / offsets as f64;
        let mut known = self.lock();
        if known.len() >= PARTITIONS && !known.contains_key(partition) {
            known.clear();
        }
        known
            .entry(partition.clone())
            .and_modify(|density| *density += (seen - *density) / 4.0)
            .or_insert(seen);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Partition, f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_range_asks_for_little_once_the_density_is_known() {
        let (sizing, partition) = (Sizing::default(), Partition::new("t", 0));
        assert_eq!(sizing.for_offsets(&partition, 1_000_000, 1 << 20), 1 << 20);
        for _ in 0..50 {
            sizing.learn(&partition, 100_000, 1_000);
        }
        assert_eq!(sizing.for_offsets(&partition, 10, 1 << 20), LEAST);
        assert_eq!(sizing.for_offsets(&partition, 1_000, 1 << 20), 125_000);
        assert_eq!(sizing.for_offsets(&partition, i64::MAX, 1 << 20), 1 << 20);
        assert_eq!(sizing.for_offsets(&partition, 10, 1_000), 1_000);
    }
}
