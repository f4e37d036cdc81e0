//! Topics, settings and the cluster, described and changed.

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Uuid;
use logmill_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use logmill_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use logmill_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use logmill_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use logmill_protocol::messages::describe_cluster::DescribeClusterRequest;
use logmill_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use logmill_protocol::messages::describe_topic_partitions::{DescribeTopicPartitionsRequest, TopicRequest};
use logmill_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use logmill_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use logmill_testkit::{Cluster, ClusterOptions};

use crate::wire::Wire;

fn new_topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions, replication_factor, ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn topics_are_created_spread_over_the_brokers_and_seen() {
    let cluster = Cluster::start(ClusterOptions::brokers(3));
    let mut wire = Wire::to(&cluster, 2);
    let mut create = async |topic: CreatableTopic| {
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        wire.call(&request, 7).await.topics[0].clone()
    };
    let made = create(new_topic("a", 6, 2)).await;
    assert_eq!((made.error_code, made.num_partitions, made.replication_factor), (0, 6, 2));
    let leaders: Vec<_> = (0..6).map(|p| cluster.leader("a", p).unwrap()).collect();
    assert_eq!(leaders, [1, 2, 3, 1, 2, 3]);
    let by_default = create(new_topic("b", -1, -1)).await;
    assert_eq!((by_default.num_partitions, by_default.replication_factor), (1, 3));
    let mut code = async |topic| ErrorCode::from(create(topic).await.error_code);
    assert_eq!(code(new_topic("a", 1, 1)).await, ErrorCode::TopicAlreadyExists);
    assert_eq!(code(new_topic("", 1, 1)).await, ErrorCode::InvalidTopicException);
    assert_eq!(code(new_topic("a/b", 1, 1)).await, ErrorCode::InvalidTopicException);
    assert_eq!(code(new_topic("c", 0, 1)).await, ErrorCode::InvalidPartitions);
    assert_eq!(code(new_topic("c", i32::MAX, 1)).await, ErrorCode::InvalidPartitions);
    assert_eq!(code(new_topic("c", 1, 4)).await, ErrorCode::InvalidReplicationFactor);
    let mut odd = new_topic("c", 1, 1);
    odd.configs = vec![CreatableTopicConfig { name: "no.such".into(), value: Some("1".into()) }];
    assert_eq!(code(odd).await, ErrorCode::InvalidConfig);
    let mut by_hand = new_topic("c", -1, -1);
    let assign = |partition_index, broker_ids| CreatableReplicaAssignment { partition_index, broker_ids };
    by_hand.assignments = vec![assign(1, vec![3]), assign(0, vec![2, 1])];
    assert_eq!(code(by_hand.clone()).await, ErrorCode::None);
    assert_eq!((cluster.leader("c", 0), cluster.leader("c", 1)), (Some(2), Some(3)));
    by_hand.name = "d".into();
    by_hand.assignments = vec![assign(0, vec![9])];
    assert_eq!(code(by_hand).await, ErrorCode::InvalidReplicaAssignment);

    let checked = CreateTopicsRequest {
        topics: vec![new_topic("only-checked", 3, 1)],
        validate_only: true,
        ..Default::default()
    };
    assert_eq!(wire.call(&checked, 7).await.topics[0].num_partitions, 3);
    assert_eq!(cluster.topic_id("only-checked"), None);
}

