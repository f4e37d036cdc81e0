//! What a Kafka cluster for tests is told: broker settings that make it small, quick and predictable.

use std::collections::BTreeMap;
use std::time::Duration;

/// How to start [`Kafka`](super::Kafka).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KafkaOptions {
    /// The release, whose jars must be there. Default 4.4.0.
    pub version: String,
    /// 1 or 3; each is broker and controller. Default 1.
    pub brokers: usize,
    /// Java heap of each broker in MiB. Default 384.
    pub heap_mb: u32,
    /// Java options of each broker. By default those that start quickest on few cores (first compiler only,
    /// serial collector); a measurement wants its own.
    pub java: Vec<String>,
    /// Broker settings over the defaults below.
    pub settings: BTreeMap<String, String>,
    /// What each broker tells clients to connect to, `host:port`, instead of where it listens: the
    /// addresses of proxies. Brokers among themselves do not use it. Default empty: where it listens.
    pub advertised: Vec<String>,
    /// How long all brokers together may take to be ready. Default 90 s.
    pub ready_within: Duration,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            version: "4.4.0".to_owned(),
            brokers: 1,
            heap_mb: 384,
            java: ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"].map(str::to_owned).to_vec(),
            settings: BTreeMap::new(),
            advertised: Vec::new(),
            ready_within: Duration::from_secs(90),
        }
    }
}

impl KafkaOptions {
    /// Sets the release.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Sets how many brokers: 1 or 3.
    #[must_use]
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers;
        self
    }

    /// Sets one broker setting, by Kafka's name for it.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Sets what the brokers tell clients to connect to, one address each.
    #[must_use]
    pub fn advertised(mut self, addresses: impl IntoIterator<Item = impl ToString>) -> Self {
        self.advertised = addresses.into_iter().map(|address| address.to_string()).collect();
        self
    }
}

/// A broker's three listeners: for clients, for the other brokers, for the controllers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) clients: u16,
    pub(super) brokers: u16,
    pub(super) controllers: u16,
}

/// The text of `server.properties` of the broker at `index`.
pub(super) fn server_properties(options: &KafkaOptions, index: usize, ports: &[Ports], data: &str) -> String {
    let own = ports[index];
    let listens = format!("127.0.0.1:{}", own.clients);
    let advertised = options.advertised.get(index).unwrap_or(&listens);
    let voters: Vec<String> = ports
        .iter()
        .enumerate()
        .map(|(other, ports)| format!("{}@127.0.0.1:{}", node_id(other), ports.controllers))
        .collect();
    // With three brokers every topic, the internal ones too, lives on all of them, and acks=all wants two:
    // any one broker may die and nothing stops. One broker has but one copy.
    let (copies, in_sync) = if ports.len() >= 3 { (3, 2) } else { (1, 1) };

    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    set("process.roles", "broker,controller".into());
    set("node.id", node_id(index).to_string());
    set("controller.quorum.voters", voters.join(","));
    set(
        "listeners",
        format!(
            "CLIENTS://{listens},BROKERS://127.0.0.1:{},CONTROLLERS://127.0.0.1:{}",
            own.brokers, own.controllers
        ),
    );
    set("advertised.listeners", format!("CLIENTS://{advertised},BROKERS://127.0.0.1:{}", own.brokers));
    set("listener.security.protocol.map", "CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLERS:PLAINTEXT".into());
    set("inter.broker.listener.name", "BROKERS".into());
    set("controller.listener.names", "CONTROLLERS".into());
    set("log.dirs", data.to_owned());
    set("auto.create.topics.enable", "false".into());
    set("default.replication.factor", copies.to_string());
    set("min.insync.replicas", in_sync.to_string());
    // Few partitions of the internal topics, since each costs time when they are made.
    set("offsets.topic.num.partitions", "4".into());
    set("offsets.topic.replication.factor", copies.to_string());
    for topic in ["transaction.state.log", "share.coordinator.state.topic"] {
        set(&format!("{topic}.num.partitions"), "4".into());
        set(&format!("{topic}.replication.factor"), copies.to_string());
        set(&format!("{topic}.min.isr"), in_sync.to_string());
    }
    // A consumer group starts as soon as its first member joins; members may be lost quickly.
    set("group.initial.rebalance.delay.ms", "0".into());
    set("group.min.session.timeout.ms", "1000".into());
    // The newer group protocol's timeouts are the brokers'; tests that ask for 6 s or more get that protocol.
    set("group.consumer.min.session.timeout.ms", "1000".into());
    set("group.consumer.session.timeout.ms", "6000".into());
    set("group.consumer.min.heartbeat.interval.ms", "100".into());
    set("group.consumer.heartbeat.interval.ms", "1000".into());
    // A dead broker is noticed within seconds, a stopped one hands its leaders over at once.
    set("broker.session.timeout.ms", "4000".into());
    set("broker.heartbeat.interval.ms", "500".into());

    for (name, value) in &options.settings {
        all.insert(name.clone(), value.clone());
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// Kafka's id of the broker at `index`: they count from 1.
pub(super) fn node_id(index: usize) -> usize {
    index + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_value_wins_and_a_proxy_is_advertised() {
        let ports =
            [1, 4, 7].map(|first| Ports { clients: first, brokers: first + 1, controllers: first + 2 });
        let options = KafkaOptions::default().set("min.insync.replicas", 1).advertised(["a:1", "b:2", "c:3"]);
        let text = server_properties(&options, 1, &ports, "/data");
        assert!(text.contains("min.insync.replicas=1\n"), "{text}");
        assert!(text.contains("advertised.listeners=CLIENTS://b:2,BROKERS://127.0.0.1:5\n"), "{text}");
        assert!(
            text.contains("controller.quorum.voters=1@127.0.0.1:3,2@127.0.0.1:6,3@127.0.0.1:9\n"),
            "{text}"
        );
    }
}
