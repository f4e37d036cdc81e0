//! A consumer group of Kafka's own Java client on real Kafka: taken over where it stands, shown by Kafka's tools
//! meanwhile, and handed back at the watermark.

use std::process::Output;
use std::time::Duration;

use logmill::client::Client;
use logmill_testkit::launch::{Kafka, KafkaOptions, Redis, RedisOptions, Software, java_tool, skipped};

use super::harness::{Running, logmill, logmill_with};

const TOOLS: &str = "4.3.1";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

struct Group<'a> {
    kafka: &'a Kafka,
    b: &'a str,
    name: &'a str,
    topic: &'a str,
}

impl Group<'_> {
    async fn java(&self, class: &str, words: &[&str]) -> Output {
        java_tool(TOOLS, class, &[&["--bootstrap-server", self.b][..], words].concat(), b"").await.unwrap()
    }

    async fn produce(&self, partitions: i32, numbers: std::ops::Range<u32>) {
        if numbers.start == 0 {
            self.kafka.create_topic(self.topic, partitions).await.unwrap();
        }
        let lines: String = numbers.map(|number| format!("{number}:{number}\n")).collect();
        logmill_with(&["produce", "-b", self.b, "-t", self.topic, "-K:"], lines.as_bytes()).ok();
    }

    /// What the Java client reads in the group, which is so many records.
    async fn java_reads(&self, count: usize, protocol: &str) -> Vec<u32> {
        let (count, protocol) = (count.to_string(), format!("group.protocol={protocol}"));
        let words = ["--topic", self.topic, "--group", self.name, "--command-property", &protocol];
        let until = ["--from-beginning", "--max-messages", &count, "--timeout-ms", "60000"];
        let done = self.java(CONSUMER, &[&words[..], &until].concat()).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        numbers(&String::from_utf8_lossy(&done.stdout))
    }

    fn logmill<'a>(&'a self, command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let words =
            [command, "-b", self.b, "-g", self.name, "-t", self.topic, "-q", "--commit-interval", "100ms"];
        [&words[..], more].concat()
    }

    /// How many records are not settled by what was committed, and how many of those are settled above the watermark.
    fn lag(&self) -> (u64, u64) {
        let listed = logmill(&["lag", "-b", self.b, self.name, "--output", "ndjson"]).ok();
        let row: serde_json::Value = serde_json::from_str(&listed).unwrap();
        (row["lag"].as_u64().unwrap(), row["settled_above"].as_u64().unwrap())
    }

    /// What the Java client reads in the group until no record has come for some seconds.
    async fn java_joins(&self, protocol: &str) -> Vec<u32> {
        let protocol = format!("group.protocol={protocol}");
        let words = ["--topic", self.topic, "--group", self.name, "--command-property", &protocol];
        let until = ["--from-beginning", "--timeout-ms", "10000"];
        let done = self.java(CONSUMER, &[&words[..], &until].concat()).await;
        numbers(&String::from_utf8_lossy(&done.stdout))
    }

    /// Waits until so many members have partitions.
    async fn until_shared_by(&self, client: &Client, wanted: usize) {
        let shared = async {
            loop {
                let described = client.admin().describe_group(self.name).await.unwrap();
                let members = described.map(|group| group.members).unwrap_or_default();
                if members.iter().filter(|member| !member.partitions.is_empty()).count() == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), shared).await.expect("they do not share");
    }

    async fn describe(&self) -> Vec<Vec<String>> {
        let done = self.java(GROUPS, &["--describe", "--group", self.name]).await;
        let text = String::from_utf8(done.stdout).unwrap();
        let lines = text.lines().filter(|line| line.contains(self.topic));
        lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    }
}

fn numbers(text: &str) -> Vec<u32> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Both together, each number as often as it came.
fn together(one: &[u32], other: &[u32]) -> Vec<u32> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn a_java_group_is_taken_over_and_goes_on_where_logmill_stopped() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let kafka = Kafka::start(KafkaOptions::default()).await.unwrap();
    let b = &*kafka.bootstrap();
    for protocol in ["classic", "consumer"] {
        let group = Group { kafka: &kafka, b, name: &format!("foresters-{protocol}"), topic: protocol };
        group.produce(3, 0..300).await;
        let first = group.java_reads(90, protocol).await;

        let ordered = ["-o", "beginning", "--order", "partition"];
        let mut node = Running::start(&group.logmill("consume", &ordered));
        let second: Vec<u32> = (0..210).map(|_| node.line().unwrap().parse().unwrap()).collect();
        assert_eq!(together(&first, &second), Vec::from_iter(0..300), "{protocol}");
        while group.lag() != (0, 0) {}

        let rows = group.describe().await;
        assert_eq!(rows.len(), 3, "{rows:?}");
        for row in &rows {
            let [_, _, _, at, end, lag, member, .., client] = &row[..] else { panic!("{row:?}") };
            assert!(
                at == end && lag == "0" && member.starts_with("logmill") && client == "logmill",
                "{row:?}"
            );
        }
        assert_eq!(node.signal("TERM"), (vec![], Some(0)));

        group.produce(3, 300..600).await;
        let third =
            numbers(&logmill(&group.logmill("consume", &[&ordered[..], &["-c", "100"]].concat())).ok());
        assert_eq!((third.len(), group.lag()), (100, (200, 0)));
        let last = group.java_reads(200, protocol).await;
        assert_eq!(together(&third, &last), Vec::from_iter(300..600), "{protocol}");
        assert_eq!(group.lag(), (0, 0));
    }
}

