//! `cargo xtask golden`: writes record batches with Kafka's own Java client into
//! `crates/logmill-protocol/tests/golden/`, where a test reads them back. Needed only to add a case:
//! the files are committed.

use std::fs;
use std::process::Command;

use crate::Outcome;
use crate::run::{root, run};
use crate::servers::kafka_clients_jar;

/// The command line's entrance.
///
/// # Errors
/// Java or the jars are missing, or the program fails.
pub(crate) fn run_chore(_words: &[String]) -> Outcome {
    let jar = kafka_clients_jar()?;
    let jars = jar.with_file_name("*");
    let folder = root().join("crates/logmill-protocol/tests/golden");
    fs::create_dir_all(&folder)?;
    run(Command::new("java")
        .arg("-cp")
        .arg(jars)
        .arg(root().join("xtask/java/GoldenBatches.java"))
        .arg(&folder))
}
