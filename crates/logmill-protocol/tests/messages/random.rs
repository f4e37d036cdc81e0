//! A small seeded generator that draws the values of messages. Its numbers are the same on every machine, so a
//! failure names a seed that repeats it.

use bytes::Bytes;
use logmill_protocol::ids::Uuid;
use logmill_protocol::wire::Str;

/// A message part that can be drawn at random.
pub(crate) trait Sample {
    /// A value that `version` can carry: fields that it lacks keep their defaults.
    fn sample(random: &mut Random, version: i16) -> Self;
}

/// What kind of values to draw.
#[derive(Clone, Copy, PartialEq)]
enum Taste {
    /// Anything: up to three elements a list, texts and bytes of every size that is read another way.
    Any,
    /// As `Any`, but no text or bytes above a few characters.
    Short,
    /// As many list elements as this, of as few bytes as possible: what costs most memory for its length.
    Crowded(usize),
}

/// The generator (SplitMix64).
pub(crate) struct Random {
    state: u64,
    taste: Taste,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, taste: Taste::Any }
    }

    pub(crate) fn short(seed: u64) -> Self {
        Self { state: seed, taste: Taste::Short }
    }

    pub(crate) fn crowded(seed: u64, elements: usize) -> Self {
        Self { state: seed, taste: Taste::Crowded(elements) }
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.u64() % end as u64) as usize
    }

    /// Whether a tagged field is given a value.
    pub(crate) fn sets_tag(&mut self) -> bool {
        !matches!(self.taste, Taste::Crowded(_)) && self.below(2) == 0
    }

    /// Null in one of four cases where it is allowed; in a crowd, in one of two.
    pub(crate) fn nullable<T>(&mut self, allowed: bool, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let cases = if matches!(self.taste, Taste::Crowded(_)) { 2 } else { 4 };
        if allowed && self.below(cases) == 0 { None } else { Some(value(self)) }
    }

    pub(crate) fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = match self.taste {
            Taste::Any | Taste::Short => self.below(4),
            Taste::Crowded(0) => 0,
            Taste::Crowded(left) => {
                let count = if self.below(2) == 0 { left } else { self.below(left + 1) };
                self.taste = Taste::Crowded(left - count);
                count
            }
        };
        (0..count).map(|_| element(self)).collect()
    }

    pub(crate) fn text(&mut self) -> Str {
        const LETTERS: [char; 8] = ['a', 'Z', '0', '-', '.', 'ß', '木', '🪵'];
        let length = self.length();
        let text: String = (0..length).map(|_| LETTERS[self.below(LETTERS.len())]).collect();
        Str::from(text)
    }

    pub(crate) fn bytes(&mut self) -> Bytes {
        let length = self.length();
        (0..length).map(|_| self.u64() as u8).collect()
    }

    /// Mostly short; sometimes a length of two bytes as a varint, or one that is spliced and not copied.
    fn length(&mut self) -> usize {
        match self.taste {
            Taste::Crowded(_) => 0,
            Taste::Short => self.below(5),
            Taste::Any => match self.below(40) {
                0 => 120 + self.below(20),
                1 => 4090 + self.below(12),
                2..10 => 0,
                _ => self.below(12),
            },
        }
    }

    pub(crate) fn bool(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(crate) fn i8(&mut self) -> i8 {
        self.i64() as i8
    }

    pub(crate) fn i16(&mut self) -> i16 {
        self.i64() as i16
    }

    pub(crate) fn i32(&mut self) -> i32 {
        match self.below(6) {
            0 => i32::MAX,
            1 => i32::MIN,
            _ => self.i64() as i32,
        }
    }

    pub(crate) fn i64(&mut self) -> i64 {
        match self.below(8) {
            0 => 0,
            1 => -1,
            2 => i64::MAX,
            3 => i64::MIN,
            4 => self.below(300) as i64,
            _ => self.u64() as i64,
        }
    }

    /// Never the one value that differs from itself.
    pub(crate) fn f64(&mut self) -> f64 {
        self.i64() as f64 / 1024.0
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.i64().to_be_bytes());
        id[8..].copy_from_slice(&self.i64().to_be_bytes());
        Uuid(id)
    }
}