#[tokio::test]
async fn java_clients_and_a_node_share_the_partitions_while_both_are_there() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let kafka = Kafka::start(KafkaOptions::default()).await.unwrap();
    let b = &*kafka.bootstrap();
    let client = Client::builder().brokers(b).connect().await.unwrap();
    for protocol in ["classic", "consumer"] {
        let group = Group { kafka: &kafka, b, name: &format!("sharers-{protocol}"), topic: protocol };
        group.produce(3, 0..300).await;
        // Taken over without a stop,
        let more = async {
            group.until_shared_by(&client, 1).await;
            let node = Running::start(&group.logmill("consume", &[]));
            group.until_shared_by(&client, 2).await;
            group.produce(3, 300..600).await;
            node
        };
        let (before, node) = tokio::join!(group.java_joins(protocol), more);
        while group.lag() != (0, 0) {}
        // and handed back.
        let more = async {
            group.until_shared_by(&client, 2).await;
            group.produce(3, 600..900).await;
        };
        let (after, ()) = tokio::join!(group.java_joins(protocol), more);
        while group.lag() != (0, 0) {}
        let (ours, ended) = node.signal("TERM");
        let ours = numbers(&ours.join("\n"));
        let all = together(&together(&before, &ours), &after);
        assert_eq!((all, ended), (Vec::from_iter(0..900), Some(0)), "{protocol}");
        let shares = [before.len(), ours.len(), after.len()];
        assert!(shares[0] > 300 && shares[2] > 0, "{protocol}: {shares:?}");
    }
}

#[tokio::test]
async fn a_java_client_is_kept_out_of_a_group_whose_nodes_share_units() {
    if skipped(&[Software::Kafka, Software::Redis]) {
        return;
    }
    let kafka = Kafka::start(KafkaOptions::default()).await.unwrap();
    let b = &*kafka.bootstrap();
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let group = Group { kafka: &kafka, b, name: "loners", topic: "trees" };
    group.produce(3, 0..300).await;
    let mut node = Running::start(&group.logmill("consume", &["-o", "beginning", "--redis", &redis.url()]));
    node.line().unwrap();
    let words = ["--topic", "trees", "--group", "loners", "--timeout-ms", "60000"];
    let refused = group.java(CONSUMER, &words).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("InconsistentGroupProtocol"), "{said}");
    assert_eq!(node.signal("TERM").1, Some(0));
}

/// Retries record 100 and acknowledges all others.
const HANDLER: &str = r#"
    s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":100\),.*/\1,"status":"retry"}/;t
    s/^\({"topic":"[^"]*","partition":[0-9]*,"offset":[0-9]*\),.*/\1,"status":"ack"}/
"#;

#[tokio::test]
async fn what_is_settled_above_the_watermark_repeats_and_nothing_else() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let kafka = Kafka::start(KafkaOptions::default()).await.unwrap();
    let b = &*kafka.bootstrap();
    let group = Group { kafka: &kafka, b, name: "foresters", topic: "trees" };
    group.produce(1, 0..300).await;
    let words = ["-o", "beginning", "--backoff", "1h", "-c", "300", "--", "sed", "-u", HANDLER];
    logmill(&group.logmill("work", &words)).ok();
    assert_eq!(group.lag(), (1, 199));
    assert_eq!(group.java_reads(200, "classic").await, Vec::from_iter(100..300));
    assert_eq!(group.lag(), (0, 0));

    // Offsets that Kafka's tool sets for a group are where logmill begins.
    let other = Group { name: "saws", ..group };
    let to = ["--group", "saws", "--topic", "trees:0", "--reset-offsets", "--to-offset", "250", "--execute"];
    assert!(other.java(GROUPS, &to).await.status.success());
    let read = numbers(&logmill(&other.logmill("consume", &["-e"])).ok());
    assert_eq!(read, Vec::from_iter(250..300));
}
