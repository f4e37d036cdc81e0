//! How a benchmark's results are shown: settings first, a line for each run, the middle of all.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;

use super::measure::{Measured, Spread};
use crate::exit::Outcome;

/// The version of the JSON shape; it grows when a field goes or changes its meaning.
const VERSION: u32 = 1;

/// What was measured, and how.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: u32,
    bench: &'static str,
    settings: Vec<Setting>,
    runs: Vec<Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    median: Option<Median>,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct Run {
    mode: &'static str,
    #[serde(flatten)]
    measured: Measured,
}

#[derive(Debug, Serialize)]
struct Median {
    records_per_second: Spread,
    cpu_ns_per_record: Spread,
    /// Records per second as a share of what the bare loop did; queues only.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_ideal: Option<Spread>,
    /// What the bare loop itself costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    ideal_cpu_ns_per_record: Option<Spread>,
}

/// The mode of a bare loop's run.
pub(super) const IDEAL: &str = "ideal";

impl Report {
    pub(super) fn new(bench: &'static str) -> Self {
        Self { version: VERSION, bench, settings: Vec::new(), runs: Vec::new(), median: None }
    }

    pub(super) fn set(&mut self, name: &'static str, value: impl ToString) {
        self.settings.push(Setting { name, value: value.to_string() });
    }

    /// Adds a run, and tells of it on stderr.
    pub(super) fn add(&mut self, mode: &'static str, measured: Measured) {
        let (rate, cpu) = (measured.per_second(), measured.cpu_ns());
        eprintln!("{mode:<8} {rate:>12.0} records/s  {cpu:>8.0} ns of CPU a record");
        self.runs.push(Run { mode, measured });
    }

    /// Prints it to stdout.
    pub(super) fn print(mut self, json: bool) -> Outcome {
        self.median = self.middle();
        let mut out = std::io::stdout().lock();
        if json {
            serde_json::to_writer(&mut out, &self).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        } else {
            out.write_all(self.text().as_bytes())?;
        }
        Ok(out.flush()?)
    }

    fn of(&self, ideal: bool, value: fn(&Measured) -> f64) -> Vec<f64> {
        self.runs.iter().filter(|run| (run.mode == IDEAL) == ideal).map(|run| value(&run.measured)).collect()
    }

    fn middle(&self) -> Option<Median> {
        let rates = self.of(false, Measured::per_second);
        let ideal = Spread::of(self.of(true, Measured::per_second));
        Some(Median {
            of_ideal: ideal.and_then(|ideal| Spread::of(rates.iter().map(|rate| rate / ideal.median))),
            records_per_second: Spread::of(rates)?,
            cpu_ns_per_record: Spread::of(self.of(false, Measured::cpu_ns))?,
            ideal_cpu_ns_per_record: Spread::of(self.of(true, Measured::cpu_ns)),
        })
    }

    fn text(&self) -> String {
        let mut text = format!("logmill {} bench {}\n", env!("CARGO_PKG_VERSION"), self.bench);
        let widest = self.settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
        for setting in &self.settings {
            let _ = writeln!(text, "  {:<widest$}  {}", setting.name, setting.value);
        }
        let Some(median) = &self.median else { return text };
        let mut line = |name: &str, spread: Option<Spread>, digits: usize, unit: &str| {
            if let Some(Spread { median, least, most }) = spread {
                let _ = writeln!(
                    text,
                    "{name:<16}{median:>12.digits$} {unit}  ({least:.digits$} to {most:.digits$})"
                );
            }
        };
        let percent = |spread: Spread| Spread {
            median: 100.0 * spread.median,
            least: 100.0 * spread.least,
            most: 100.0 * spread.most,
        };
        line("throughput", Some(median.records_per_second), 0, "records/s");
        line("of ideal", median.of_ideal.map(percent), 1, "%");
        line("CPU", Some(median.cpu_ns_per_record), 0, "ns a record");
        line("CPU, ideal", median.ideal_cpu_ns_per_record, 0, "ns a record");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(seconds: f64) -> Measured {
        Measured { records: 1000, seconds, cpu_seconds: 0.001 }
    }

    #[test]
    fn a_queue_is_compared_with_the_bare_loop_of_its_run() {
        let mut report = Report::new("queue");
        report.set("handlers", 100);
        report.add(IDEAL, measured(1.0));
        report.add("queue", measured(1.25));
        report.median = report.middle();
        let text = report.text();
        for expected in ["handlers  100", "800 records/s", "80.0 %", "1000 ns a record"] {
            assert!(text.contains(expected), "{expected:?} is not in {text}");
        }
    }

    #[test]
    fn without_a_bare_loop_nothing_is_said_of_it() {
        let mut report = Report::new("produce");
        report.add("produce", measured(0.5));
        report.median = report.middle();
        assert!(!report.text().contains("ideal"));
        let json = serde_json::to_string(&report).unwrap_or_default();
        assert!(json.contains(r#""mode":"produce","records":1000"#), "{json}");
    }
}
