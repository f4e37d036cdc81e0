//! A set of offsets, kept as merged ranges.

use std::collections::BTreeMap;
use std::fmt;

use super::Range;
use crate::ids::Offset;

/// Sorted, disjoint ranges. Ranges that touch or overlap are joined, so equal sets are equal values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start to end.
    ranges: BTreeMap<Offset, Offset>,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: BTreeMap::new() }
    }

    /// Adds the offsets of `range`.
    pub fn insert(&mut self, range: Range) {
        let (mut start, mut end) = (range.start(), range.end());
        if let Some((&low, &high)) = self.ranges.range(..=start).next_back()
            && high >= start
        {
            (start, end) = (low, end.max(high));
        }
        while let Some((&low, &high)) = self.ranges.range(start..=end).next() {
            end = end.max(high);
            self.ranges.remove(&low);
        }
        self.ranges.insert(start, end);
    }

    /// Removes every offset below `offset`.
    pub fn remove_below(&mut self, offset: Offset) {
        let kept = self.ranges.split_off(&offset);
        let straddler = self.ranges.last_key_value().map(|(_, &end)| end).filter(|&end| end > offset);
        self.ranges = kept;
        if let Some(end) = straddler {
            self.ranges.insert(offset, end);
        }
    }

    /// Removes and returns the range that begins exactly at `start`.
    pub fn take_at(&mut self, start: Offset) -> Option<Range> {
        Range::new(start, self.ranges.remove(&start)?)
    }

    /// Whether every offset of `range` is in the set.
    #[must_use]
    pub fn covers(&self, range: Range) -> bool {
        self.ranges.range(..=range.start()).next_back().is_some_and(|(_, &end)| range.end() <= end)
    }

    /// Whether the set holds `offset`.
    #[must_use]
    pub fn contains(&self, offset: Offset) -> bool {
        self.ranges.range(..=offset).next_back().is_some_and(|(_, &end)| offset < end)
    }

    /// The lowest range.
    #[must_use]
    pub fn first(&self) -> Option<Range> {
        self.iter().next()
    }

    /// The highest range.
    #[must_use]
    pub fn last(&self) -> Option<Range> {
        self.iter().next_back()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range> + '_ {
        self.ranges.iter().filter_map(|(&start, &end)| Range::new(start, end))
    }

    /// The parts of `within` that are not in the set, ascending.
    pub fn holes(&self, within: Range) -> impl Iterator<Item = Range> + '_ {
        let before = self.ranges.range(..within.start()).next_back();
        let inside = self.ranges.range(within.start()..within.end());
        let clipped = before
            .into_iter()
            .chain(inside)
            .filter_map(move |(&start, &end)| Range::new(start.max(within.start()), end.min(within.end())));
        within.without(clipped)
    }

    /// How many ranges the set is made of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether it holds no offset.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many offsets it holds.
    #[must_use]
    pub fn offsets(&self) -> u64 {
        self.iter().map(Range::len).sum()
    }
}

impl FromIterator<Range> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

impl Extend<Range> for RangeSet {
    fn extend<I: IntoIterator<Item = Range>>(&mut self, ranges: I) {
        ranges.into_iter().for_each(|range| self.insert(range));
    }
}

impl fmt::Debug for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        let range = (0..60i64, 1..12i64).prop_map(|(start, len)| Range::new(start, start + len).unwrap());
        prop::collection::vec(range, 0..12)
    }

    fn offsets(ranges: impl IntoIterator<Item = Range>) -> BTreeSet<Offset> {
        ranges.into_iter().flat_map(|range| range.start()..range.end()).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_offsets(ranges in ranges(), probe in (0..70i64, 1..9i64), cut in 0..70i64) {
            let probe = Range::new(probe.0, probe.0 + probe.1).unwrap();
            let model = offsets(ranges.iter().copied());
            let set: RangeSet = ranges.iter().copied().collect();

            prop_assert_eq!(&offsets(set.iter()), &model);
            prop_assert_eq!(set.offsets(), model.len() as u64);
            prop_assert_eq!(set.covers(probe), offsets([probe]).is_subset(&model));
            prop_assert_eq!(set.contains(cut), model.contains(&cut));
            let holes = offsets([probe]).difference(&model).copied().collect::<BTreeSet<_>>();
            prop_assert_eq!(offsets(set.holes(probe)), holes);
            let merged = set.iter().collect::<Vec<_>>();
            prop_assert!(merged.windows(2).all(|pair| pair[0].end() < pair[1].start()));

            let mut above = set.clone();
            above.remove_below(cut);
            prop_assert_eq!(offsets(above.iter()), model.into_iter().filter(|&o| o >= cut).collect());
        }
    }
}
