//! What every Rust peer shares: settings from the command line, the payloads, and the measuring of a run. The Go
//! and Java peers do the same in their own words.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

/// How many different payloads there are; records take them in turn.
const PAYLOADS: usize = 4096;

/// The settings of a run: `produce|consume` and `name=value` words.
#[derive(Debug)]
pub struct Settings {
    pub mode: String,
    pub brokers: String,
    pub topic: String,
    /// How many partitions the topic has.
    pub partitions: i32,
    /// Records before the measuring starts.
    pub warmup: usize,
    /// Records measured.
    pub records: usize,
    /// Bytes of a record's value.
    pub size: usize,
    pub linger_ms: u64,
    pub batch_bytes: usize,
    pub others: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the command line; a missing or odd setting ends the program and names it.
    pub fn from_command_line() -> Self {
        let mut words = std::env::args().skip(1);
        let mode = words.next().unwrap_or_default();
        let mut others: BTreeMap<String, String> = words
            .map(|word| match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => panic!("{word:?} is not name=value"),
            })
            .collect();
        let mut take = |name: &str| others.remove(name).unwrap_or_else(|| panic!("{name}= is missing"));
        fn number<T: std::str::FromStr>(text: String) -> T {
            text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
        }
        Self {
            mode,
            brokers: take("brokers"),
            topic: take("topic"),
            partitions: number(take("partitions")),
            warmup: number(take("warmup")),
            records: number(take("records")),
            size: number(take("size")),
            linger_ms: number(take("linger_ms")),
            batch_bytes: number(take("batch_bytes")),
            others,
        }
    }
}

/// The payloads of a run: the same bytes in every peer (SplitMix64, seeded with the payload's number).
pub fn payloads(size: usize) -> Vec<Vec<u8>> {
    let payload = |number: u64| {
        let mut state = number;
        let mut payload = Vec::with_capacity(size + 8);
        while payload.len() < size {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            payload.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
        }
        payload.truncate(size);
        payload
    };
    (0..PAYLOADS as u64).map(payload).collect()
}

/// A run being measured: wall clock and this process's CPU time, kernel's share included.
pub struct Run {
    started: Instant,
    cpu: Duration,
}

impl Run {
    pub fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu_time() }
    }

    /// Ends the run and prints its line.
    pub fn report(self, peer: &str, mode: &str, records: usize) {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu = (cpu_time() - self.cpu).as_secs_f64();
        println!(
            "{{\"peer\":\"{peer}\",\"mode\":\"{mode}\",\"records\":{records},\"seconds\":{seconds:.6},\"cpu_seconds\":{cpu:.6}}}"
        );
    }
}

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage of this process");
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().cast_unsigned())
            + Duration::from_micros(time.tv_usec().cast_unsigned())
    };
    of(usage.user_time()) + of(usage.system_time())
}
