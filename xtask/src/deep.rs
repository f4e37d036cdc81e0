//! `cargo xtask deep`: the slow extras. Hours, not minutes; run before a release.

use crate::Outcome;
use crate::run::{cargo, find_program, run, step};
use crate::servers;
use crate::test::with_servers;

/// Cases of each property test; the usual run has 256.
const CASES: &str = "20000";
/// Seeds of the simulation, and histories of the store's differential test.
const SEEDS: &str = "5000";

/// Runs the slow extras; stops at the first that fails.
///
/// # Errors
/// What failed.
pub(crate) fn run_chore(_words: &[String]) -> Outcome {
    servers::run_all()?;
    step("property tests, long", || {
        run(cargo().args(["test", "--release", "--package", "logmill-protocol"]).env("PROPTEST_CASES", CASES))
    })?;
    step("simulation and histories, many seeds", || {
        let mut command = cargo();
        command.args(["test", "--release", "--package", "logmill"]);
        command.env("PROPTEST_CASES", CASES).env("LOGMILL_SEEDS", SEEDS);
        run(with_servers(&mut command)?)
    })?;
    step("licences and sources of what we depend on", || deny(&["bans", "licenses", "sources"]))?;
    step("known weaknesses of what we depend on", || deny(&["advisories"]))
}

/// Runs cargo-deny, built first if it is not there.
fn deny(checks: &[&str]) -> Outcome {
    if find_program("cargo-deny").is_none() {
        run(cargo().args(["install", "--quiet", "--locked", "cargo-deny"]))?;
    }
    run(cargo().args(["deny", "--all-features", "check"]).args(checks))
}
