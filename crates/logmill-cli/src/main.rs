//! The `logmill` command: parses what was typed, runs it, and ends with an exit code that scripts can
//! rely on.

mod commands;
mod exit;
mod input;
mod now;
mod output;

use std::process::ExitCode;

use clap::Parser;

/// A work queue on the Kafka you already have, and a Kafka client for the command line.
#[derive(Debug, Parser)]
#[command(name = "logmill", version, after_help = exit::HELP, max_term_width = 100)]
struct Logmill {
    #[command(subcommand)]
    command: commands::Command,
    /// Say more on stderr: -v what happens, -vv how.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

fn main() -> ExitCode {
    let logmill = Logmill::parse();
    log_to_stderr(logmill.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::Failure::failed(format!("cannot start: {error}")).tell(),
    };
    let outcome = runtime.block_on(logmill.command.run());
    // A read from stdin cannot be taken back, and must not keep the process alive.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// Sends what the library logs to stderr: warnings, and more with `-v`. `RUST_LOG` overrides.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let colour =
        std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).init();
}
