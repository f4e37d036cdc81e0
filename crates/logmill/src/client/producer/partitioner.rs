//! Which partition a record goes to: by its key as Kafka's Java client does it, or to the topic's
//! current partition, which changes with each batch (KIP-480, and KIP-794's regard for full queues).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use logmill_protocol::records::key_hash;

/// The partition of a key among so many.
pub(super) fn of_key(key: &[u8], partitions: usize) -> usize {
    key_hash(key) as usize % partitions
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
    fn a_key_goes_where_the_java_client_puts_it() {
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
