//! What is looked at before a Redis is used: it must keep what it is given, and take writes.

use std::collections::BTreeMap;

use super::connect::Server;
use super::keys;
use super::script::SCHEMA;
use crate::store::StoreError;

/// The oldest version whose scripts can say that they may run when memory is short.
const OLDEST: u32 = 7;

/// Refuses a server that would lose units or cannot take them; warns of one that may.
pub(super) async fn run(to: &Server, prefix: &str) -> Result<(), StoreError> {
    match to.send::<String>(&redis::cmd("INFO")).await {
        Ok(info) => server(&to.address, &info)?,
        Err(error) if error.is_retriable() => return Err(error),
        Err(error) => tracing::warn!(
            address = %to.address, %error,
            "the server does not show its settings; make sure that maxmemory-policy is noeviction and that it is no replica"
        ),
    }
    let mut stored = redis::cmd("HGET");
    stored.arg(keys::meta(prefix)).arg("schema");
    match to.send::<Option<String>>(&stored).await? {
        Some(other) if other != SCHEMA => Err(wrong_schema(&to.address, &other)),
        _ => Ok(()),
    }
}

/// The refusal of a group whose keys another version of logmill wrote.
pub(super) fn wrong_schema(address: &str, found: &str) -> StoreError {
    StoreError::NotAStore {
        address: address.into(),
        what: format!(
            "its keys of this group are of schema {found:.20}, this logmill writes schema {SCHEMA}"
        ),
        next: "use the logmill version that wrote them, or delete the keys: they are rebuilt from Kafka"
            .into(),
    }
}

/// Whether INFO tells of a server that takes no writes.
pub(super) fn is_replica(info: &str) -> bool {
    fields(info).get("role").is_some_and(|role| *role != "master")
}

/// The fields of what INFO says.
pub(super) fn fields(info: &str) -> BTreeMap<&str, &str> {
    info.lines().filter_map(|line| line.trim_end().split_once(':')).collect()
}

/// Looks at what INFO says.
fn server(address: &str, info: &str) -> Result<(), StoreError> {
    let fields = fields(info);
    let field = |name| fields.get(name).copied();
    let refuse = |what: String, next: &str| {
        Err(StoreError::NotAStore { address: address.into(), what, next: next.into() })
    };

    if let Some(version) = field("redis_version") {
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST) {
            return refuse(format!("it is Redis {version}"), "use Redis 7 or Valkey 7.2, or newer");
        }
    }
    if is_replica(info) {
        let master = field("master_host").zip(field("master_port"));
        let master = master.map_or(String::new(), |(host, port)| format!(" of {host}:{port}"));
        return refuse(format!("it is a replica{master}"), "connect to its master");
    }
    let policy = field("maxmemory_policy").unwrap_or("noeviction");
    if policy != "noeviction" {
        let limited = field("maxmemory").is_some_and(|bytes| bytes != "0");
        if limited {
            return refuse(
                format!("it deletes keys when memory is short (maxmemory-policy {policy})"),
                "run CONFIG SET maxmemory-policy noeviction, and set it in its configuration file too",
            );
        }
        tracing::warn!(
            address,
            policy,
            "no maxmemory is set now; if one ever is, this policy deletes units: CONFIG SET maxmemory-policy noeviction"
        );
    }
    if field("aof_enabled").is_some_and(|enabled| enabled != "1") {
        tracing::warn!(
            address,
            "the server has no append-only file: after a restart its units are rebuilt from Kafka, and what was settled since the last commit is handled again; CONFIG SET appendonly yes avoids that"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refusal(info: &str) -> Option<String> {
        server("here:6379", &info.replace('\n', "\r\n")).err().map(|error| error.to_string())
    }

    #[test]
    fn a_server_that_evicts_is_refused_with_the_line_that_mends_it() {
        let with = |policy, bytes| refusal(&format!("maxmemory:{bytes}\nmaxmemory_policy:{policy}"));
        let policies = [
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
        ];
        for policy in policies {
            let said = with(policy, 1).unwrap();
            assert!(said.contains("CONFIG SET maxmemory-policy noeviction"), "{said}");
            assert_eq!(with(policy, 0), None);
        }
        assert_eq!(with("noeviction", 1), None);
    }

    #[test]
    fn a_replica_and_an_old_server_are_refused() {
        let said = refusal("role:slave\nmaster_host:10.0.0.1\nmaster_port:6379").unwrap();
        assert!(said.contains("replica of 10.0.0.1:6379"), "{said}");
        assert!(refusal("redis_version:6.2.7").unwrap().contains("Redis 6.2.7"));
        assert!(refusal("redis_version:what").is_some());
        assert_eq!(refusal("redis_version:7.2.4\nrole:master\naof_enabled:0"), None);
    }
}
