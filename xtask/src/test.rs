//! `cargo xtask test`: everything CI checks, in the order in which it fails soonest. Nothing is skipped.

use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::Outcome;
use crate::run::{cargo, root, run, step};
use crate::{arrows, protocol, servers};

/// Runs every check; stops at the first that fails.
///
/// # Errors
/// What failed.
pub(crate) fn run_chore(words: &[String]) -> Outcome {
    if let Some(word) = words.first() {
        return Err(format!("takes no words, and got {word:?}: a check that leaves some out is none").into());
    }
    let started = Instant::now();
    servers::run_all()?;
    step("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    step("arrows", arrows::check)?;
    step("messages are as generated", || protocol::run_chore(&["--check".to_owned()]))?;
    step("clippy", || {
        run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    step("documentation", || {
        run(cargo().args(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    step("tests", || run(with_servers(cargo().args(["test", "--workspace", "--no-fail-fast"]))?))?;
    if let Some(valkey) = servers::valkey_server() {
        step("stores on Valkey", || {
            let mut command = cargo();
            command.args(["test", "--package", "logmill"]);
            for test in ["store_contract", "store_differential", "store_lanes", "store_redis", "store_ways"] {
                command.args(["--test", test]);
            }
            run(with_servers(&mut command)?.env("LOGMILL_REDIS_SERVER", &valkey))
        })?;
    }
    for example in examples()? {
        step(&format!("example {example}"), || {
            run(cargo().args(["run", "--quiet", "--package", "logmill", "--example", &example]))
        })?;
    }
    step("demo", || {
        run(cargo().args(["run", "--quiet", "--package", "logmill-cli", "--", "demo", "--records", "100000"]))
    })?;
    println!("all checks passed in {} s", started.elapsed().as_secs());
    Ok(())
}

/// Tells the tests where the servers are, and that none may be left out.
pub(crate) fn with_servers(command: &mut Command) -> Outcome<&mut Command> {
    Ok(command
        .env("LOGMILL_KAFKA_HOME", servers::kafka_home())
        .env("LOGMILL_REDIS_SERVER", servers::redis_server()?)
        .env_remove("LOGMILL_SKIP"))
}

/// The names of the examples, sorted. They must end by themselves.
fn examples() -> Outcome<Vec<String>> {
    let folder = root().join("crates/logmill/examples");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}
