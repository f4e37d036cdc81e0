//! Where a partition is cut into units. No I/O.

use logmill_protocol::ids::Offset;
use logmill_protocol::work::MAX_PLANNED_PER_CALL;

/// The smallest unit, in offsets, that a small backlog is cut into.
const SMALLEST: i64 = 20;

/// A backlog is cut into about so many units at least, so that several nodes get some of it.
const PIECES: i64 = 16;

/// The ends of the units from `planned` up to `end`, each of at most `largest` offsets, at most as many
/// as one plan may carry. Offsets below `log_start` can no longer be read; they get units of their own,
/// which end as gaps.
pub(crate) fn cut(planned: Offset, log_start: Offset, end: Offset, largest: u32) -> Vec<Offset> {
    let mut ends = Vec::new();
    let mut at = planned;
    while at < end && ends.len() < MAX_PLANNED_PER_CALL {
        let (border, length) = if at < log_start {
            (log_start.min(end), crate::node::LARGEST_UNIT)
        } else {
            (end, ((end - planned.max(log_start)) / PIECES).clamp(SMALLEST, i64::from(largest).max(SMALLEST)))
        };
        at = at.saturating_add(length).min(border);
        ends.push(at);
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_backlog_is_cut_fine_and_a_large_one_at_the_largest_size() {
        assert_eq!(cut(100, 0, 130, 1_000), [120, 130]);
        assert!(cut(0, 0, 0, 1_000).is_empty());
        let ends = cut(0, 0, 10_000_000, 1_000);
        assert_eq!((ends.len(), ends[0], ends[99]), (100, 1_000, 100_000));
        assert!(cut(0, 0, 1_600, 1_000).iter().all(|end| end % 100 == 0));
    }

    #[test]
    fn what_retention_took_is_cut_at_the_log_start() {
        assert_eq!(cut(5, 30, 50, 1_000), [30, 50]);
        assert_eq!(cut(5, 60, 50, 1_000), [50]);
    }
}
