//! What everything that is counted for metrics is made of. Whoever counts pays for an atomic; the names, the labels and the
//! recorder come in only when it is published, from a task of its own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::Recorder;

/// Borders of durations, in seconds: those of OpenTelemetry, and for units some above.
pub(crate) const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0];

/// Borders of numbers of records.
pub(crate) const RECORDS: &[f64] = &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0];

/// How often what was counted is published.
pub(crate) const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// The finest that a sum tells apart.
const FINEST: f64 = 1e-9;

/// A count of which each part is published once, so that those of several nodes in one process add up.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Takes out what was added.
    pub(crate) fn drain(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Values counted by size: two atomic additions each, and bounded whatever their number.
#[derive(Debug)]
pub(crate) struct Histogram {
    borders: &'static [f64],
    cells: Box<[Cell]>,
}

#[derive(Debug, Default)]
struct Cell {
    count: AtomicU64,
    /// Of the values, in [`FINEST`].
    sum: AtomicU64,
}

impl Histogram {
    pub(crate) fn new(borders: &'static [f64]) -> Self {
        Self { borders, cells: (0..=borders.len()).map(|_| Cell::default()).collect() }
    }

    pub(crate) fn of_durations() -> Self {
        Self::new(SECONDS)
    }

    pub(crate) fn record(&self, value: f64) {
        let cell = &self.cells[self.borders.partition_point(|border| *border < value)];
        cell.sum.fetch_add((value / FINEST).round() as u64, Ordering::Relaxed);
        // Whoever sees the count sees the sum.
        cell.count.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn took(&self, duration: Duration) {
        self.record(duration.as_secs_f64());
    }

    /// Takes out what was recorded: a value for each size, and how often. A recorder with the same borders has the same
    /// counts and the same sum as if it had been told each value.
    pub(crate) fn drain(&self) -> Vec<(f64, usize)> {
        let drained = self.cells.iter().enumerate().filter_map(|(index, cell)| {
            let count = cell.count.swap(0, Ordering::Acquire);
            if count == 0 {
                return None;
            }
            let sum = cell.sum.swap(0, Ordering::Relaxed) as f64 * FINEST;
            // A value that is recorded just now may be in the sum only.
            let above = index.checked_sub(1).map_or(0.0, |below| self.borders[below].next_up());
            let most = self.borders.get(index).copied().unwrap_or(f64::MAX);
            Some(((sum / count as f64).clamp(above, most), count as usize))
        });
        drained.collect()
    }
}

/// Whom metrics are published to.
#[derive(Clone, Default)]
pub(crate) struct Sinks {
    /// The recorder that the program installed.
    pub(crate) global: bool,
    /// One of the node's own.
    pub(crate) own: Option<Arc<dyn Recorder + Send + Sync>>,
}

impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sinks").field("global", &self.global).field("own", &self.own.is_some()).finish()
    }
}

impl Sinks {
    /// Whether there is any.
    pub(crate) fn is_any(&self) -> bool {
        self.global || self.own.is_some()
    }

    /// Has `publish` speak to each.
    pub(crate) fn each(&self, publish: impl Fn()) {
        if self.global {
            publish();
        }
        if let Some(own) = &self.own {
            metrics::with_local_recorder(&**own, &publish);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drained_has_the_counts_and_the_sum_of_what_was_recorded() {
        let histogram = Histogram::of_durations();
        for value in [0.005, 0.006, 0.009, 2.0, 1_000.0] {
            histogram.record(value);
        }
        let drained = histogram.drain();
        let counts: Vec<_> = drained.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 2, 1, 1]);
        assert!(drained[0].0 <= 0.005 && drained[1].0 > 0.005 && drained[1].0 <= 0.01, "{drained:?}");
        let sum: f64 = drained.iter().map(|(value, count)| value * *count as f64).sum();
        assert!((sum - 1_002.02).abs() < 1e-6, "{sum}");
        assert!(histogram.drain().is_empty());
    }
}
