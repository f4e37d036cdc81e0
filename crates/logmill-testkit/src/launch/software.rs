//! Where the server software is, and which tests go without it. The rule for skipping is only here.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::LaunchError;

/// What a test may need that cargo does not bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Software {
    /// Apache Kafka's jars, and Java to run them.
    Kafka,
    /// `redis-server`.
    Redis,
    /// `kcat`, the librdkafka-based command line client.
    Kcat,
    /// Go, and the modules of the client written in it.
    Go,
    /// Python 3.
    Python,
}

impl Software {
    /// Its name in `LOGMILL_SKIP`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Redis => "redis",
            Self::Kcat => "kcat",
            Self::Go => "go",
            Self::Python => "python",
        }
    }
}

/// Whether the tests that need any of these are to be left out, because `LOGMILL_SKIP` names it. Says so
/// on the real stderr, past the test harness's capture: nobody takes a skipped test for a passed one.
///
/// ```no_run
/// use logmill_testkit::launch::{Software, skipped};
/// # fn test() {
/// if skipped(&[Software::Kafka]) {
///     return;
/// }
/// # }
/// ```
#[must_use]
pub fn skipped(needs: &[Software]) -> bool {
    let named = std::env::var("LOGMILL_SKIP").unwrap_or_default();
    let Some(left_out) = needs.iter().find(|software| names(&named, **software)) else { return false };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("SKIPPED {test}: needs {0}, and LOGMILL_SKIP names {0}\n", left_out.name());
    // One write, so that lines of parallel tests do not mix. Nothing can be done if stderr is closed.
    let _ = std::io::stderr().write_all(line.as_bytes());
    true
}

fn names(list: &str, software: Software) -> bool {
    list.split(',').any(|word| word.trim() == software.name())
}

/// The class path of one Kafka version.
pub(super) fn kafka_class_path(version: &str) -> Result<String, LaunchError> {
    let home = std::env::var_os("LOGMILL_KAFKA_HOME").map_or_else(fetched_kafka, PathBuf::from);
    let libs = home.join(version).join("libs");
    if libs.is_dir() {
        return Ok(format!("{}/*", libs.display()));
    }
    Err(LaunchError::Missing {
        what: format!("Apache Kafka {version}"),
        looked: format!("there is no folder {}", libs.display()),
        skip: Software::Kafka.name(),
    })
}

/// Where `cargo xtask servers` puts Kafka's versions, seen from this crate's source.
fn fetched_kafka() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers/kafka")
}

/// A program by the variable that names it, else by its name on PATH.
pub(super) fn program(name: &str, variable: &str, software: Software) -> Result<PathBuf, LaunchError> {
    let missing =
        |looked: String| LaunchError::Missing { what: name.to_owned(), looked, skip: software.name() };
    if let Some(named) = std::env::var_os(variable).map(PathBuf::from) {
        if named.is_file() {
            return Ok(named);
        }
        return Err(missing(format!("{variable} names {}, which is no file", named.display())));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| missing(format!("it is not on PATH, and {variable} is not set")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_named() {
        assert!(names("kafka,redis", Software::Redis));
        assert!(names("redis , kafka", Software::Redis));
        assert!(!names("rediscover", Software::Redis));
        assert!(!names("", Software::Kafka));
    }

    #[test]
    fn a_missing_version_says_what_to_run() {
        let error = kafka_class_path("0.0.1").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("cargo xtask servers"), "{error}");
        assert!(error.contains("LOGMILL_SKIP=kafka"), "{error}");
    }
}
