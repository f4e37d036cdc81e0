//! Which brokers, which Redis, which client settings: flags, then the environment, then defaults.

use clap::Args;
use logmill::client::Client;

use crate::exit::{Failure, Outcome};

/// Where the environment names the brokers, first wins.
const BROKERS: [&str; 3] = ["LOGMILL_BROKERS", "KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS"];
const DEFAULT_BROKERS: &str = "127.0.0.1:9092";
const DEFAULT_REDIS: &str = "redis://127.0.0.1:6379";

/// How to reach Kafka; part of every command that does.
#[derive(Args, Clone, Debug)]
pub(crate) struct Connect {
    /// Brokers, host:port separated by commas. Else LOGMILL_BROKERS, KAFKA_BROKERS, KAFKA_BOOTSTRAP_SERVERS;
    /// else 127.0.0.1:9092.
    #[arg(short = 'b', long, value_name = "HOST:PORT,…")]
    pub(crate) brokers: Option<String>,
    /// Any of Kafka's client settings, such as -X request.timeout.ms=5000; may be given often.
    #[arg(short = 'X', long = "set", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,
}

impl Connect {
    /// The brokers' addresses.
    pub(crate) fn brokers(&self) -> String {
        choose(self.brokers.clone(), |name| std::env::var(name).ok())
    }

    /// The client settings, name and value.
    ///
    /// # Errors
    /// One has no `=`.
    pub(crate) fn settings(&self) -> Outcome<Vec<(&str, &str)>> {
        self.settings
            .iter()
            .map(|setting| {
                setting
                    .split_once('=')
                    .ok_or_else(|| Failure::usage(format!("-X {setting}: write NAME=VALUE")))
            })
            .collect()
    }

    /// A connected client.
    ///
    /// # Errors
    /// A setting cannot be used, or no broker can be reached.
    pub(crate) async fn client(&self) -> Outcome<Client> {
        let mut builder = Client::builder().client_id("logmill").brokers(self.brokers());
        for (name, value) in self.settings()? {
            builder = builder.set(name, value);
        }
        Ok(builder.connect().await?)
    }
}

fn choose(flag: Option<String>, variable: impl Fn(&str) -> Option<String>) -> String {
    flag.or_else(|| BROKERS.iter().find_map(|name| variable(name).filter(|value| !value.is_empty())))
        .unwrap_or_else(|| DEFAULT_BROKERS.to_owned())
}

/// Which Redis a group's units are shared in, if any. `flag` is `--redis`, empty if it came without a value.
/// `REDIS_URL` alone, which many an environment has for other ends, shares nothing.
pub(crate) fn redis(flag: Option<&str>) -> Option<String> {
    choose_redis(flag, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn choose_redis(flag: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    match flag {
        Some("") => Some(
            variable("LOGMILL_REDIS")
                .or_else(|| variable("REDIS_URL"))
                .unwrap_or_else(|| DEFAULT_REDIS.to_owned()),
        ),
        Some(url) => Some(url.to_owned()),
        None => variable("LOGMILL_REDIS"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_ours_over_anybodys() {
        let all = |name: &str| Some(name.to_lowercase());
        let kafkas = |name: &str| (name == "KAFKA_BOOTSTRAP_SERVERS").then(|| "k:1".to_owned());
        assert_eq!(choose(Some("flag:1".to_owned()), all), "flag:1");
        assert_eq!(choose(None, all), "logmill_brokers");
        assert_eq!(choose(None, kafkas), "k:1");
        assert_eq!(choose(None, |_| None), DEFAULT_BROKERS);
    }

    #[test]
    fn redis_is_used_only_when_logmill_is_told() {
        let common = |name: &str| (name == "REDIS_URL").then(|| "redis://common".to_owned());
        let ours = |name: &str| Some(format!("redis://{}", name.to_lowercase()));
        assert_eq!(choose_redis(None, common), None);
        assert_eq!(choose_redis(Some(""), common).as_deref(), Some("redis://common"));
        assert_eq!(choose_redis(Some(""), |_| None).as_deref(), Some(DEFAULT_REDIS));
        assert_eq!(choose_redis(None, ours).as_deref(), Some("redis://logmill_redis"));
        assert_eq!(choose_redis(Some("redis://flag"), ours).as_deref(), Some("redis://flag"));
    }
}
