//! The project's own chores: `cargo xtask <chore>`, one file each.

use std::error::Error;
use std::process::ExitCode;

mod arrows;
mod deep;
mod golden;
mod protocol;
mod run;
mod servers;
mod test;

/// What a chore gives back. An error is one sentence for the person who typed the command.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const USAGE: &str = "\
usage: cargo xtask <chore>

  test       everything CI checks, in order; stops at the first failure
  servers    find or install Redis, Java, Maven, kcat, Go and Apache Kafka for the tests
  arrows     check the structure: which crate and which file may use what
  protocol   generate logmill-protocol's messages from Kafka's definitions (--check: only compare)
  golden     write the golden record batches with Kafka's Java client
  deep       the slow extras: long property tests, thousands of simulation seeds, supply chain";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let chore = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let outcome = match chore.as_str() {
        "arrows" => arrows::run_chore(&rest),
        "deep" => deep::run_chore(&rest),
        "golden" => golden::run_chore(&rest),
        "protocol" => protocol::run_chore(&rest),
        "servers" => servers::run_chore(&rest),
        "test" => test::run_chore(&rest),
        "" | "help" | "-h" | "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("no chore named {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {chore}: {error}");
            ExitCode::FAILURE
        }
    }
}
