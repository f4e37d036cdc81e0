//! How far long work has come, on stderr, for a person who watches.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(200);

/// A line on stderr that is written over and over; nothing if stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    verb: &'static str,
    shown: bool,
    started: Instant,
    last: Instant,
}

impl Progress {
    /// A line about records that were `verb` (sent, say); `quiet` keeps it away.
    pub(crate) fn new(verb: &'static str, quiet: bool) -> Self {
        let now = Instant::now();
        Self { verb, shown: !quiet && std::io::stderr().is_terminal(), started: now, last: now }
    }

    /// Tells how many records it has been so far.
    pub(crate) fn tell(&mut self, records: u64) {
        if self.shown && self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            self.write(&self.line(records));
        }
    }

    /// Tells the last number, and ends the line.
    pub(crate) fn finish(&self, records: u64) {
        if self.shown {
            self.write(&format!("{}\n", self.line(records)));
        }
    }

    fn line(&self, records: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = records as f64 / seconds.max(0.001);
        format!("{records} records {}, {rate:.0}/s, {seconds:.1} s", self.verb)
    }

    fn write(&self, line: &str) {
        // Whoever closed stderr does not want to know.
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }
}
