//! Starts real servers for tests: Apache Kafka and Redis, each in a folder of its own, on ports of its
//! own, gone when the value that holds it is dropped.
//!
//! The software itself comes from `cargo xtask servers`. Where it is, in this order:
//! - `LOGMILL_KAFKA_HOME`: a folder that holds `<version>/libs/*.jar`; `LOGMILL_REDIS_SERVER`: the program;
//! - the workspace's `target/servers/kafka`; `redis-server` on PATH.
//!
//! A test whose server is missing fails and says what to run, unless `LOGMILL_SKIP` names the software
//! (`LOGMILL_SKIP=kafka,redis`): then it opens with [`skipped`], which says so where a person sees it.
//!
//! What a server wrote is kept, and the folder printed, when the thread that drops it panics or
//! `LOGMILL_KEEP=1` is set. ZooKeeper is not needed any more: these brokers keep their own metadata (KRaft).

mod ask;
mod certificates;
mod error;
mod folder;
mod java;
mod kafka;
mod ports;
mod process;
mod redis;
mod resp;
mod sentinel;
mod settings;
mod software;

pub use error::LaunchError;
pub use java::java_tool;
pub use kafka::Kafka;
pub use redis::{Redis, RedisOptions};
pub use sentinel::Sentinels;
pub use settings::KafkaOptions;
pub use software::{Software, skipped};
