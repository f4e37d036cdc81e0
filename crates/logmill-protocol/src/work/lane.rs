//! Which lane of its partition a record belongs to.

use crate::ids::Offset;
use crate::records::key_hash;

/// The lane, of so many, that holds the records of `key`. Records without a key have no order to
/// keep, so they are spread by their offset.
///
/// All nodes, and all versions, must agree on it: which lane a settled range belongs to stands in
/// Kafka. The hash that chose the partition is mixed once more, for in partition 3 of 8 it always
/// leaves 3 when divided by 8, and all keys would be in one lane of eight.
#[must_use]
pub fn lane_of(key: Option<&[u8]>, offset: Offset, of: u16) -> u16 {
    /// 2^64 divided by the golden ratio: it carries every bit of the hash into the upper half.
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let drawn = match key {
        Some(key) => u64::from(key_hash(key)).wrapping_mul(MIX) >> 32,
        None => offset.unsigned_abs(),
    };
    // Below `of`, so it fits.
    drawn.checked_rem(of.into()).unwrap_or(0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_one_partition_are_spread_over_all_its_lanes() {
        for (partitions, lanes) in [(1, 8), (8, 8), (6, 16), (64, 256), (256, 8), (100, 50), (3, 7)] {
            let mut keys = vec![0; lanes];
            let here = (0u32..).map(|key| format!("key-{key}"));
            let here = here.filter(|key| key_hash(key.as_bytes()) % partitions == partitions - 1);
            for key in here.take(100 * lanes) {
                keys[usize::from(lane_of(Some(key.as_bytes()), 0, lanes as u16))] += 1;
            }
            assert!(keys.iter().all(|&keys| (50..170).contains(&keys)), "{partitions}: {keys:?}");
        }
    }

    #[test]
    fn a_keys_lane_is_the_same_for_ever() {
        let lanes = ["", "a", "foobar", "abc"].map(|key| lane_of(Some(key.as_bytes()), 7, 256));
        assert_eq!(lanes, [249, 91, 242, 26]);
        assert_eq!((lane_of(None, 17, 8), lane_of(Some(b"a"), 17, 1), lane_of(None, 17, 0)), (1, 0, 0));
    }
}
