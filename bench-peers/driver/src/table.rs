//! Medians and ratios, in the form of `docs/benchmarks.md`.

use std::fmt::Write as _;

use crate::peers::Line;
use crate::{Args, Measured, What};

pub(crate) fn render(what: What, args: &Args, measured: &Measured) -> String {
    let lines = &measured.lines;
    let mut names: Vec<&str> = Vec::new();
    for line in lines {
        if !names.contains(&line.peer.as_str()) {
            names.push(&line.peer);
        }
    }
    // In the order of the list of peers, whoever went first.
    let order: Vec<&str> = crate::peers::all(what).iter().map(|peer| peer.name).collect();
    names.sort_by_key(|name| order.iter().position(|known| known == name));
    let of = |name: &str, mode: &str, value: fn(&Line) -> f64| -> Spread {
        let chosen =
            lines.iter().filter(|line| line.peer == name && (line.mode == "ideal") == (mode == "ideal"));
        Spread::of(chosen.map(value).collect())
    };
    let mut out = String::new();
    match what {
        What::Queue => {
            let _ = writeln!(
                out,
                "queue, {}: {} handlers of {} ms, {} partition(s), {} keys, {} s after {} of warm-up, {} rounds\n\n\
                 | | records/s | ideal of the same program | of ideal | CPU a record, µs | of it the handlers' own |\n|---|---|---|---|---|---|",
                args.order,
                args.handlers,
                args.handler_ms,
                args.queue_partitions,
                args.keys,
                args.queue_seconds,
                args.queue_warmup_seconds,
                args.rounds
            );
            for name in names {
                let (rate, ideal) = (of(name, "queue", Line::rate), of(name, "ideal", Line::rate));
                let (cpu, own) = (of(name, "queue", Line::cpu_ns), of(name, "ideal", Line::cpu_ns));
                let _ = writeln!(
                    out,
                    "| {name} | {:.0} ± {:.0} % | {:.0} | {:.1} % | {:.1} ± {:.0} % | {:.1} |",
                    rate.median,
                    rate.percent,
                    ideal.median,
                    100.0 * rate.median / ideal.median,
                    cpu.median / 1000.0,
                    cpu.percent,
                    own.median / 1000.0
                );
            }
        }
        What::Produce | What::Consume => {
            let _ = writeln!(
                out,
                "{}: {} records of {} bytes after {} of warm-up, {} partitions, linger {} ms, batches up to {} bytes, {} rounds\n\n\
                 | | CPU a record, ns | logmill's share of it | records/s | logmill to it |\n|---|---|---|---|---|",
                if what == What::Produce { "produce" } else { "consume" },
                args.records,
                args.size,
                args.warmup,
                args.partitions,
                args.linger_ms,
                args.batch_bytes,
                args.rounds
            );
            let (own_cpu, own_rate) = (of("logmill", "", Line::cpu_ns), of("logmill", "", Line::rate));
            for name in names {
                let (cpu, rate) = (of(name, "", Line::cpu_ns), of(name, "", Line::rate));
                let _ = writeln!(
                    out,
                    "| {name} | {:.0} ± {:.0} % | {:.2} | {:.0} ± {:.0} % | {:.2} |",
                    cpu.median,
                    cpu.percent,
                    own_cpu.median / cpu.median,
                    rate.median,
                    rate.percent,
                    own_rate.median / rate.median
                );
            }
        }
    }
    for failure in &measured.failures {
        let _ = writeln!(out, "\nFailed and left out: {failure}.");
    }
    out
}

/// A median, and half the distance between the extremes as a share of it.
struct Spread {
    median: f64,
    percent: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (values.first(), values.last()) else {
            return Self { median: f64::NAN, percent: f64::NAN };
        };
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Self { median, percent: 50.0 * (most - least) / median }
    }
}
