//! Reading: ranges end by position, streams lose and repeat nothing, what cannot be read is told.

use std::collections::BTreeMap;
use std::time::Duration;

use logmill::Error;
use logmill::client::fetch::{FetchOptions, Isolation, Position};
use logmill_protocol::ids::Partition;
use logmill_protocol::records::{Compression, Stamp};
use logmill_testkit::{Api, Fault};

use crate::support::{
    Transaction, append, batch, builder, cluster, connect, drain, expected, fill, put, values,
};

#[tokio::test(start_paused = true)]
async fn any_split_of_a_log_into_ranges_shows_each_record_once() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 20).await;
    let id = cluster.topic_id("t");
    for step in [1, 3, 7, 10, 64, 200] {
        let mut seen = Vec::new();
        for start in (0..200).step_by(step) {
            let range = start..(start + step as i64).min(200);
            let mut reader =
                client.fetch_range(partition.clone(), id, range.clone(), &FetchOptions::default());
            let part = drain(&mut reader).await.unwrap();
            assert_eq!(part, expected(range));
            seen.extend(part);
        }
        assert_eq!(seen, expected(0..200), "step {step}");
    }
}

#[tokio::test(start_paused = true)]
async fn compressed_batches_that_straddle_a_range_show_only_what_was_asked_for() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    let codecs =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for (nth, codec) in codecs.into_iter().enumerate() {
        let values: Vec<String> = (0..100).map(|i| format!("v{}", nth * 100 + i)).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        append(&client, &partition, batch(&values, codec, Stamp::default()), None).await;
    }
    for start in (0..500).step_by(7) {
        let range = start..(start + 7).min(500);
        let mut reader = client.fetch_range(partition.clone(), None, range.clone(), &FetchOptions::default());
        assert_eq!(drain(&mut reader).await.unwrap(), expected(range));
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_fetch_is_under_way_while_one_is_worked_on() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 100).await;
    let mut options = FetchOptions::default();
    options.partition_bytes = 1;
    let mut reader = client.fetch_range(partition, None, 0..1_000, &options);
    let first = reader.next().await.unwrap().unwrap();
    assert_eq!(values(&first), expected(0..10));
    // Time passes, the reader is not touched, and yet the broker has answered a second fetch.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(cluster.calls(Api::Fetch), 2);
    let mut seen = values(&first);
    seen.extend(drain(&mut reader).await.unwrap());
    assert_eq!(seen, expected(0..1_000));
    assert_eq!(cluster.calls(Api::Fetch), 100, "nothing is fetched twice");
}

#[tokio::test(start_paused = true)]
async fn a_range_follows_its_leader_through_moves_crashes_and_lost_answers() {
    let cluster = cluster(3);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 60).await;
    let mut options = FetchOptions::default();
    options.partition_bytes = 1;
    let mut reader = client.fetch_range(partition, cluster.topic_id("t"), 0..600, &options);
    let mut seen = Vec::new();
    let mut round = 0;
    while let Some(fetched) = reader.next().await.unwrap() {
        seen.extend(values(&fetched));
        round += 1;
        let leader = cluster.leader("t", 0).unwrap();
        match round % 6 {
            1 => cluster.move_leader("t", 0, 1 + leader % 3),
            2 => cluster.on_once(Api::Fetch, Fault::ApplyThenDisconnect),
            3 => cluster.crash(leader),
            4 => (1..=3).for_each(|broker| cluster.restart(broker)),
            5 => cluster.on_once(Api::Fetch, Fault::CutShort),
            _ => {}
        }
    }
    assert_eq!(seen, expected(0..600));
}

#[tokio::test(start_paused = true)]
async fn deleted_offsets_are_told_to_the_offset_and_never_skipped() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 10).await;
    cluster.delete_records("t", 0, 37);
    let mut reader = client.fetch_range(partition.clone(), None, 30..60, &FetchOptions::default());
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, Error::Deleted { position: 30, log_start: 37, .. }), "{error:?}");
    assert!(!error.is_retriable());
    let mut reader = client.fetch_range(partition, None, 37..60, &FetchOptions::default());
    assert_eq!(drain(&mut reader).await.unwrap(), expected(37..60));
}

