//! Which brokers, which Redis, which client settings: flags, then the environment, then defaults.

use clap::Args;
use logmill::client::{Client, ClientBuilder};

use crate::exit::{Failure, Outcome};

/// Where the environment names the brokers, first wins.
const BROKERS: [&str; 3] = ["LOGMILL_BROKERS", "KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS"];
const DEFAULT_BROKERS: &str = "127.0.0.1:9092";

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

    /// A client for those brokers, with those settings, not connected yet.
    ///
    /// # Errors
    /// A setting has no `=`.
    pub(crate) fn builder(&self) -> Outcome<ClientBuilder> {
        let mut builder = Client::builder().client_id("logmill").brokers(self.brokers());
        for setting in &self.settings {
            let named = setting.split_once('=');
            let (name, value) =
                named.ok_or_else(|| Failure::usage(format!("-X {setting}: write NAME=VALUE")))?;
            builder = builder.set(name, value);
        }
        Ok(builder)
    }

    /// A connected client.
    ///
    /// # Errors
    /// A setting cannot be used, or no broker can be reached.
    pub(crate) async fn client(&self) -> Outcome<Client> {
        Ok(self.builder()?.connect().await?)
    }
}

fn choose(flag: Option<String>, variable: impl Fn(&str) -> Option<String>) -> String {
    flag.or_else(|| BROKERS.iter().find_map(|name| variable(name).filter(|value| !value.is_empty())))
        .unwrap_or_else(|| DEFAULT_BROKERS.to_owned())
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
}
