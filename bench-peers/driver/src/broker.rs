//! The broker under all peers: one Apache Kafka, as the test kit starts it, but with Java's own choice of compiler
//! and collector, and a heap fit for load.

use logmill::client::Client;
use logmill_testkit::launch::{Kafka, KafkaOptions};

use crate::Outcome;

pub(crate) struct Broker {
    client: Client,
    addresses: String,
    // Dropped last: the broker ends with it.
    _kafka: Option<Kafka>,
}

impl Broker {
    /// Starts a broker, or uses the one at the given addresses.
    pub(crate) async fn start(given: Option<String>) -> Outcome<Self> {
        let (addresses, kafka) = match given {
            Some(addresses) => (addresses, None),
            None => {
                let mut options = KafkaOptions::default()
                    .set("log.segment.delete.delay.ms", 1000)
                    .set("log.retention.hours", -1);
                options.heap_mb = 1536;
                options.java.clear();
                let kafka = Kafka::start(options).await?;
                (kafka.bootstrap(), Some(kafka))
            }
        };
        let client = Client::builder().brokers(addresses.as_str()).connect().await?;
        Ok(Self { client, addresses, _kafka: kafka })
    }

    pub(crate) fn addresses(&self) -> &str {
        &self.addresses
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) -> Outcome {
        let topic = logmill::client::admin::NewTopic::new(name, partitions.try_into()?);
        self.client.admin().create_topic(topic).await?;
        Ok(())
    }

    pub(crate) async fn delete_topic(&self, name: &str) -> Outcome {
        self.client.admin().delete_topic(name).await?;
        Ok(())
    }
}
