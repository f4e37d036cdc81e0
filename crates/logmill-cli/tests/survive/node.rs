//! One node process: started, killed, paused, its lines read.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::tally::Tally;

/// What a node prints is read at this rate, in lines per second: the pipe fills, the node waits, and so a fault
/// finds every node in the middle of its work.
const PACE: u32 = 8_000;
/// How often the pace is looked at, in lines.
const STEP: u32 = 100;

#[derive(Debug)]
pub(crate) struct NodeProcess {
    pub(crate) number: usize,
    child: Child,
    /// The scenario ended it.
    ended: bool,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
}

impl NodeProcess {
    /// Starts `logmill` with these words; what it prints on stdout is counted.
    pub(crate) fn start(number: usize, words: &[String], folder: &Path, tally: Arc<Tally>) -> Self {
        let log = folder.join(format!("node-{number}.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_logmill"));
        for name in ["LOGMILL_BROKERS", "LOGMILL_REDIS", "RUST_LOG"] {
            command.env_remove(name);
        }
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || read(number, stdout, &tally));
        Self { number, child, ended: false, reader: Some(reader), log }
    }

    /// Sends a signal by name. The shell's own `kill` is used: Rust has none without unsafe code.
    pub(crate) fn signal(&self, name: &str) {
        let words = ["-c", "kill -s \"$0\" \"$1\"", name, &self.child.id().to_string()];
        assert!(Command::new("sh").args(words).status().unwrap().success());
    }

    /// Kills it with SIGKILL, and gives the time of its death. What it wrote before counts.
    pub(crate) fn kill9(&mut self) -> Instant {
        let at = Instant::now();
        self.ended = true;
        self.child.kill().unwrap();
        self.wait();
        at
    }

    /// Waits until it has ended and all it wrote is counted.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// Asks it to end, waits until it has, and says how.
    pub(crate) fn drain(&mut self) -> ExitStatus {
        self.ended = true;
        self.signal("TERM");
        self.wait()
    }

    /// Whether the scenario has ended it. Any other node is to live until it is asked to end.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether it has logged these words.
    pub(crate) fn has_said(&self, words: &str) -> bool {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).contains(words)
    }

    /// The last lines that it logged.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n    ")
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(number: usize, stdout: ChildStdout, tally: &Tally) {
    let (mut since, mut lines) = (Instant::now(), 0);
    for line in BufReader::new(stdout).lines() {
        let line = line.unwrap();
        // A killed node leaves half a line behind: it did not settle that record.
        let Ok(envelope) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
        let record = envelope["payload"].as_str().unwrap().parse().unwrap();
        tally.count(number, record);
        lines += 1;
        if lines == STEP {
            let due = Duration::from_secs(1) * STEP / PACE;
            std::thread::sleep(due.saturating_sub(since.elapsed()));
            (since, lines) = (Instant::now(), 0);
        }
    }
}
