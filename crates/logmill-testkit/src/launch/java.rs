//! Java programs out of Kafka's jars.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::LaunchError;
use super::process::run_to_end;
use super::software::{Software, kafka_class_path, program};

/// The release whose command line tools are used with clusters of any.
pub(super) const TOOLS: &str = "4.3.1";

/// A Java on this machine, and the jars of one Kafka version.
#[derive(Clone, Debug)]
pub(super) struct Java {
    program: PathBuf,
    class_path: String,
}

impl Java {
    pub(super) fn find(version: &str) -> Result<Self, LaunchError> {
        Ok(Self {
            program: program("java", "LOGMILL_JAVA", Software::Kafka)?,
            class_path: kafka_class_path(version)?,
        })
    }

    /// A command that runs `class`; `options` are Java's own.
    pub(super) fn command(&self, options: &[String], class: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(options).arg("-Dorg.slf4j.simpleLogger.showDateTime=true");
        command.arg("-cp").arg(&self.class_path).arg(class);
        command
    }

    pub(super) async fn run(&self, class: &str, words: &[&str], input: &[u8]) -> Result<Output, LaunchError> {
        let quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";
        let options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", quiet].map(str::to_owned);
        let mut command = self.command(&options, class);
        command.args(words);
        run_to_end(command, input).await.map_err(LaunchError::io(format!("run {class}")))
    }
}

/// Runs one of the Java programs that come with Kafka `version`, such as
/// `org.apache.kafka.tools.consumer.ConsoleConsumer`, to its end, giving it `input` on stdin. The broker it
/// talks to may be any, the embedded one too. Tools are there for versions 4.3.1 and 3.9.2.
///
/// # Errors
/// The software is missing, or the program cannot be started or fed.
pub async fn java_tool(
    version: &str,
    class: &str,
    words: &[&str],
    input: &[u8],
) -> Result<Output, LaunchError> {
    Java::find(version)?.run(class, words, input).await
}
