//! The ways to a Redis: TLS, sentinels, and a name behind which another server stands by now.

#![allow(clippy::unwrap_used)]

mod store_bench;

use std::time::Duration;

use logmill::store::{RedisOptions, RedisStore, Store, StoreError};
use logmill_protocol::work::Planned;
use logmill_testkit::launch::{self, Redis, Sentinels, Software, skipped};
use logmill_testkit::proxy::Proxy;
use store_bench::{partition, plan, rebuild};

async fn connect(url: &str) -> Result<RedisStore, StoreError> {
    let mut options = RedisOptions::default();
    options.timeout = Duration::from_secs(1);
    RedisStore::connect(url, "contract", options).await
}

/// Plans ten more offsets, however often it has to ask, and gives where the plan ends.
async fn plan_more(store: &RedisStore, mut from: i64) -> i64 {
    loop {
        match store.plan(plan(from, &[10])).await {
            Ok(Planned::Ok { planned, .. }) => return planned,
            Ok(Planned::Moved { planned }) => from = planned,
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    }
}

/// Plans at one store until the other hears of it.
async fn hears(store: &RedisStore, other: &RedisStore) {
    let (seen, mut planned) = (store.version(), 0);
    while store.version() == seen {
        planned = plan_more(other, planned).await;
        store.changed(seen, Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn tls_trusts_the_named_authority_and_no_other() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let both = ["--bind", "127.0.0.1", "127.0.0.2"];
    let redis = Redis::start(launch::RedisOptions::default().tls().args(both)).await.unwrap();
    let store = connect(&redis.url()).await.unwrap();
    store.rebuild(rebuild(1, 0)).await.unwrap();
    plan_more(&store, 0).await;

    let address = redis.address().unwrap();
    let other = Redis::start(launch::RedisOptions::default().tls()).await.unwrap();
    let others = other.folder().join("ca.pem");
    for url in [format!("rediss://{address}/"), format!("rediss://{address}/?ca={}", others.display())] {
        let said = connect(&url).await.unwrap_err().to_string();
        assert!(said.contains("not trusted") && said.contains("?ca=FILE"), "{url}: {said}");
    }
    let said = connect(&redis.url().replace("127.0.0.1", "127.0.0.2")).await.unwrap_err().to_string();
    assert!(said.contains("not trusted"), "the certificate is for another address: {said}");
    assert!(connect(&format!("redis://{address}/")).await.is_err(), "the port speaks nothing but TLS");
}

#[tokio::test]
async fn a_server_that_asks_who_calls_is_shown_a_certificate() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let options = launch::RedisOptions::default().tls().args(["--tls-auth-clients", "yes"]);
    let redis = Redis::start(options).await.unwrap();
    assert!(connect(&redis.url()).await.is_err());
    let folder = redis.folder().display();
    let shown = format!("{}&cert={folder}/client.pem&key={folder}/client.key", redis.url());
    connect(&shown).await.unwrap().rebuild(rebuild(1, 0)).await.unwrap();
}

#[tokio::test]
async fn sentinels_lead_to_the_primary_and_to_the_next() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut all = Sentinels::start(launch::RedisOptions::default()).await.unwrap();
    let (store, other) = (connect(&all.url()).await.unwrap(), connect(&all.url()).await.unwrap());
    store.rebuild(rebuild(1, 0)).await.unwrap();
    plan_more(&store, 0).await;

    all.fail_over().await.unwrap();
    let address = format!("address: \"{}\"", all.servers[1].address().unwrap());
    // Sentinels break all connections of a server whose role they change, some before it has.
    while ![&store, &other].iter().all(|store| format!("{store:?}").contains(&address)) {
        for store in [&store, &other] {
            // Until it has gone over, what it is asked may fail.
            drop(store.snapshot(partition()).await);
        }
    }
    assert_eq!(plan_more(&store, 0).await, 20, "the replica had all");
    hears(&store, &other).await;

    // Two of three sentinels are enough.
    all.kill9(0);
    let again = connect(&all.url()).await.unwrap();
    plan_more(&again, 0).await;
    let unknown = all.url().replace("/logmill", "/trees");
    let error = connect(&unknown).await.unwrap_err();
    assert!(
        error.to_string().contains("no primary of that name") && error.to_string().contains("trees"),
        "{error}"
    );
}

#[tokio::test]
async fn a_name_that_leads_to_another_server_is_looked_up_again() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let start = async || Redis::start(launch::RedisOptions::default()).await.unwrap();
    let (before, after) = (start().await, start().await);
    let address = |redis: &Redis| redis.address().unwrap();
    let name = Proxy::start(address(&before)).await.unwrap();
    let store = connect(&format!("redis://{}/", name.addr())).await.unwrap();
    store.rebuild(rebuild(1, 0)).await.unwrap();
    plan_more(&store, 0).await;

    // New connections lead to the other server, this one stays with the replica.
    name.set_upstream(address(&after));
    let (host, port) =
        address(&after).split_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    before.cli(&["REPLICAOF", &host, &port]).await.unwrap();
    let error = store.plan(plan(10, &[10])).await.unwrap_err();
    assert!(matches!(error, StoreError::Unready { .. }), "{error}");
    while let Err(error) = store.rebuild(rebuild(2, 0)).await {
        assert!(error.is_retriable(), "{error}");
    }
    assert_eq!(after.cli(&["KEYS", "*:parts"]).await.unwrap().lines().count(), 1);
}
