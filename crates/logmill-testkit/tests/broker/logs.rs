//! Compaction, retention and truncation as a test asks for them.

use logmill_protocol::records::{Batches, Limits};
use logmill_testkit::{Cluster, ClusterOptions};

use crate::wire::{Wire, batch, numbered};

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::brokers(1));
    cluster.create_topic("t", 1);
    cluster
}

fn offsets(cluster: &Cluster) -> Vec<i64> {
    cluster.log("t", 0).iter().map(|record| record.offset).collect()
}

/// Base offset, last offset and number of records of every batch.
fn batches(cluster: &Cluster) -> Vec<(i64, i64, usize)> {
    let read = |batch: logmill_protocol::records::Batch| {
        let count = batch.records(Limits::default()).unwrap().iter().map(Result::unwrap).count();
        (batch.base_offset(), batch.last_offset(), count)
    };
    Batches::new(cluster.raw_log("t", 0)).map(|batch| read(batch.unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn compaction_leaves_holes_and_keeps_the_offsets_that_batches_cover() {
    let cluster = cluster();
    let keyed = |pairs: &[(&'static str, &'static str)]| {
        cluster.produce_keyed("t", 0, pairs.iter().map(|&(key, value)| (Some(key), Some(value))))
    };
    keyed(&[("a", "1"), ("b", "1"), ("c", "1")]);
    keyed(&[("a", "2"), ("b", "2")]);
    keyed(&[("d", "1"), ("a", "3"), ("e", "1")]);
    cluster.produce_keyed("t", 0, [(Some("c"), None::<&str>)]);
    cluster.compact("t", 0);
    assert_eq!(offsets(&cluster), [4, 5, 6, 7, 8]);
    assert_eq!(batches(&cluster), [(3, 4, 1), (5, 7, 3), (8, 8, 1)]);
    let last = cluster.log("t", 0).pop().unwrap();
    assert_eq!((last.key.unwrap(), last.value), ("c".into(), None), "a tombstone stays");
    assert_eq!((cluster.log_start("t", 0), cluster.high_watermark("t", 0)), (0, 9));
    cluster.compact("t", 0);
    assert_eq!(offsets(&cluster), [4, 5, 6, 7, 8], "again changes nothing");

    // A reader that starts in a hole gets what follows.
    let data = Wire::to(&cluster, 1).fetch("t", 0, 1, 0).await;
    let first = Batches::new(data.records.unwrap()).next().unwrap().unwrap();
    assert_eq!(first.base_offset(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_last_batch_of_a_producer_stays_even_when_it_is_empty() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    let keyed = |sequence| {
        let mut builder = logmill_protocol::records::BatchBuilder::new(Vec::new());
        let record = logmill_protocol::records::NewRecord::new(1, Some(b"k"), Some(b"v"));
        builder.append(&record, usize::MAX).unwrap();
        builder.finish(numbered(5, 0, sequence))
    };
    assert_eq!(wire.produce("t", 0, keyed(0)).await.error_code, 0);
    assert_eq!(wire.produce("t", 0, keyed(1)).await.error_code, 0);
    cluster.produce_keyed("t", 0, [(Some("k"), Some("newest"))]);
    cluster.compact("t", 0);
    assert_eq!(batches(&cluster), [(1, 1, 0), (2, 2, 1)]);
    // So its sequence is known still, also to one that reads it from the log.
    cluster.truncate("t", 0, 2);
    let again = wire.produce("t", 0, keyed(1)).await;
    assert_eq!((again.error_code, again.base_offset), (0, 1));
    assert_eq!(wire.produce("t", 0, keyed(2)).await.base_offset, 2);
}

#[tokio::test(start_paused = true)]
async fn truncation_forgets_records_epochs_and_producers() {
    let cluster = cluster();
    let mut wire = Wire::to(&cluster, 1);
    wire.produce("t", 0, batch(&["a", "b"], numbered(5, 0, 0))).await;
    wire.produce("t", 0, batch(&["c", "d"], numbered(5, 0, 2))).await;
    cluster.truncate("t", 0, 3);
    assert_eq!(cluster.high_watermark("t", 0), 2, "a batch goes as a whole");
    assert_eq!(cluster.leader_epoch("t", 0), 1);
    let again = wire.produce("t", 0, batch(&["c", "d"], numbered(5, 0, 2))).await;
    assert_eq!((again.error_code, again.base_offset), (0, 2));
    assert_eq!(cluster.log("t", 0)[2].leader_epoch, 1);
    cluster.truncate("t", 0, 100);
    assert_eq!(cluster.high_watermark("t", 0), 4, "there is nothing to cut off");
}

#[tokio::test(start_paused = true)]
async fn deleting_all_leaves_an_empty_log_that_goes_on() {
    let cluster = cluster();
    cluster.produce("t", 0, ["a", "b"]);
    cluster.delete_records("t", 0, i64::MAX);
    assert_eq!((cluster.log_start("t", 0), cluster.high_watermark("t", 0)), (2, 2));
    assert!(cluster.raw_log("t", 0).is_empty());
    assert_eq!(cluster.produce("t", 0, ["c"]), 2);
}
