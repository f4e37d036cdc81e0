//! The clock of a benchmark: wall time and this process's CPU time, and the middle of several runs.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::Serialize;

use crate::exit::{Failure, Outcome};

/// A measurement that has begun.
pub(super) struct Begun {
    at: Instant,
    cpu: Duration,
}

impl Begun {
    pub(super) fn now() -> Outcome<Self> {
        Ok(Self { at: Instant::now(), cpu: cpu_time()? })
    }

    /// Ends it, after so many records.
    pub(super) fn after(&self, records: u64) -> Outcome<Measured> {
        let seconds = self.at.elapsed().as_secs_f64();
        Ok(Measured { records, seconds, cpu_seconds: (cpu_time()? - self.cpu).as_secs_f64() })
    }
}

/// User and system time of all threads of this process.
fn cpu_time() -> Outcome<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)
        .map_err(|error| Failure::failed(format!("the system does not tell the CPU time used: {error}")))?;
    let duration = |time: TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs())
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

/// One run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) records: u64,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
}

impl Measured {
    pub(super) fn per_second(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// CPU time per record in nanoseconds.
    pub(super) fn cpu_ns(&self) -> f64 {
        self.cpu_seconds * 1e9 / self.records as f64
    }
}

/// The middle of several values, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self { median, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
    }

    #[test]
    fn work_costs_time() {
        let begun = Begun::now();
        let mut sum = 0u64;
        for number in 0..20_000_000u64 {
            sum = std::hint::black_box(sum ^ number);
        }
        let measured = begun.and_then(|begun| begun.after(1000));
        assert!(
            matches!(measured, Ok(it) if it.cpu_seconds > 0.0 && it.cpu_ns() > 0.0 && it.per_second() > 0.0)
        );
    }
}