#[tokio::test(start_paused = true)]
async fn metadata_tells_leaders_and_what_does_not_exist() {
    let cluster = Cluster::start(ClusterOptions::brokers(3));
    cluster.create_topic("t", 3);
    let mut wire = Wire::to(&cluster, 2);
    let all = MetadataRequest { topics: None, ..Default::default() };
    let seen = wire.call(&all, 12).await;
    assert_eq!(seen.brokers.iter().map(|b| b.node_id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(cluster.bootstrap(), "broker-1.embedded:9092,broker-2.embedded:9092,broker-3.embedded:9092");
    assert_eq!(seen.topics[0].topic_id, cluster.topic_id("t").unwrap());
    let nothing = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    assert_eq!(wire.call(&nothing, 12).await.topics.len(), 0);
    let named = |name: Option<&str>, topic_id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { topic_id, name: name.map(Into::into) }]),
        ..Default::default()
    };
    let code = wire.call(&named(Some("none"), Uuid::ZERO), 12).await.topics[0].error_code;
    assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code(), "nothing is created by asking");
    let code = wire.call(&named(None, Uuid([7; 16])), 12).await.topics[0].error_code;
    assert_eq!(code, ErrorCode::UnknownTopicId.code());

    cluster.crash(1);
    let seen = wire.call(&all, 12).await;
    assert_eq!(seen.brokers.iter().map(|b| b.node_id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(seen.controller_id, 2);
    let partition = &seen.topics[0].partitions[0];
    assert_eq!((partition.leader_id, partition.leader_epoch), (2, 1), "the next replica, the next epoch");
    assert_eq!((&partition.isr_nodes[..], &partition.offline_replicas[..]), (&[2, 3][..], &[1][..]));
    cluster.restart(1);
    assert_eq!(cluster.leader("t", 0), Some(2), "a leader stays where it went");
}

#[tokio::test(start_paused = true)]
async fn a_partition_whose_replicas_are_all_down_has_no_leader_until_one_is_back() {
    let cluster = Cluster::start(ClusterOptions::brokers(2));
    let mut wire = Wire::to(&cluster, 2);
    let request = CreateTopicsRequest { topics: vec![new_topic("t", 1, 1)], ..Default::default() };
    wire.call(&request, 7).await;
    cluster.produce("t", 0, ["kept"]);
    cluster.crash(1);
    assert_eq!(cluster.leader("t", 0), None);
    let all = MetadataRequest { topics: None, ..Default::default() };
    let partition = wire.call(&all, 12).await.topics[0].partitions[0].clone();
    assert_eq!((partition.leader_id, partition.error_code), (-1, ErrorCode::LeaderNotAvailable.code()));
    assert!(cluster.dial("broker-1.embedded", 9092).is_err());
    cluster.restart(1);
    assert_eq!((cluster.leader("t", 0), cluster.high_watermark("t", 0)), (Some(1), 1));
}

#[tokio::test(start_paused = true)]
async fn asking_for_a_topic_creates_it_where_that_is_on() {
    let mut options = ClusterOptions::brokers(1);
    (options.auto_create_topics, options.default_partitions) = (true, 4);
    let cluster = Cluster::start(options);
    let mut request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some("t".into()), ..Default::default() }]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let mut wire = Wire::to(&cluster, 1);
    let code = wire.call(&request, 12).await.topics[0].error_code;
    assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code());
    request.allow_auto_topic_creation = true;
    assert_eq!(wire.call(&request, 12).await.topics[0].partitions.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn topics_grow_and_go() {
    let cluster = Cluster::start(ClusterOptions::brokers(3));
    cluster.create_topic("t", 2);
    let id = cluster.topic_id("t").unwrap();
    let mut wire = Wire::to(&cluster, 1);
    let grow = |name: &str, count| CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: name.into(), count, assignments: None }],
        ..Default::default()
    };
    let mut code =
        async |name, count| ErrorCode::from(wire.call(&grow(name, count), 3).await.results[0].error_code);
    assert_eq!(code("t", 5).await, ErrorCode::None);
    assert_eq!(code("t", 5).await, ErrorCode::InvalidPartitions);
    assert_eq!(code("none", 5).await, ErrorCode::UnknownTopicOrPartition);
    assert_eq!((0..5).map(|p| cluster.leader("t", p).unwrap()).collect::<Vec<_>>(), [1, 2, 1, 2, 3]);

    cluster.produce("t", 0, ["x"]);
    let by_id = |topic_id| DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: None, topic_id }],
        ..Default::default()
    };
    let deleted = wire.call(&by_id(id), 6).await.responses[0].clone();
    assert_eq!((deleted.error_code, deleted.name.unwrap().as_str()), (0, "t"));
    let deleted = wire.call(&by_id(id), 6).await.responses[0].clone();
    assert_eq!(deleted.error_code, ErrorCode::UnknownTopicId.code());
    let by_name = DeleteTopicsRequest { topic_names: vec!["t".into()], ..Default::default() };
    let code = wire.call(&by_name, 4).await.responses[0].error_code;
    assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code());
    cluster.create_topic("t", 1);
    assert_ne!(cluster.topic_id("t"), Some(id));
    assert_eq!(cluster.high_watermark("t", 0), 0);
}

