//! Running other programs, and saying which one failed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Outcome;

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The cargo that started this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

/// Runs the command, its output going where ours goes.
///
/// # Errors
/// It cannot be started, or fails.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| format!("cannot start `{}`: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", shown(command)).into()) }
}

/// Runs the command and gives what it wrote to stdout; stderr goes where ours goes.
///
/// # Errors
/// It cannot be started, or fails.
pub(crate) fn output(command: &mut Command) -> Outcome<Vec<u8>> {
    let done = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start `{}`: {error}", shown(command)))?;
    if done.status.success() {
        Ok(done.stdout)
    } else {
        Err(format!("`{}` failed ({})", shown(command), done.status).into())
    }
}

/// The first file of that name on PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs one named step, saying when it starts, how it ended and how long it took.
///
/// # Errors
/// What the step fails with, its name put in front.
pub(crate) fn step<T>(name: &str, body: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    eprintln!("==> {name}");
    let started = Instant::now();
    let outcome = body();
    let seconds = started.elapsed().as_secs_f64();
    match outcome {
        Ok(value) => {
            eprintln!("<== {name}: ok, {seconds:.1} s");
            Ok(value)
        }
        Err(error) => {
            eprintln!("<== {name}: FAILED after {seconds:.1} s");
            Err(format!("{name}: {error}").into())
        }
    }
}
