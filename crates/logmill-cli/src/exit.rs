//! How the command ends: the exit codes that scripts rely on, and the sentence that goes with a failure.

use std::fmt;
use std::process::ExitCode;

use logmill::store::StoreError;
use logmill::{Error, ErrorCode};

/// What `--help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done
    1  failed
    2  wrong usage
    3  not found (topic, partition, consumer group)
    4  cannot connect, or not authorised
    5  timed out
    6  partly done; stdout or stderr says which part
  130  interrupted
logmill check ends as monitors expect: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN";

/// Why the command did not end with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Whoever read our output has had enough, as `head` has.
    NobodyReads,
    Failed,
    Usage,
    NotFound,
    NoConnection,
    TimedOut,
    Partly,
    Interrupted,
    /// A check found something, and has told it.
    Found(Health),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::NobodyReads => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NoConnection => 4,
            Self::TimedOut => 5,
            Self::Partly => 6,
            Self::Interrupted => 130,
            Self::Found(health) => health as u8,
        }
    }
}

/// How `logmill check` ends, as Nagios and its like expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

/// A failure: how to end, and what to tell on stderr. An empty text tells nothing.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

/// What a command gives back.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl fmt::Display) -> Self {
        Self { exit, text: text.to_string() }
    }

    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, text)
    }

    /// Tells the failure on stderr and gives the code to end with.
    pub(crate) fn tell(&self) -> ExitCode {
        if !self.text.is_empty() {
            eprintln!("logmill: {}", self.text);
        }
        ExitCode::from(self.exit.code())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(exit_of(&error), error)
    }
}

fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Config { .. } => Exit::Usage,
        Error::UnknownTopic { .. } | Error::UnknownPartition { .. } => Exit::NotFound,
        Error::Timeout { .. } => Exit::TimedOut,
        Error::Unreachable { .. }
        | Error::NotKafka { .. }
        | Error::TooOld { .. }
        | Error::NotSent { .. }
        | Error::Disconnected { .. } => Exit::NoConnection,
        Error::NoBroker { last, .. } | Error::GaveUp { last, .. } => exit_of(last),
        Error::Produce(error) => exit_of(error.reason()),
        Error::Store { source } => match **source {
            StoreError::Unreachable { .. } | StoreError::NotAStore { .. } => Exit::NoConnection,
            StoreError::TimedOut { .. } => Exit::TimedOut,
            _ => Exit::Failed,
        },
        Error::Refused { code, .. } => match code {
            ErrorCode::UnknownTopicOrPartition | ErrorCode::GroupIdNotFound => Exit::NotFound,
            ErrorCode::TopicAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::SaslAuthenticationFailed => Exit::NoConnection,
            _ => Exit::Failed,
        },
        _ => Exit::Failed,
    }
}

/// Writing to stdout failed.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(Exit::NobodyReads, "");
        }
        Self::failed(format!("cannot write the output: {error}"))
    }
}
