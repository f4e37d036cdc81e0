//! What a benchmark's records hold.

/// How many different values there are. Records take them in turn: one value over and over would stay in the
/// processor's first cache, and flatter.
const VALUES: u64 = 4096;

/// The values: bytes without pattern, the same on every machine (SplitMix64, seeded with the value's number).
pub(super) fn values(size: usize) -> Vec<Vec<u8>> {
    (0..VALUES).map(|number| value(number, size)).collect()
}

fn value(number: u64, size: usize) -> Vec<u8> {
    let mut state = number;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_size_and_differ() {
        let mut all = values(100);
        assert!(all.iter().all(|value| value.len() == 100));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4096);
        assert!(values(0).iter().all(Vec::is_empty));
    }
}
