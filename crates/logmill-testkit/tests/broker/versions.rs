//! Every API in every version that is announced, and old brokers.

use std::collections::BTreeMap;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use logmill_protocol::messages::*;
use logmill_protocol::wire::{Request, Str, read_response};
use logmill_testkit::{Api, Cluster, ClusterOptions};

use crate::wire::{Wire, fetch_request, plain, produce_request};

async fn announced(cluster: &Cluster) -> BTreeMap<i16, (i16, i16)> {
    let response = Wire::to(cluster, 1).call(&ApiVersionsRequest::default(), 0).await;
    assert_eq!(response.error_code, 0);
    response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect()
}

/// Asks in every version announced, as far as it exists. The answer is decoded, and nothing is left
/// over, or the broker could not have made it.
async fn every_version<R: Request>(cluster: &Cluster, mut request: impl FnMut(i16) -> R) {
    let (oldest, newest) = announced(cluster).await[&(R::KEY as i16)];
    for version in oldest.max(R::MIN)..=newest {
        let mut wire = Wire::to(cluster, 1);
        let answer = wire.try_call(&request(version), version).await;
        assert!(answer.is_some(), "{} {version} is not answered", R::NAME);
    }
}

#[tokio::test(start_paused = true)]
async fn every_version_announced_is_answered() {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("t", 1);
    cluster.produce("t", 0, ["a"]);
    let id = cluster.topic_id("t").unwrap();
    let ids_from = |version, first| if version >= first { id } else { Default::default() };
    let (t, g) = (Str::from("t"), Str::from("g"));

    every_version(&cluster, |_| ApiVersionsRequest::default()).await;
    every_version(&cluster, |_| metadata::MetadataRequest {
        topics: Some(vec![metadata::MetadataRequestTopic { name: Some(t.clone()), ..Default::default() }]),
        ..Default::default()
    })
    .await;
    every_version(&cluster, |version| {
        let mut request = produce_request("t", 0, plain(&["b"]));
        request.topic_data[0].topic_id = ids_from(version, 13);
        request
    })
    .await;
    assert_eq!(cluster.high_watermark("t", 0), 1 + 11, "each version stored one");
    for offset in [0, 1_000_000] {
        every_version(&cluster, |version| {
            let mut request = fetch_request("t", 0, offset, 0);
            request.topics[0].topic_id = ids_from(version, 13);
            request
        })
        .await;
    }
    for timestamp in [-1, -2, 0, -3, -100] {
        every_version(&cluster, |_| list_offsets::ListOffsetsRequest {
            replica_id: -1,
            topics: vec![list_offsets::ListOffsetsTopic {
                name: t.clone(),
                partitions: vec![list_offsets::ListOffsetsPartition { timestamp, ..Default::default() }],
            }],
            ..Default::default()
        })
        .await;
    }
    every_version(&cluster, |_| offset_for_leader_epoch::OffsetForLeaderEpochRequest {
        topics: vec![offset_for_leader_epoch::OffsetForLeaderTopic {
            topic: t.clone(),
            partitions: vec![Default::default()],
        }],
        ..Default::default()
    })
    .await;
    every_version(&cluster, |version| find_coordinator::FindCoordinatorRequest {
        key: if version < 4 { g.clone() } else { Str::default() },
        coordinator_keys: if version < 4 { Vec::new() } else { vec![g.clone()] },
        ..Default::default()
    })
    .await;
    for group in ["g", ""] {
        every_version(&cluster, |version| offset_commit::OffsetCommitRequest {
            group_id: group.into(),
            topics: vec![offset_commit::OffsetCommitRequestTopic {
                name: t.clone(),
                topic_id: ids_from(version, 10),
                partitions: vec![offset_commit::OffsetCommitRequestPartition {
                    committed_offset: 3,
                    committed_metadata: Some("m".into()),
                    ..Default::default()
                }],
            }],
            ..Default::default()
        })
        .await;
        every_version(&cluster, |version| {
            let single =
                offset_fetch::OffsetFetchRequestTopic { name: t.clone(), partition_indexes: vec![0, 1] };
            let many = offset_fetch::OffsetFetchRequestGroup {
                group_id: group.into(),
                topics: Some(vec![offset_fetch::OffsetFetchRequestTopics {
                    name: t.clone(),
                    topic_id: ids_from(version, 10),
                    partition_indexes: vec![0, 1],
                }]),
                ..Default::default()
            };
            let old = version < 8;
            offset_fetch::OffsetFetchRequest {
                group_id: if old { group.into() } else { Str::default() },
                topics: Some(if old { vec![single] } else { Vec::new() }),
                groups: if old { Vec::new() } else { vec![many] },
                ..Default::default()
            }
        })
        .await;
    }
    assert_eq!(cluster.committed("g", "t", 0).unwrap().offset, 3);
    every_version(&cluster, |_| offset_delete::OffsetDeleteRequest {
        group_id: g.clone(),
        topics: vec![offset_delete::OffsetDeleteRequestTopic {
            name: t.clone(),
            partitions: vec![Default::default()],
        }],
    })
    .await;
    assert_eq!(cluster.committed("g", "t", 0), None);
    every_version(&cluster, |version| join_group::JoinGroupRequest {
        group_id: format!("g{version}").into(),
        session_timeout_ms: 6000,
        rebalance_timeout_ms: if version == 0 { -1 } else { 6000 },
        protocol_type: "consumer".into(),
        protocols: vec![join_group::JoinGroupRequestProtocol { name: "p".into(), ..Default::default() }],
        ..Default::default()
    })
    .await;
    every_version(&cluster, |_| sync_group::SyncGroupRequest { group_id: g.clone(), ..Default::default() })
        .await;
    every_version(&cluster, |_| heartbeat::HeartbeatRequest { group_id: g.clone(), ..Default::default() })
        .await;
    every_version(&cluster, |version| leave_group::LeaveGroupRequest {
        group_id: "g2".into(),
        members: if version < 3 { Vec::new() } else { vec![Default::default()] },
        ..Default::default()
    })
    .await;
    every_version(&cluster, |_| describe_groups::DescribeGroupsRequest {
        groups: vec!["g2".into(), "none".into()],
        ..Default::default()
    })
    .await;
    every_version(&cluster, |_| list_groups::ListGroupsRequest::default()).await;
    every_version(&cluster, |_| delete_groups::DeleteGroupsRequest { groups_names: vec![g.clone()] }).await;
    every_version(&cluster, |_| init_producer_id::InitProducerIdRequest {
        transactional_id: Some("x".into()),
        transaction_timeout_ms: 1000,
        ..Default::default()
    })
    .await;
    every_version(&cluster, |_| add_partitions_to_txn::AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "x".into(),
        v3_and_below_topics: vec![add_partitions_to_txn::AddPartitionsToTxnTopic {
            name: t.clone(),
            partitions: vec![0],
        }],
        ..Default::default()
    })
    .await;
    every_version(&cluster, |_| add_offsets_to_txn::AddOffsetsToTxnRequest::default()).await;
    every_version(&cluster, |_| end_txn::EndTxnRequest::default()).await;
    every_version(&cluster, |_| txn_offset_commit::TxnOffsetCommitRequest {
        group_id: g.clone(),
        topics: vec![txn_offset_commit::TxnOffsetCommitRequestTopic {
            name: t.clone(),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    every_version(&cluster, |version| create_topics::CreateTopicsRequest {
        topics: vec![create_topics::CreatableTopic {
            name: format!("made-{version}").into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    every_version(&cluster, |version| delete_topics::DeleteTopicsRequest {
        topic_names: if version < 6 { vec!["made-3".into()] } else { Vec::new() },
        topics: if version < 6 { Vec::new() } else { vec![Default::default()] },
        ..Default::default()
    })
    .await;
    every_version(&cluster, |version| create_partitions::CreatePartitionsRequest {
        topics: vec![create_partitions::CreatePartitionsTopic {
            name: t.clone(),
            count: 2 + i32::from(version),
            ..Default::default()
        }],
        ..Default::default()
    })
    .await;
    every_version(&cluster, |_| delete_records::DeleteRecordsRequest {
        topics: vec![delete_records::DeleteRecordsTopic {
            name: t.clone(),
            partitions: vec![Default::default()],
        }],
        ..Default::default()
    })
    .await;
    for (resource_type, name) in [(2, "t"), (4, "1"), (2, "none")] {
        every_version(&cluster, |_| describe_configs::DescribeConfigsRequest {
            resources: vec![describe_configs::DescribeConfigsResource {
                resource_type,
                resource_name: name.into(),
                configuration_keys: None,
            }],
            ..Default::default()
        })
        .await;
        every_version(&cluster, |_| incremental_alter_configs::IncrementalAlterConfigsRequest {
            resources: vec![incremental_alter_configs::AlterConfigsResource {
                resource_type,
                resource_name: name.into(),
                configs: Vec::new(),
            }],
            ..Default::default()
        })
        .await;
    }
    every_version(&cluster, |_| describe_cluster::DescribeClusterRequest::default()).await;
    every_version(&cluster, |_| describe_topic_partitions::DescribeTopicPartitionsRequest::default()).await;

    let announced = announced(&cluster).await;
    for &api in announced.keys() {
        let asked = cluster.calls(Api::try_from(api).unwrap());
        assert!(asked > 0, "no version of {:?} was tried", Api::try_from(api));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    let mut wire = Wire::to(&cluster, 1);
    let mut ask = async |cluster_plays: Option<&str>| -> ApiVersionsResponse {
        if let Some(release) = cluster_plays {
            cluster.play_kafka(release);
        }
        // The body of version 3 in a header that says 99.
        let frame =
            logmill_protocol::wire::request_frame(&ApiVersionsRequest::default(), 3, 1, None).unwrap();
        let mut bytes = frame.to_bytes().to_vec();
        bytes[7] = 99;
        wire.raw(&bytes).await;
        read_response::<ApiVersionsRequest>(wire.frame().await.unwrap(), 0).unwrap().1
    };
    let answer = ask(None).await;
    assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion.code());
    assert_eq!((answer.api_keys.len(), answer.api_keys[0].max_version), (1, 4), "KIP-511");
    assert_eq!(ask(Some("2.1")).await.api_keys.len(), 0, "before KIP-511 there was only the error");
}

#[tokio::test(start_paused = true)]
async fn an_old_kafka_is_played() {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("t", 1);
    let new = announced(&cluster).await;
    assert_eq!(new[&0], (0, 13), "Produce 0 is announced for librdkafka's sake");
    cluster.play_kafka("2.1");
    let old = announced(&cluster).await;
    assert_eq!((old[&0], old[&1], old[&3]), ((0, 7), (4, 10), (0, 7)));
    assert!(!old.contains_key(&60), "2.1 had no DescribeCluster");
    let mut wire = Wire::to(&cluster, 1);
    assert!(wire.try_call(&produce_request("t", 0, plain(&["a"])), 7).await.is_some());
    assert!(wire.try_call(&produce_request("t", 0, plain(&["a"])), 8).await.is_none());
    for release in ["2.4", "2.8", "3.3", "3.9", "4.0"] {
        cluster.play_kafka(release);
        let played = announced(&cluster).await;
        let within = |(api, range): (&i16, &(i16, i16))| new[api].0 <= range.0 && range.1 <= new[api].1;
        assert!(played.iter().all(within), "{release}");
    }
    cluster.set_api_versions(Some(vec![(Api::ApiVersions, 0..=9), (Api::Metadata, 5..=6)]));
    assert_eq!(announced(&cluster).await, BTreeMap::from([(18, (0, 4)), (3, (5, 6))]));
    cluster.set_api_versions(None);
    assert_eq!(announced(&cluster).await, new);
}
