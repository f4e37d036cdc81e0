//! The Kafka client: connections, the cluster's metadata, reading, administration, consumer groups.
//!
//! ```text
//! transport ─► connection ─► cluster ─► fetch, admin, membership, producer
//! ```

pub mod admin;
mod cluster;
pub mod connection;
pub mod fetch;
pub mod membership;
pub mod producer;
mod traffic;
pub mod transport;

pub use cluster::{BrokerId, Client, ClientBuilder, Leader, PartitionInfo, Purpose, Target, TopicInfo};
pub use connection::{Connection, Reply};
pub use transport::{Address, Transport};
