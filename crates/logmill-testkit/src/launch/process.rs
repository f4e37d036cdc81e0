//! One server process: its log in a file, its signals, its end.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::LaunchError;

/// How often a process is asked whether it has ended, or its log whether it says a word.
const POLL: Duration = Duration::from_millis(20);

/// A child process that does not outlive this value.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where in the log this process began to write.
    log_from: usize,
}

impl Process {
    /// Starts the command; what it writes goes to the end of `log`.
    pub(super) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self, LaunchError> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(LaunchError::io(format!("write {}", log.display())))?;
        let twin = file.try_clone().map_err(LaunchError::io(format!("write {}", log.display())))?;
        let log_from = fs::read(log).unwrap_or_default().len();
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(twin)
            .spawn()
            .map_err(LaunchError::io(format!("start {}", command.get_program().display())))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf(), log_from })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL; when this returns the process is gone.
    pub(super) fn kill9(&mut self) {
        // Fails only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, then waits for the end. A process that does not end within `limit` is killed.
    pub(super) async fn stop(&mut self, limit: Duration) -> Result<(), LaunchError> {
        self.signal("TERM")?;
        let ended = async {
            while self.is_running() {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(limit, ended).await.is_err() {
            self.kill9();
            return Err(LaunchError::WouldNotStop { name: self.name.clone(), after: limit });
        }
        Ok(())
    }

    /// Sends a signal by name, such as `STOP`. The shell's own `kill` is used: Rust has none without
    /// unsafe code, and a machine may have no such program.
    pub(super) fn signal(&mut self, signal: &str) -> Result<(), LaunchError> {
        if !self.is_running() {
            return Ok(());
        }
        let doing = || LaunchError::io(format!("send SIG{signal} to {}", self.name));
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", signal, &self.child.id().to_string()])
            .status()
            .map_err(doing())?;
        if status.success() { Ok(()) } else { Err(doing()(io::Error::other(status.to_string()))) }
    }

    /// What this process has written so far.
    pub(super) fn log_text(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[self.log_from.min(log.len())..]).into_owned()
    }

    /// Waits until `ready`, given what the process has written, says so; asks it again and again, for as
    /// long as the process runs.
    pub(super) async fn until(
        &mut self,
        limit: Duration,
        mut ready: impl AsyncFnMut(&str) -> bool,
    ) -> Result<(), LaunchError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            if ready(&self.log_text()).await {
                return Ok(());
            }
            if !self.is_running() {
                if self.log_text().contains("Address already in use") {
                    return Err(LaunchError::PortTaken { name: self.name.clone() });
                }
                return Err(self.not_ready("ended before it was ready"));
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(self.not_ready(&format!("was not ready within {} s", limit.as_secs())));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) fn not_ready(&self, how: &str) -> LaunchError {
        LaunchError::NotReady {
            name: self.name.clone(),
            how: how.to_owned(),
            log: self.log.clone(),
            tail: last_lines(&self.log_text(), 20),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Runs a command to its end, `input` on its stdin; it is killed if the future is dropped.
pub(super) async fn run_to_end(command: Command, input: &[u8]) -> io::Result<Output> {
    let mut child = tokio::process::Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that has read enough closes its end; how it fared is its exit status.
            let _ = stdin.write_all(input).await;
        }
        Ok(())
    };
    let (output, ()) = tokio::try_join!(child.wait_with_output(), feed)?;
    Ok(output)
}

fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
