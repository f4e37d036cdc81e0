//! A real Apache Kafka cluster for a test: one broker, or three.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use logmill_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponseTopic};

use super::ask::ask;
use super::folder::Folder;
use super::java::{Java, TOOLS, java_tool};
use super::ports::free_port;
use super::process::{Process, run_to_end};
use super::settings::{Ports, node_id, server_properties};
use super::{KafkaOptions, LaunchError};

/// Any 16 bytes in base64; clusters of different tests never meet.
const CLUSTER_ID: &str = "bG9nbWlsbC10ZXN0LWtpdA";
/// How often other ports are tried when somebody took one first.
const TRIES: usize = 3;
/// How long a broker may take to hand over its leaders and end.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Apache Kafka in KRaft mode, on 127.0.0.1. Dropping it kills the brokers and deletes their files.
#[derive(Debug)]
pub struct Kafka {
    // Before the folder, so that the processes are gone when their files are deleted.
    brokers: Vec<Broker>,
    options: KafkaOptions,
    java: Java,
    folder: Folder,
}

#[derive(Debug)]
struct Broker {
    ports: Ports,
    properties: PathBuf,
    log: PathBuf,
    process: Process,
}

impl Kafka {
    /// Starts the cluster and waits until it serves: every broker started, and each knows all.
    ///
    /// # Errors
    /// The software is missing, or a broker is not ready in time; its log is then kept.
    ///
    /// # Panics
    /// Never for 1 or 3 brokers; other numbers are refused by an assertion.
    pub async fn start(options: KafkaOptions) -> Result<Self, LaunchError> {
        assert!(matches!(options.brokers, 1 | 3), "1 or 3 brokers, not {}", options.brokers);
        let java = Java::find(&options.version)?;
        let mut tries = 1;
        loop {
            let mut folder = Folder::new("kafka")?;
            match Self::start_in(&mut folder, &options, &java).await {
                Ok(brokers) => return Ok(Self { brokers, options, java, folder }),
                Err(LaunchError::PortTaken { .. }) if tries < TRIES => tries += 1,
                Err(error) => {
                    folder.keep();
                    return Err(error);
                }
            }
        }
    }

    async fn start_in(
        folder: &mut Folder,
        options: &KafkaOptions,
        java: &Java,
    ) -> Result<Vec<Broker>, LaunchError> {
        let ports: Option<Vec<Ports>> = (0..options.brokers)
            .map(|_| Some(Ports { clients: free_port()?, brokers: free_port()?, controllers: free_port()? }))
            .collect();
        let ports =
            ports.ok_or_else(|| LaunchError::io("find a free port")(std::io::ErrorKind::AddrInUse.into()))?;
        let mut brokers = Vec::with_capacity(ports.len());
        for (index, own) in ports.iter().enumerate() {
            let home = folder.path().join(format!("broker-{}", node_id(index)));
            let data = home.join("data");
            let properties = home.join("server.properties");
            let log = home.join("broker.log");
            let text = server_properties(options, index, &ports, &data.to_string_lossy());
            std::fs::create_dir_all(&home)
                .and_then(|()| std::fs::write(&properties, text))
                .map_err(LaunchError::io(format!("write {}", properties.display())))?;
            format_storage(options, java, &properties).await?;
            let process = start_broker(options, java, index, &properties, &log)?;
            brokers.push(Broker { ports: *own, properties, log, process });
        }
        for broker in &mut brokers {
            wait_ready(broker, options.brokers, options.ready_within).await?;
        }
        Ok(brokers)
    }