#[tokio::test(start_paused = true)]
async fn a_position_beyond_the_log_is_waited_for_and_then_told_as_truncation() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 1).await;
    let mut options = FetchOptions::default();
    options.patience = Duration::from_secs(10);
    let mut reader = client.fetch_range(partition.clone(), None, 15..20, &options);
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, Error::Truncated { position: 15, end: 10, .. }), "{error:?}");

    let mut reader = client.fetch_range(partition.clone(), None, 15..20, &options);
    let waiting = tokio::spawn(async move { drain(&mut reader).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    put(&client, &partition, &["v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19"]).await;
    assert_eq!(waiting.await.unwrap().unwrap(), expected(15..20));
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_ends_no_range() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 1).await;
    let mut options = FetchOptions::default();
    options.patience = Duration::from_secs(5);
    let mut reader = client.fetch_range(partition.clone(), None, 5..15, &options);
    assert_eq!(values(&reader.next().await.unwrap().unwrap()), expected(5..10));
    let error = reader.next().await.unwrap_err();
    assert!(error.to_string().contains("nothing to read at 10 yet"), "{error}");
    assert!(error.is_retriable());
    put(&client, &partition, &["v10", "v11", "v12", "v13", "v14", "v15"]).await;
    assert_eq!(drain(&mut reader).await.unwrap(), expected(10..15));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_reader_that_is_dropped_and_asked_again_loses_nothing() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 2).await;
    cluster.on(Api::Fetch, Fault::ApplyThenDelay(Duration::from_millis(50)));
    let mut reader = client.fetch_range(partition, None, 0..20, &FetchOptions::default());
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_millis(7), reader.next()).await {
            Err(_) => {}
            Ok(Ok(Some(fetched))) => seen.extend(values(&fetched)),
            Ok(Ok(None)) => break,
            Ok(Err(error)) => panic!("{error}"),
        }
    }
    assert_eq!(seen, expected(0..20));
    assert_eq!(cluster.calls(Api::Fetch), 1);
}

