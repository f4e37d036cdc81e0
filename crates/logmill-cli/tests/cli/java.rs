//! Kafka's own Java clients against `logmill broker`, both ways and as a consumer group.

use logmill_testkit::launch::{Software, java_tool, skipped};

use super::harness::{Broker, sorted};

/// The newest tools, and the oldest that we fetch: they differ in the versions they ask for.
const RELEASES: [(&str, &str); 2] =
    [("4.3.1", "org.apache.kafka.tools.ConsoleProducer"), ("3.9.2", "kafka.tools.ConsoleProducer")];
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

async fn java(release: &str, class: &str, words: &[&str], input: &str) -> String {
    let done = java_tool(release, class, words, input.as_bytes()).await.unwrap();
    let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{class}: {stdout}{}", String::from_utf8_lossy(&done.stderr));
    stdout
}

#[tokio::test]
async fn it_produces_consumes_and_describes_its_consumer_group() {
    if skipped(&[Software::Kafka]) {
        return;
    }
    let broker = Broker::start(&["-n", "3", "-t", "trees:3"]);
    let b = &*broker.servers;
    for (number, (release, producer)) in RELEASES.into_iter().enumerate() {
        // Idempotent, as a Java producer is unless told otherwise.
        let words = ["--bootstrap-server", b, "--topic", "trees", "--compression-codec", "lz4"];
        let trees: String = (0..50).map(|tree| format!("{release} tree {tree}\n")).collect();
        java(release, producer, &words, &trees).await;
        let group = ["--bootstrap-server", b, "--topic", "trees", "--group", "foresters"];
        let until = ["--from-beginning", "--max-messages", "50", "--timeout-ms", "30000"];
        let got = java(release, CONSUMER, &[&group[..], &until[..]].concat(), "").await;
        assert_eq!(sorted(&got), sorted(&trees), "the second release goes on where the first stopped");
        let described =
            java(release, GROUPS, &["--bootstrap-server", b, "--describe", "--group", "foresters"], "").await;
        let lines = described.lines().filter(|line| line.contains("trees")).count();
        assert_eq!(lines, 3, "after release {number}: {described}");
    }
}