#[tokio::test(start_paused = true)]
async fn records_are_deleted_up_to_an_offset() {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("t", 1);
    cluster.produce("t", 0, ["a", "b", "c"]);
    let request = |offset| DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "t".into(),
            partitions: vec![DeleteRecordsPartition { partition_index: 0, offset }],
        }],
        ..Default::default()
    };
    let mut wire = Wire::to(&cluster, 1);
    let mut delete = async |offset| {
        let result = wire.call(&request(offset), 2).await.topics[0].partitions[0].clone();
        (ErrorCode::from(result.error_code), result.low_watermark)
    };
    assert_eq!(delete(1).await, (ErrorCode::None, 1));
    assert_eq!(cluster.log("t", 0).len(), 2, "a batch that is not wholly below stays, and is not shown");
    assert_eq!(delete(0).await, (ErrorCode::None, 1), "it never goes back");
    assert_eq!(delete(4).await, (ErrorCode::OffsetOutOfRange, -1));
    assert_eq!(delete(-1).await, (ErrorCode::None, 3));
}

#[tokio::test(start_paused = true)]
async fn settings_are_shown_and_changed() {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic_with("t", 1, &[("retention.bytes", "1000")]);
    let mut wire = Wire::to(&cluster, 1);
    let alter = |name: &str, config_operation, value: Option<&str>| IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            configs: vec![AlterableConfig {
                name: name.into(),
                config_operation,
                value: value.map(Into::into),
            }],
        }],
        ..Default::default()
    };
    for (request, expected) in [
        (alter("cleanup.policy", 2, Some("compact")), ErrorCode::None),
        (alter("retention.bytes", 1, None), ErrorCode::None),
        (alter("max.message.bytes", 0, Some("2000")), ErrorCode::None),
        (alter("max.message.bytes", 0, Some("many")), ErrorCode::InvalidConfig),
        (alter("max.message.bytes", 2, Some("1")), ErrorCode::InvalidConfig),
        (alter("no.such", 0, Some("1")), ErrorCode::InvalidConfig),
    ] {
        let code = wire.call(&request, 1).await.responses[0].error_code;
        assert_eq!(ErrorCode::from(code), expected, "{request:?}");
    }
    let describe = |resource_type, name: &str, keys: Option<&[&str]>| DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: name.into(),
            configuration_keys: keys.map(|keys| keys.iter().map(|&key| key.into()).collect()),
        }],
        ..Default::default()
    };
    let keys = ["cleanup.policy", "max.message.bytes", "retention.bytes"];
    let result = wire.call(&describe(2, "t", Some(&keys)), 4).await.results[0].clone();
    let shown: Vec<_> = result
        .configs
        .iter()
        .map(|c| (c.name.as_str(), c.value.as_deref().unwrap(), c.config_source))
        .collect();
    assert_eq!(
        shown,
        [
            ("cleanup.policy", "delete,compact", 1),
            ("max.message.bytes", "2000", 1),
            ("retention.bytes", "-1", 5)
        ]
    );
    assert!(wire.call(&describe(2, "t", None), 4).await.results[0].configs.len() > 10);
    assert!(wire.call(&describe(4, "1", None), 4).await.results[0].configs.len() > 3);
    let code = wire.call(&describe(2, "none", None), 4).await.results[0].error_code;
    assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code());
}

#[tokio::test(start_paused = true)]
async fn the_cluster_and_its_partitions_are_described_page_by_page() {
    let cluster = Cluster::start(ClusterOptions::brokers(2));
    cluster.create_topic("a", 3);
    cluster.create_topic("b", 3);
    let mut wire = Wire::to(&cluster, 1);
    let seen = wire.call(&DescribeClusterRequest { endpoint_type: 1, ..Default::default() }, 2).await;
    assert_eq!((seen.controller_id, seen.brokers.len()), (1, 2));
    assert_eq!(seen.cluster_id.len(), 22);

    let mut request = DescribeTopicPartitionsRequest {
        topics: ["b", "a", "none"].map(|name| TopicRequest { name: name.into() }).to_vec(),
        response_partition_limit: 2,
        ..Default::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = wire.call(&request, 0).await;
        let shown = page.topics.iter().flat_map(|topic| {
            let name = topic.name.clone().unwrap();
            topic.partitions.iter().map(move |p| format!("{name}/{}", p.partition_index))
        });
        pages.push(shown.collect::<Vec<_>>());
        let Some(next) = page.next_cursor else {
            assert_eq!(page.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
            break;
        };
        request.cursor = Some(logmill_protocol::messages::describe_topic_partitions::Cursor {
            topic_name: next.topic_name,
            partition_index: next.partition_index,
        });
    }
    assert_eq!(pages, [vec!["a/0", "a/1"], vec!["a/2", "b/0"], vec!["b/1", "b/2"], vec![]]);
}
