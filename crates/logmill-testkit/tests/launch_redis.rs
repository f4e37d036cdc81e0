//! The redis-server launcher against a real redis-server.
#![allow(clippy::unwrap_used)]

use logmill_testkit::launch::{LaunchError, Redis, RedisOptions, Software, skipped};

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_with_an_append_only_file() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut redis = Redis::start(RedisOptions::default().aof(true)).await.unwrap();
    redis.cli(&["SET", "name", "logmill"]).await.unwrap();
    redis.kill9();
    assert!(redis.cli(&["PING"]).await.is_err(), "a killed server must not answer");
    redis.restart().await.unwrap();
    assert_eq!(redis.cli(&["GET", "name"]).await.unwrap(), "logmill");
}

#[tokio::test]
async fn without_one_a_restart_finds_nothing() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut redis = Redis::start(RedisOptions::default().unix_socket()).await.unwrap();
    redis.cli(&["RPUSH", "list", "a", "b"]).await.unwrap();
    assert_eq!(redis.cli(&["LRANGE", "list", "0", "-1"]).await.unwrap(), "a\nb");
    redis.stop().await.unwrap();
    redis.restart().await.unwrap();
    assert_eq!(redis.cli(&["GET", "list"]).await.unwrap(), "");
}

#[tokio::test]
async fn a_paused_server_is_silent_and_goes_on() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let mut redis = Redis::start(RedisOptions::default()).await.unwrap();
    redis.pause().unwrap();
    let mut ping = std::pin::pin!(redis.cli(&["PING"]));
    let silent = tokio::time::timeout(std::time::Duration::from_millis(200), &mut ping).await;
    assert!(silent.is_err(), "a paused server must not answer");
    // The same question, still open, is answered once the server goes on.
    let status = std::process::Command::new("sh")
        .args(["-c", &format!("kill -s CONT {}", redis.process_id())])
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(ping.await.unwrap(), "PONG");
}

#[tokio::test]
async fn an_error_of_redis_is_told() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let redis = Redis::start(RedisOptions::default()).await.unwrap();
    let error = redis.cli(&["NONSENSE"]).await.unwrap_err();
    assert!(
        matches!(&error, LaunchError::Refused { answer, .. } if answer.contains("unknown command")),
        "{error}"
    );
}

#[tokio::test]
async fn a_wrong_word_is_reported_with_the_log() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let error = Redis::start(RedisOptions::default().args(["--no-such-word", "1"])).await.unwrap_err();
    let LaunchError::NotReady { log, tail, .. } = &error else { panic!("{error}") };
    assert!(tail.contains("no-such-word"), "{error}");
    assert!(log.is_file(), "the log must be kept");
    std::fs::remove_dir_all(log.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn its_files_and_its_process_go_with_it() {
    if skipped(&[Software::Redis]) {
        return;
    }
    let redis = Redis::start(RedisOptions::default().unix_socket()).await.unwrap();
    let socket = redis.url().strip_prefix("unix://").unwrap().to_owned();
    let process = format!("/proc/{}", redis.process_id());
    assert!(std::path::Path::new(&socket).exists());
    drop(redis);
    assert!(!std::path::Path::new(&socket).exists());
    assert!(!std::path::Path::new(&process).exists());
}
