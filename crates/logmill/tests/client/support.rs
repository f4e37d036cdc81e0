//! An embedded cluster, and a client on it.

use logmill::client::{Client, ClientBuilder, Transport};
use logmill_testkit::{Cluster, ClusterOptions};

pub(crate) use crate::log::*;

pub(crate) fn cluster(brokers: u16) -> Cluster {
    Cluster::start(ClusterOptions::brokers(brokers).seed(7))
}

pub(crate) fn transport(cluster: &Cluster) -> Transport {
    let cluster = cluster.clone();
    Transport::new(move |address| {
        let cluster = cluster.clone();
        async move { cluster.dial(&address.host, address.port) }
    })
}

pub(crate) fn builder(cluster: &Cluster) -> ClientBuilder {
    Client::builder().brokers(cluster.bootstrap()).transport(transport(cluster)).seed(11)
}

pub(crate) async fn connect(cluster: &Cluster) -> Client {
    builder(cluster).connect().await.unwrap()
}
