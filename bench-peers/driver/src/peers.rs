//! The programs that are measured: how each is started, and the lines it prints.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::broker::Broker;
use crate::{Args, Outcome, What};

/// No run takes longer; a client that hangs fails the measurement instead of stopping it.
const LIMIT: Duration = Duration::from_secs(300);

/// What a peer prints for each run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Line {
    /// Who ran; the driver's name for it.
    #[serde(default)]
    pub(crate) peer: String,
    /// `produce`, `consume`, `queue`, or `ideal` for the bare loop beside a queue.
    pub(crate) mode: String,
    #[serde(default)]
    pub(crate) round: usize,
    pub(crate) records: usize,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

/// What a program prints: a line for each run, or logmill's document of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Printed {
    Document { runs: Vec<Line> },
    Line(Line),
}

impl Printed {
    fn lines(self) -> Vec<Line> {
        match self {
            Self::Document { runs } => runs,
            Self::Line(line) => vec![line],
        }
    }
}

impl Line {
    pub(crate) fn cpu_ns(&self) -> f64 {
        self.cpu_seconds * 1e9 / self.records as f64
    }

    pub(crate) fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }
}

/// What is to be done, in `name=value` words that every peer reads.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    mode: &'static str,
    words: Vec<(&'static str, String)>,
}

impl Work {
    /// Producing or consuming; who runs it knows which.
    pub(crate) fn stream(args: &Args, broker: &Broker, topic: &str, records: usize) -> Self {
        let words = vec![
            ("brokers", broker.addresses().to_owned()),
            ("topic", topic.to_owned()),
            ("partitions", args.partitions.to_string()),
            ("warmup", args.warmup.to_string()),
            ("records", records.to_string()),
            ("size", args.size.to_string()),
            ("linger_ms", args.linger_ms.to_string()),
            ("batch_bytes", args.batch_bytes.to_string()),
        ];
        Self { mode: "stream", words }
    }

    pub(crate) fn queue(args: &Args, broker: &Broker, topic: &str, group: &str) -> Self {
        let words = vec![
            ("brokers", broker.addresses().to_owned()),
            ("topic", topic.to_owned()),
            ("partitions", args.queue_partitions.to_string()),
            ("warmup_seconds", args.queue_warmup_seconds.to_string()),
            ("seconds", args.queue_seconds.to_string()),
            ("size", args.size.to_string()),
            ("handlers", args.handlers.to_string()),
            ("handler_ms", args.handler_ms.to_string()),
            ("group", group.to_owned()),
            ("order", args.order.clone()),
            ("records", args.records.to_string()),
        ];
        Self { mode: "queue", words }
    }

    /// The producing that a queue's topic needs: as much as an ideal queue handles, and two seconds' work more, so
    /// that no handler runs dry before the end.
    pub(crate) fn to_fill_queue(args: &Args, broker: &Broker, topic: &str) -> Self {
        let records = match args.handlers as u64 * 1000 {
            second if args.handler_ms > 0 => {
                second / args.handler_ms * (args.queue_warmup_seconds + args.queue_seconds + 2)
            }
            _ => args.records as u64,
        };
        let words = vec![
            ("brokers", broker.addresses().to_owned()),
            ("topic", topic.to_owned()),
            ("partitions", args.queue_partitions.to_string()),
            ("warmup", "0".to_owned()),
            ("records", records.to_string()),
            ("size", args.size.to_string()),
            ("linger_ms", "5".to_owned()),
            ("batch_bytes", "100000".to_owned()),
            ("keys", args.keys.to_string()),
        ];
        Self { mode: "stream", words }
    }