#[tokio::test(start_paused = true)]
async fn every_flipped_bit_is_noticed_and_the_batch_fetched_again() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 10).await;
    for _ in 0..200 {
        cluster.on_once(Api::Fetch, Fault::FlipBit);
        let mut reader = client.fetch_range(partition.clone(), None, 0..100, &FetchOptions::default());
        let seen = drain(&mut reader).await;
        // A flip outside of the records may end in an error; inside, it must never change a record.
        if let Ok(seen) = seen {
            assert_eq!(seen, expected(0..100));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fetch_works_in_every_version_that_brokers_since_2_1_have() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let partition = Partition::new("t", 0);
    fill(&connect(&cluster).await, &partition, 3).await;
    for version in 10..=18 {
        let client = builder(&cluster).newest_version(Api::Fetch, version).connect().await.unwrap();
        let mut reader = client.fetch_range(partition.clone(), None, 0..30, &FetchOptions::default());
        assert_eq!(drain(&mut reader).await.unwrap(), expected(0..30), "version {version}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_many_partitions_shows_each_record_once_in_order_through_faults() {
    let cluster = cluster(3);
    cluster.create_topic("t", 6);
    let client = connect(&cluster).await;
    for index in 0..6 {
        fill(&client, &Partition::new("t", index), 20).await;
    }
    let mut options = FetchOptions::default();
    options.partition_bytes = 300;
    options.buffer_bytes = 4_000;
    let from = (0..6).map(|index| (Partition::new("t", index), Position::at(0)));
    let mut stream = client.stream(from, &options);
    let mut seen: BTreeMap<Partition, Vec<(i64, String)>> = BTreeMap::new();
    let mut rounds = 0;
    while seen.values().map(Vec::len).sum::<usize>() < 1_200 {
        let fetched = stream.next().await.unwrap();
        seen.entry(fetched.partition.clone()).or_default().extend(values(&fetched));
        rounds += 1;
        let leader = cluster.leader("t", rounds % 6).unwrap();
        match rounds % 12 {
            1 => cluster.move_leader("t", rounds % 6, 1 + leader % 3),
            4 => cluster.on_once(Api::Fetch, Fault::ApplyThenDisconnect),
            7 => cluster.crash(leader),
            9 => (1..=3).for_each(|broker| cluster.restart(broker)),
            _ => {}
        }
    }
    for (partition, seen) in seen {
        assert_eq!(seen, expected(0..200), "{partition}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_of_one_partition_and_goes_on_with_the_others() {
    let cluster = cluster(1);
    cluster.create_topic("t", 2);
    let client = connect(&cluster).await;
    let (a, b) = (Partition::new("t", 0), Partition::new("t", 1));
    fill(&client, &a, 2).await;
    fill(&client, &b, 2).await;
    cluster.delete_records("t", 0, 10);
    let from = [(a.clone(), Position::at(3)), (b.clone(), Position::at(0))];
    let mut stream = client.stream(from, &FetchOptions::default());
    let (mut seen, mut told) = (Vec::new(), 0);
    while seen.len() < 30 {
        match stream.next().await {
            Ok(fetched) => seen.extend(values(&fetched)),
            Err(Error::Deleted { partition, log_start, .. }) => {
                assert_eq!((&partition, log_start), (&a, 10));
                told += 1;
                stream.seek(partition, Position::at(log_start));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(told, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_no_more_than_its_buffer() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    fill(&client, &Partition::new("t", 0), 200).await;
    let mut options = FetchOptions::default();
    options.partition_bytes = 1_000;
    options.max_bytes = 1_000;
    options.buffer_bytes = 10_000;
    let mut stream = client.stream([(Partition::new("t", 0), Position::at(0))], &options);
    stream.next().await.unwrap();
    // Nobody takes what comes: fetching stops when the buffer is half full and a fetch is on its way.
    let before = cluster.calls(Api::Fetch);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(cluster.calls(Api::Fetch) <= before + 1);
    let mut count = 1;
    while stream.position(&Partition::new("t", 0)).unwrap().offset < 2_000 {
        stream.next().await.unwrap();
        count += 1;
    }
    assert!(count > 10, "{count} fetches of 1,000 bytes");
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_of_growth_at_once_and_asks_little_when_idle() {
    let cluster = cluster(3);
    cluster.create_topic("t", 6);
    let client = connect(&cluster).await;
    let mut watch = client.watch(Isolation::Committed);
    for index in 0..6 {
        watch.set(Partition::new("t", index), 0);
    }
    let idle = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
    assert!(idle.is_err(), "nothing has grown");
    let calls = cluster.calls(Api::Fetch);
    assert!(calls <= 3 * 21, "{calls} fetches in 10 s at three brokers");

    let partition = Partition::new("t", 4);
    let (_, grown) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(130)).await;
            put(&client, &partition, &["a", "b"]).await
        },
        async {
            let start = tokio::time::Instant::now();
            let grown = watch.next().await.unwrap();
            assert!(start.elapsed() < Duration::from_millis(140), "{:?}", start.elapsed());
            grown
        }
    );
    assert_eq!((grown.partition, grown.end, grown.high_watermark), (partition.clone(), 2, 2));
    let again = tokio::time::timeout(Duration::from_secs(3), watch.next()).await;
    assert!(again.is_err(), "it is told once");
    cluster.move_leader("t", 4, 1 + cluster.leader("t", 4).unwrap() % 3);
    put(&connect(&cluster).await, &partition, &["c"]).await;
    assert_eq!(watch.next().await.unwrap().end, 3);
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_again_is_not_read_for_the_old_one() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 1).await;
    let id = cluster.topic_id("t");
    client.admin().delete_topic("t").await.unwrap();
    cluster.create_topic("t", 1);
    let mut reader = client.fetch_range(partition, id, 0..10, &FetchOptions::default());
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, Error::Recreated { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn aborted_records_and_markers_move_the_position_and_are_not_shown() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    let mut a = Transaction::open(&client, "a").await;
    let mut b = Transaction::open(&client, "b").await;
    // What two transactions and a plain producer write, interleaved; "x" marks what is aborted.
    a.put(&partition, &["x0", "x1"]).await;
    put(&client, &partition, &["v2"]).await;
    b.put(&partition, &["v3", "v4"]).await;
    a.put(&partition, &["x5"]).await;
    a.end(false).await; // offset 6
    b.put(&partition, &["v7"]).await;
    b.end(true).await; // offset 8
    a.put(&partition, &["v9"]).await;
    a.end(true).await; // offset 10
    b.put(&partition, &["x11"]).await;
    b.end(false).await; // offset 12
    assert_eq!(cluster.last_stable_offset("t", 0), 13);
    let committed: Vec<_> =
        [2, 3, 4, 7, 9].into_iter().map(|offset| (offset, format!("v{offset}"))).collect();

    for step in [1, 2, 3, 5, 13] {
        let mut seen = Vec::new();
        for start in (0..13).step_by(step) {
            let range = start..(start + step as i64).min(13);
            let mut reader = client.fetch_range(partition.clone(), None, range, &FetchOptions::default());
            seen.extend(drain(&mut reader).await.unwrap());
        }
        assert_eq!(seen, committed, "in ranges of {step}");
    }

    let mut all = FetchOptions::default();
    all.isolation = Isolation::Uncommitted;
    let mut reader = client.fetch_range(partition.clone(), None, 0..13, &all);
    let offsets: Vec<_> = drain(&mut reader).await.unwrap().into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5, 7, 9, 11]);
}

#[tokio::test(start_paused = true)]
async fn an_open_transaction_holds_readers_back_until_it_ends() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    let mut open = Transaction::open(&client, "open").await;
    open.put(&partition, &["v0"]).await;
    put(&client, &partition, &["v1"]).await;
    let mut watch = client.watch(Isolation::Committed);
    watch.set(partition.clone(), 0);
    assert!(tokio::time::timeout(Duration::from_secs(5), watch.next()).await.is_err());
    let mut reader = client.fetch_range(partition.clone(), None, 0..2, &FetchOptions::default());
    let reading = tokio::spawn(async move { drain(&mut reader).await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!reading.is_finished());
    open.end(true).await;
    assert_eq!(reading.await.unwrap().unwrap(), expected(0..2));
    assert_eq!(watch.next().await.unwrap().end, 3);
}

#[tokio::test(start_paused = true)]
async fn ranges_over_holes_of_compaction_end() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    // Each batch has the keys 0 to 9, so that only the last one of each key stays.
    fill(&client, &partition, 20).await;
    cluster.compact("t", 0);
    let left: Vec<i64> = cluster.log("t", 0).into_iter().map(|record| record.offset).collect();
    assert!(left.len() < 50, "{left:?}");
    for step in [1, 7, 10, 64, 200] {
        let mut seen = Vec::new();
        for start in (0..200).step_by(step) {
            let range = start..(start + step as i64).min(200);
            let mut reader = client.fetch_range(partition.clone(), None, range, &FetchOptions::default());
            seen.extend(drain(&mut reader).await.unwrap().into_iter().map(|(offset, _)| offset));
        }
        assert_eq!(seen, left, "in ranges of {step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_cut_back_and_written_anew_is_noticed() {
    let cluster = cluster(1);
    cluster.create_topic("t", 1);
    let client = connect(&cluster).await;
    let partition = Partition::new("t", 0);
    fill(&client, &partition, 10).await;
    let mut options = FetchOptions::default();
    options.partition_bytes = 1;
    let mut reader = client.fetch_range(partition.clone(), None, 0..200, &options);
    let mut stream = client.stream([(partition.clone(), Position::at(0))], &options);
    for _ in 0..10 {
        reader.next().await.unwrap().unwrap();
        stream.next().await.unwrap();
    }
    cluster.truncate("t", 0, 50);
    fill(&client, &partition, 15).await;
    // Offset 100 is there again, and it is another record than would have come.
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, Error::Truncated { position: 100, end: 50, .. }), "{error:?}");
    let error = stream.next().await.unwrap_err();
    assert!(matches!(error, Error::Truncated { position: 100, end: 50, .. }), "{error:?}");
    assert!(!error.is_retriable());
}