    /// The addresses of all brokers, separated by commas: what a client is given. Those advertised, if
    /// [`KafkaOptions::advertised`] says so.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        if self.options.advertised.is_empty() {
            self.addresses().join(",")
        } else {
            self.options.advertised.join(",")
        }
    }

    /// Where each broker listens, `host:port`; the broker at index 0 has Kafka's id 1.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.brokers.iter().map(|broker| address(broker.ports)).collect()
    }

    /// The process id of the broker at `index`.
    ///
    /// # Panics
    /// There is no broker at `index`; so with all that take one.
    #[must_use]
    pub fn process_id(&self, index: usize) -> u32 {
        self.brokers[index].process.id()
    }

    /// The folder that holds each broker's log and data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills the broker with SIGKILL; when this returns it is gone.
    pub fn kill9(&mut self, index: usize) {
        self.brokers[index].process.kill9();
    }

    /// Stops the broker with SIGTERM, as an operator would: it hands its leaders over first.
    ///
    /// # Errors
    /// It still runs after 30 s, and was killed.
    pub async fn stop(&mut self, index: usize) -> Result<(), LaunchError> {
        self.brokers[index].process.stop(STOP_WITHIN).await
    }

    /// Starts the broker again on its ports and its data, killing it first if it still runs, and waits until
    /// it serves.
    ///
    /// # Errors
    /// It is not ready in time; its log is kept.
    pub async fn restart(&mut self, index: usize) -> Result<(), LaunchError> {
        self.brokers[index].process.kill9();
        let others =
            self.brokers.iter_mut().filter_map(|broker| broker.process.is_running().then_some(())).count();
        let broker = &mut self.brokers[index];
        broker.process = start_broker(&self.options, &self.java, index, &broker.properties, &broker.log)?;
        let ready = wait_ready(broker, others + 1, self.options.ready_within).await;
        if ready.is_err() {
            self.folder.keep();
        }
        ready
    }

    /// Stops the broker's clock with SIGSTOP: its connections stay open and nothing answers.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn pause(&mut self, index: usize) -> Result<(), LaunchError> {
        self.brokers[index].process.signal("STOP")
    }

    /// Lets a paused broker go on.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn resume(&mut self, index: usize) -> Result<(), LaunchError> {
        self.brokers[index].process.signal("CONT")
    }

    /// Creates a topic and waits until every broker knows it and each partition has a leader.
    ///
    /// # Errors
    /// Kafka refuses, with its error named; or no leader is known in time.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), LaunchError> {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: -1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
        let response = ask(&address(self.brokers[0].ports), 5, &request)
            .await
            .map_err(LaunchError::io(format!("create topic {name}")))?;
        for result in &response.topics {
            if result.error_code != 0 {
                return Err(LaunchError::Refused {
                    name: "Kafka".to_owned(),
                    command: format!("create topic {name}"),
                    answer: ErrorCode::from(result.error_code).name().to_owned(),
                });
            }
        }
        for broker in &self.brokers {
            let known = until_known(broker.ports, name, partitions);
            let waited = tokio::time::timeout(Duration::from_secs(30), known).await;
            waited.map_err(|_| {
                broker.process.not_ready(&format!("knew no leaders of topic {name} within 30 s"))
            })?;
        }
        Ok(())
    }

    /// Runs one of Kafka's own Java programs to its end, such as
    /// `org.apache.kafka.tools.consumer.ConsoleConsumer`, giving it `input` on stdin.
    ///
    /// # Errors
    /// The software is missing, or the program cannot be started or fed.
    pub async fn run_java(&self, class: &str, words: &[&str], input: &[u8]) -> Result<Output, LaunchError> {
        java_tool(TOOLS, class, words, input).await
    }
}

fn address(ports: Ports) -> String {
    format!("127.0.0.1:{}", ports.clients)
}

/// Writes what a broker needs before its first start.
async fn format_storage(options: &KafkaOptions, java: &Java, properties: &Path) -> Result<(), LaunchError> {
    let mut command = java.command(&options.java, "kafka.tools.StorageTool");
    command.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(properties);
    let done = run_to_end(command, b"").await.map_err(LaunchError::io("format a broker's storage"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(LaunchError::Refused {
        name: "kafka.tools.StorageTool".to_owned(),
        command: "format".to_owned(),
        answer: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

fn start_broker(
    options: &KafkaOptions,
    java: &Java,
    index: usize,
    properties: &Path,
    log: &Path,
) -> Result<Process, LaunchError> {
    let mut words = options.java.clone();
    words.push(format!("-Xmx{}m", options.heap_mb));
    let mut command = java.command(&words, "kafka.Kafka");
    Process::start(&format!("Kafka broker {}", node_id(index)), command.arg(properties), log)
}

/// Waits for the broker to say that it has started, then to list so many brokers.
async fn wait_ready(broker: &mut Broker, listing: usize, limit: Duration) -> Result<(), LaunchError> {
    let at = address(broker.ports);
    let listed = async |log: &str| {
        if !log.contains("Kafka Server started") {
            return false;
        }
        let none = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
        ask(&at, 5, &none).await.is_ok_and(|answer| answer.brokers.len() >= listing)
    };
    broker.process.until(limit, listed).await
}

async fn until_known(ports: Ports, topic: &str, partitions: i32) {
    let wanted = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some(topic.into()), ..Default::default() }]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    loop {
        if let Ok(answer) = ask(&address(ports), 5, &wanted).await {
            let led = |topic: &MetadataResponseTopic| {
                topic.partitions.iter().filter(|partition| partition.leader_id >= 0).count()
            };
            if answer.topics.first().is_some_and(|topic| i32::try_from(led(topic)) == Ok(partitions)) {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
