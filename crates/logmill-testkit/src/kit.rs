//! One call for all that a test needs: brokers, a store, topics.

use crate::cluster::{Cluster, ListenOptions};
use crate::launch::{Kafka, KafkaOptions, LaunchError, Redis, RedisOptions};
use crate::state::options::ClusterOptions;

/// Brokers, a Redis if asked for, and topics, for one test. Dropping it stops all of it and deletes its
/// files.
///
/// It is the counterpart of kafka-clj's `startup-resources`, `shutdown-resources` and `create-topics`.
/// **ZooKeeper is not needed any more**, and nothing here starts one: the embedded brokers keep everything
/// in this process, and a real Kafka keeps its own metadata (KRaft).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use logmill_testkit::{Api, Fault, Kit};
///
/// let kit = Kit::builder().brokers(3).topic("orders", 6).start().await?;
/// println!("give {} to any Kafka client", kit.bootstrap());
///
/// // Embedded brokers, which they are unless `real_kafka` asks for others, do more than real ones:
/// let cluster = kit.cluster().expect("embedded");
/// cluster.on_once(Api::Fetch, Fault::Disconnect);
/// cluster.produce("orders", 0, ["first", "second"]);
/// assert_eq!(cluster.high_watermark("orders", 0), 2);
/// # Ok(()) }
/// ```
///
/// Against the real thing, the same test says
/// `Kit::builder().real_kafka(KafkaOptions::default()).redis(RedisOptions::default())`; the software comes
/// from `cargo xtask servers`.
#[derive(Debug)]
pub struct Kit {
    brokers: Brokers,
    redis: Option<Redis>,
}

#[derive(Debug)]
enum Brokers {
    Embedded { cluster: Cluster, bootstrap: String },
    Real(Box<Kafka>),
}

/// What a [`Kit`] is to have. Made by [`Kit::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "nothing starts before `start`"]
pub struct KitBuilder {
    options: ClusterOptions,
    in_process: bool,
    real: Option<KafkaOptions>,
    redis: Option<RedisOptions>,
    topics: Vec<(String, i32)>,
}

impl KitBuilder {
    /// How many brokers. Default 1. Real ones are 1 or 3.
    pub fn brokers(mut self, count: u16) -> Self {
        self.options.brokers = count;
        if let Some(real) = &mut self.real {
            real.brokers = count.into();
        }
        self
    }

    /// The settings of the embedded brokers, their number included.
    pub fn cluster_options(mut self, options: ClusterOptions) -> Self {
        self.options = options;
        self
    }

    /// Binds no port: clients come in by [`Cluster::dial`] only, and [`Kit::bootstrap`] gives addresses for
    /// that. With a current-thread runtime and paused time a run is then repeatable.
    pub fn in_process(mut self) -> Self {
        self.in_process = true;
        self
    }

    /// Real Apache Kafka in place of the embedded brokers, with as many brokers as these options say.
    pub fn real_kafka(mut self, options: KafkaOptions) -> Self {
        self.real = Some(options);
        self
    }

    /// A real redis-server beside the brokers.
    pub fn redis(mut self, options: RedisOptions) -> Self {
        self.redis = Some(options);
        self
    }

    /// Creates a topic with this many partitions before [`KitBuilder::start`] returns.
    pub fn topic(mut self, name: &str, partitions: i32) -> Self {
        self.topics.push((name.to_owned(), partitions));
        self
    }

    /// Starts everything and waits until it serves.
    ///
    /// # Errors
    /// A server's software is missing, or it does not start; a port cannot be bound; real Kafka refuses a
    /// topic.
    ///
    /// # Panics
    /// A topic's name or number of partitions is not possible on the embedded brokers.
    pub async fn start(self) -> Result<Kit, LaunchError> {
        let redis = match self.redis {
            Some(options) => Some(Redis::start(options).await?),
            None => None,
        };
        let brokers = match self.real {
            Some(options) => Brokers::Real(Box::new(Kafka::start(options).await?)),
            None => {
                let cluster = Cluster::start(self.options);
                let bootstrap = if self.in_process {
                    cluster.bootstrap()
                } else {
                    let bound = cluster.listen_tcp(ListenOptions::default()).await;
                    let doing = "have the embedded brokers listen".to_owned();
                    bound.map_err(|source| LaunchError::Io { doing, source })?
                };
                Brokers::Embedded { cluster, bootstrap }
            }
        };
        let kit = Kit { brokers, redis };
        for (name, partitions) in &self.topics {
            kit.create_topic(name, *partitions).await?;
        }
        Ok(kit)
    }
}

impl Kit {
    /// Begins to say what is needed: one embedded broker unless told otherwise.
    pub fn builder() -> KitBuilder {
        KitBuilder::default()
    }

    /// One embedded broker, and nothing else.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start() -> Result<Self, LaunchError> {
        Self::builder().start().await
    }

    /// The brokers' addresses, `host:port` separated by commas: what a client is given.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        match &self.brokers {
            Brokers::Embedded { bootstrap, .. } => bootstrap.clone(),
            Brokers::Real(kafka) => kafka.bootstrap(),
        }
    }

    /// The Redis as a client is given it; `None` if none was asked for.
    #[must_use]
    pub fn redis_url(&self) -> Option<String> {
        self.redis.as_ref().map(Redis::url)
    }

    /// The embedded brokers, unless they are real.
    #[must_use]
    pub fn cluster(&self) -> Option<&Cluster> {
        match &self.brokers {
            Brokers::Embedded { cluster, .. } => Some(cluster),
            Brokers::Real(_) => None,
        }
    }

    /// The real Kafka, to be stopped and killed, if it was asked for.
    #[must_use]
    pub fn kafka(&mut self) -> Option<&mut Kafka> {
        match &mut self.brokers {
            Brokers::Embedded { .. } => None,
            Brokers::Real(kafka) => Some(kafka),
        }
    }

    /// The Redis, to be stopped and killed, if it was asked for.
    #[must_use]
    pub fn redis(&mut self) -> Option<&mut Redis> {
        self.redis.as_mut()
    }

    /// Creates a topic and waits until every broker knows its leaders.
    ///
    /// # Errors
    /// Real Kafka refuses.
    ///
    /// # Panics
    /// The embedded brokers refuse: it exists, or name or number are not possible.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), LaunchError> {
        match &self.brokers {
            Brokers::Embedded { cluster, .. } => cluster.create_topic(name, partitions),
            Brokers::Real(kafka) => kafka.create_topic(name, partitions).await?,
        }
        Ok(())
    }
}
