//! `cargo xtask arrows`: the structure that the architecture page promises, checked by a machine. Which
//! crate may use which, which file may name what, how long a file may be.

mod crates;
mod sources;

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::run::{output, root};

/// The command line's entrance.
///
/// # Errors
/// As [`check`].
pub(crate) fn run_chore(_words: &[String]) -> Outcome {
    check()
}

/// Checks everything, and tells all that is wrong before it fails.
///
/// # Errors
/// Something is not as promised.
pub(crate) fn check() -> Outcome {
    let files = tracked()?;
    let mut wrong = crates::check()?;
    wrong.extend(sources::check(&files)?);
    if wrong.is_empty() {
        return Ok(());
    }
    for line in &wrong {
        eprintln!("    {line}");
    }
    Err(format!("{} thing(s) not as docs/architecture.md promises", wrong.len()).into())
}

/// The files of the repository, those not yet added included, relative to its root.
fn tracked() -> Outcome<Vec<PathBuf>> {
    let words = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let listed = output(Command::new("git").current_dir(root()).args(words))?;
    let mut files: Vec<PathBuf> = String::from_utf8(listed)?.lines().map(PathBuf::from).collect();
    files.retain(|file| root().join(file).is_file());
    files.sort();
    Ok(files)
}
