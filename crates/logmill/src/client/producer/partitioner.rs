//! Which partition a record goes to: by its key as Kafka's Java client does it, or to the topic's
//! current partition, which changes with each batch (KIP-480, and KIP-794's regard for full queues).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Kafka's hash of keys: MurmurHash 2, 32 bits, with its fixed seed. All clients that agree on it
/// put a key into the same partition.
pub(super) fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, &byte| rest << 8 | u32::from(byte));
        hash = (hash ^ rest).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// The partition of a key among so many.
pub(super) fn of_key(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions
}

/// Where a topic's records without key go now.
#[derive(Debug)]
pub(super) struct Sticky {
    current: AtomicU32,
    chance: AtomicU64,
}

impl Sticky {
    /// Starts anywhere; two with one seed choose alike.
    pub(super) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        let sticky = Self { current: AtomicU32::new(0), chance: AtomicU64::new(seed | 1) };
        sticky.current.store(sticky.draw() as u32, Ordering::Relaxed);
        sticky
    }

    /// The current partition among so many.
    pub(super) fn current(&self, partitions: usize) -> usize {
        self.current.load(Ordering::Relaxed) as usize % partitions
    }

    /// Goes on to another partition: of two drawn by chance, the one with fewer batches waiting, so
    /// that a slow broker gets less.
    pub(super) fn advance(&self, partitions: usize, waiting: impl Fn(usize) -> usize) {
        if partitions < 2 {
            return;
        }
        let now = self.current(partitions);
        let other = |draw: u64| {
            let drawn = (draw >> 16) as usize % (partitions - 1);
            if drawn >= now { drawn + 1 } else { drawn }
        };
        let (a, b) = (other(self.draw()), other(self.draw()));
        let next = if waiting(b) < waiting(a) { b } else { a };
        self.current.store(next as u32, Ordering::Relaxed);
    }

    /// The next number of Marsaglia's xorshift; two threads at once may draw the same, which is no harm.
    fn draw(&self) -> u64 {
        let mut x = self.chance.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.chance.store(x, Ordering::Relaxed);
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_the_java_client() {
        // Pairs published with Kafka's own tests.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
        assert_eq!(of_key(b"abc", 7), 479_470_107 % 7);
    }

    #[test]
    fn the_current_partition_moves_and_reaches_all() {
        for partitions in [1, 2, 3, 12] {
            let sticky = Sticky::new(42);
            let mut seen = vec![0; partitions];
            for _ in 0..1_000 {
                let before = sticky.current(partitions);
                seen[before] += 1;
                sticky.advance(partitions, |_| 0);
                assert!(partitions == 1 || sticky.current(partitions) != before);
            }
            assert!(seen.iter().all(|&count| count > 500 / partitions), "{seen:?}");
        }
    }

    #[test]
    fn a_full_queue_gets_less() {
        let sticky = Sticky::new(7);
        let mut slow = 0;
        for _ in 0..1_000 {
            slow += usize::from(sticky.current(4) == 2);
            sticky.advance(4, |partition| if partition == 2 { 50 } else { 0 });
        }
        assert!(slow < 150, "{slow} of 1000 batches went to the slow partition");
    }
}