    fn word(&self, name: &str) -> &str {
        self.words.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// How a peer takes its settings.
#[derive(Clone, Copy)]
enum Speech {
    /// The mode, then `name=value` words.
    Words(&'static str),
    /// logmill's own flags.
    Logmill(&'static str),
}

/// A program to measure.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    program: PathBuf,
    before: Vec<String>,
    speech: Speech,
    more: Vec<&'static str>,
}

impl Peer {
    fn new(name: &'static str, program: impl Into<PathBuf>, speech: Speech) -> Self {
        Self { name, program: program.into(), before: Vec::new(), speech, more: Vec::new() }
    }

    fn java(name: &'static str, project: &str, mode: &'static str) -> Self {
        let target = here().join("java").join(project).join("target");
        let class_path = format!("{}:{}/*", target.join("classes").display(), target.join("libs").display());
        let mut peer = Self::new(name, "java", Speech::Words(mode));
        peer.before = vec!["-cp".to_owned(), class_path, "Bench".to_owned()];
        peer
    }

    /// Whether it can handle records in the order of their keys.
    pub(crate) fn orders_by_key(&self) -> bool {
        !self.name.starts_with("share-group")
    }

    fn with(mut self, word: &'static str) -> Self {
        self.more.push(word);
        self
    }

    /// Runs it once, to its end.
    pub(crate) async fn run(&self, round: usize, work: &Work) -> Outcome<Vec<Line>> {
        let mut command = Command::new(&self.program);
        command.args(&self.before).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        match self.speech {
            Speech::Words(mode) => {
                command.arg(mode).args(work.words.iter().map(|(name, value)| format!("{name}={value}")));
            }
            Speech::Logmill(mode) => {
                command.args(["bench", mode, "--json", "--runs", "1", "-b", work.word("brokers")]);
                command.args(["-t", work.word("topic")]);
                match mode {
                    "queue" => {
                        command.args(["-g", work.word("group"), "--handlers", work.word("handlers")]);
                        command.args(["--handler-ms", work.word("handler_ms")]);
                        command.args(["--warmup-seconds", work.word("warmup_seconds")]);
                        command.args(["--seconds", work.word("seconds"), "--order", work.word("order")]);
                        command.args(["--records", work.word("records")]);
                    }
                    _ => {
                        command.args(["--records", work.word("records"), "--warmup", work.word("warmup")]);
                        command.args(["--size", work.word("size")]);
                    }
                }
                if mode == "produce" {
                    command.args(["-X", &format!("linger.ms={}", work.word("linger_ms"))]);
                    command.args(["-X", &format!("batch.size={}", work.word("batch_bytes"))]);
                }
            }
        }
        command.args(&self.more);
        eprintln!("round {}: {} {}", round + 1, self.name, work.mode);
        let output = tokio::time::timeout(LIMIT, command.output())
            .await
            .map_err(|_| format!("{} did not end within {} s", self.name, LIMIT.as_secs()))??;
        if !output.status.success() {
            return Err(format!("{} failed: {}", self.name, output.status).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let mut lines = Vec::new();
        let mut printed = Vec::new();
        for line in text.lines().filter(|line| line.starts_with('{')) {
            printed.extend(serde_json::from_str::<Printed>(line)?.lines());
        }
        for mut line in printed {
            eprintln!(
                "    {:<8} {:>8.0} ns CPU a record {:>12.0} records/s",
                line.mode,
                line.cpu_ns(),
                line.rate()
            );
            line.peer = self.name.to_owned();
            line.round = round;
            lines.push(line);
        }
        if lines.is_empty() {
            return Err(format!("{} printed no measurement: {text}", self.name).into());
        }
        Ok(lines)
    }
}

/// The folder of all peers.
fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn built(name: &str) -> PathBuf {
    here().join("target/release").join(name)
}

/// Who fills the topics that are read.
pub(crate) fn filler() -> Peer {
    Peer::new("rdkafka", built("peer-rdkafka"), Speech::Words("produce"))
}

/// Every peer that does such work; logmill first.
pub(crate) fn all(what: What) -> Vec<Peer> {
    let logmill = here().parent().unwrap_or(Path::new(".")).join("target/release/logmill");
    let go = here().join("go/bench-go");
    match what {
        What::Produce => vec![
            Peer::new("logmill", logmill, Speech::Logmill("produce")),
            Peer::new("rdkafka", built("peer-rdkafka"), Speech::Words("produce")),
            Peer::new("franz-go", go, Speech::Words("produce")),
            Peer::new("confluent", built("peer-confluent"), Speech::Words("produce")),
            Peer::new("krafka", built("peer-krafka"), Speech::Words("produce")),
            Peer::java("java", "client", "produce"),
        ],
        What::Consume => vec![
            Peer::new("logmill", logmill, Speech::Logmill("consume")),
            Peer::new("rdkafka", built("peer-rdkafka"), Speech::Words("consume")),
            Peer::new("rdkafka-batch", built("peer-rdkafka"), Speech::Words("consume")).with("batch=1"),
            Peer::new("franz-go", go, Speech::Words("consume")),
            Peer::new("confluent", built("peer-confluent"), Speech::Words("consume")),
            Peer::new("krafka", built("peer-krafka"), Speech::Words("consume")),
            Peer::java("java", "client", "consume"),
        ],
        What::Queue => vec![
            Peer::new("logmill", logmill, Speech::Logmill("queue")),
            Peer::java("parallel-consumer", "parallel-consumer", "queue"),
            Peer::java("share-group", "client", "queue"),
            Peer::java("share-group-tuned", "client", "queue").with("tuned=1"),
        ],
    }
}
