//! An offset range, half-open and never empty.

use std::fmt;

use crate::ids::{MAX_OFFSET, Offset};

/// The offsets from `start` up to, but not including, `end`. Never empty, never negative, and `end`
/// is at most [`MAX_OFFSET`].
///
/// ```
/// use logmill_protocol::work::Range;
///
/// let range = Range::new(10, 13).expect("10 is below 13");
/// assert_eq!((range.len(), range.contains(12), range.contains(13)), (3, true, false));
/// assert_eq!(range.to_string(), "10..13");
/// assert_eq!(Range::new(10, 10), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    start: Offset,
    end: Offset,
}

impl Range {
    /// The range `start..end`, or `None` unless `0 ≤ start < end ≤ MAX_OFFSET`.
    #[must_use]
    pub const fn new(start: Offset, end: Offset) -> Option<Self> {
        if 0 <= start && start < end && end <= MAX_OFFSET { Some(Self { start, end }) } else { None }
    }

    /// The first offset.
    #[must_use]
    pub const fn start(self) -> Offset {
        self.start
    }

    /// The offset after the last one.
    #[must_use]
    pub const fn end(self) -> Offset {
        self.end
    }

    /// How many offsets it spans, at least 1. Fewer records may lie in it: compaction and
    /// transaction markers leave holes.
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    #[must_use]
    pub const fn len(self) -> u64 {
        (self.end - self.start) as u64
    }

    /// Whether `offset` lies in it.
    #[must_use]
    pub const fn contains(self, offset: Offset) -> bool {
        self.start <= offset && offset < self.end
    }

    /// Whether all of `other` lies in it.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether they share an offset.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What of it lies at or above `offset`, or `None` if nothing does.
    #[must_use]
    pub const fn at_or_above(self, offset: Offset) -> Option<Self> {
        Self::new(if offset > self.start { offset } else { self.start }, self.end)
    }

    /// The parts of it that none of `taken` covers. `taken` is ascending, disjoint and inside it.
    pub fn without<'a>(self, taken: impl IntoIterator<Item = Self> + 'a) -> impl Iterator<Item = Self> + 'a {
        let mut at = self.start;
        let close = Self { start: self.end, end: self.end };
        taken.into_iter().chain([close]).filter_map(move |next| {
            let part = Self::new(at, next.start);
            at = next.end;
            part
        })
    }
}

/// `start..end`.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bounds_are_checked() {
        assert_eq!(Range::new(-1, 4), None);
        assert_eq!(Range::new(5, 4), None);
        assert_eq!(Range::new(0, MAX_OFFSET + 1), None);
        assert!(Range::new(MAX_OFFSET - 1, MAX_OFFSET).is_some());
    }

    #[test]
    fn without_leaves_the_parts_between() {
        let range = |start, end| Range::new(start, end).unwrap();
        let left = |taken: &[Range]| range(0, 10).without(taken.iter().copied()).collect::<Vec<_>>();
        assert_eq!(left(&[]), [range(0, 10)]);
        assert_eq!(left(&[range(0, 10)]), []);
        assert_eq!(left(&[range(0, 1), range(1, 3), range(9, 10)]), [range(3, 9)]);
        assert_eq!(left(&[range(2, 3), range(5, 6)]), [range(0, 2), range(3, 5), range(6, 10)]);
    }
}
