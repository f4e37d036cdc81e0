//! Runs the built program, and a broker of its own for each test.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// `logmill broker` on free ports; killed on drop.
pub(crate) struct Broker {
    child: Child,
    /// What clients are given.
    pub(crate) servers: String,
}

impl Broker {
    pub(crate) fn start(words: &[&str]) -> Self {
        let mut child =
            program(&["broker", "--port", "0"]).args(words).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let servers = line.strip_prefix("BROKERS=").unwrap_or_else(|| panic!("the first line was {line:?}"));
        Self { servers: servers.trim_end().to_owned(), child }
    }

    /// Sends a signal by name and gives the exit code; none if the signal itself ended it.
    pub(crate) fn signal(mut self, name: &str) -> Option<i32> {
        signal(self.child.id(), name);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running command whose lines are read as they come; killed on drop.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(words: &[&str]) -> Self {
        let mut child = program(words).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line; none once its stdout is closed.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends by itself, and gives its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Sends a signal by name.
    pub(crate) fn tell(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Sends a signal by name, and gives what it printed from then on and its exit code.
    pub(crate) fn signal(mut self, name: &str) -> (Vec<String>, Option<i32>) {
        signal(self.child.id(), name);
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Stdout, after the command has ended with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Stderr, after the command has ended with the code and told something that holds all the words.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing: {self:?}");
        }
        self.stderr
    }
}

/// The program, its environment free of what a developer may have set.
pub(crate) fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logmill"));
    for name in [
        "LOGMILL_BROKERS",
        "KAFKA_BROKERS",
        "KAFKA_BOOTSTRAP_SERVERS",
        "LOGMILL_REDIS",
        "REDIS_URL",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.args(words).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

/// Runs the program to its end.
pub(crate) fn logmill(words: &[&str]) -> Run {
    logmill_with(words, b"")
}

/// Runs the program to its end, with `input` on stdin.
pub(crate) fn logmill_with(words: &[&str], input: &[u8]) -> Run {
    run(&mut program(words), input)
}

/// Runs a command to its end, with `input` on stdin.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Run {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may write before it has read everything. A program that ends early closes its end.
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    feed.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: status.code(), stdout: text(&stdout), stderr: text(&stderr) }
}

/// Lines, sorted: records of several partitions come in any order.
pub(crate) fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}
