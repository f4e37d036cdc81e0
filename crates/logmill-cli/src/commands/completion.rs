//! `logmill completion SHELL`: what a shell needs to complete the command.

use clap::CommandFactory;

use crate::Logmill;
use crate::exit::Outcome;

/// Put the output where the shell looks, such as
/// `logmill completion bash > /etc/bash_completion.d/logmill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Logmill::command(), "logmill", &mut script);
    Ok(std::io::Write::write_all(&mut std::io::stdout(), &script)?)
}
