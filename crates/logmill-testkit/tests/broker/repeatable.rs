//! One seed, one run.

use std::time::Duration;

use bytes::Bytes;
use logmill_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use logmill_protocol::messages::metadata::MetadataRequest;
use logmill_testkit::{Api, Cluster, ClusterOptions, Fault, Rule};

use crate::wire::{Wire, batch, fetch_request, numbered, produce_request};

/// Several clients at once, some of them struck; gives every frame that came back, in its order.
async fn history(seed: u64) -> Vec<(usize, Bytes)> {
    let mut options = ClusterOptions::brokers(3).seed(seed);
    options.start_time_ms = 1_700_000_000_000;
    let cluster = Cluster::start(options);
    cluster.create_topic("t", 3);
    cluster.inject(Rule::new(Api::Fetch, Fault::FlipBit).after(3).times(2));
    cluster.inject(Rule::new(Api::Produce, Fault::Delay(Duration::from_millis(7))).after(2).times(3));
    let (tell, mut told) = tokio::sync::mpsc::channel(1000);
    for client in 0..6 {
        let (cluster, tell) = (cluster.clone(), tell.clone());
        tokio::spawn(async move {
            let partition = client as i32 % 3;
            let mut wire = Wire::to(&cluster, cluster.leader("t", partition).unwrap());
            for step in 0..5 {
                if client < 3 {
                    let records = batch(&["a", "b"], numbered(client as i64, 0, step * 2));
                    wire.send(&produce_request("t", partition, records), 9).await;
                } else {
                    wire.send(&fetch_request("t", partition, i64::from(step), 20), 12).await;
                }
                tell.send((client, wire.frame().await.unwrap())).await.unwrap();
                wire.send(&MetadataRequest { topics: None, ..Default::default() }, 12).await;
                tell.send((client, wire.frame().await.unwrap())).await.unwrap();
            }
            let mut wire = Wire::to(&cluster, cluster.coordinator("g").unwrap());
            let protocol = JoinGroupRequestProtocol { name: "p".into(), metadata: Bytes::new() };
            let join = JoinGroupRequest {
                group_id: "g".into(),
                session_timeout_ms: 6000,
                rebalance_timeout_ms: 6000,
                protocol_type: "consumer".into(),
                protocols: vec![protocol],
                ..Default::default()
            };
            wire.send(&join, 3).await;
            tell.send((client, wire.frame().await.unwrap())).await.unwrap();
        });
    }
    drop(tell);
    let mut all = Vec::new();
    while let Some(one) = told.recv().await {
        all.push(one);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_bytes_in_the_same_order() {
    let first = history(7).await;
    assert_eq!(first.len(), 66);
    assert_eq!(first, history(7).await);
    assert_ne!(first, history(8).await);
}
