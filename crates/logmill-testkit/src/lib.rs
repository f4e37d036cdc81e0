//! What tests need and production must not have: an embedded Kafka-compatible cluster, faults on
//! request, a TCP fault proxy, launchers of real servers.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use logmill_testkit::{Cluster, ClusterOptions, ListenOptions};
//!
//! let cluster = Cluster::start(ClusterOptions::brokers(3));
//! cluster.create_topic("orders", 6);
//! let brokers = cluster.listen_tcp(ListenOptions::default()).await?;
//! println!("any Kafka client can connect to {brokers}");
//! # Ok(()) }
//! ```
//!
//! A module uses only those before it: `state`, `faults`, `api`, `listener`, `cluster`,
//! `kit`. [`Kit`] is the whole in one call, embedded or real.

mod api;
mod cluster;
mod faults;
mod kit;
pub mod launch;
mod listener;
pub mod proxy;
mod state;

pub use cluster::{Cluster, CommittedOffset, ListenOptions, LoggedRecord};
pub use faults::{Fault, Rule};
pub use kit::{Kit, KitBuilder};
pub use logmill_protocol::messages::ApiKey as Api;
pub use state::options::ClusterOptions;
