//! A group's state in Redis (7 or newer, or Valkey): shared by every node that reaches it.
//!
//! Each transition is one Lua script and so atomic. They equal the functions of
//! [`State`](logmill_protocol::work::State), which a differential test holds them to. To change a
//! transition: change its function there, its `lua/*.lua` here, and if it has new arguments
//! `encode.rs` and `parse.rs`.

mod checks;
mod connect;
mod encode;
mod erase;
mod keys;
mod link;
mod parse;
mod place;
mod script;
mod server;
mod wake;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use logmill_protocol::ids::{Boot, Generation, PartitionKey};
use logmill_protocol::work::{
    Announce, Announced, Cursor, Overview, Page, PartitionSnapshot, Plan, Planned, Raise, Raised, Rebuild,
    Refused, Renew, Renewed, Requeue, Requeued, Settle, Settled, Take, Taken, Unit,
};
use redis::Cmd;

use self::encode::Encode;
use self::link::Link;
use self::parse::{Parsed, Reply};
use self::script::Script;
pub use self::server::RedisServer;
use self::wake::Wake;
use super::{Answer, Store, StoreError};

/// How a [`RedisStore`] behaves.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// How long one call may take. Default 3 s; it should be below half of the lease.
    pub timeout: Duration,
    /// The seed of the jitter in waits. Default: drawn at random.
    pub seed: u64,
    /// The server's time in milliseconds, for tests. Default `None`: what its `TIME` says.
    pub time: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        let seed = RandomState::new().hash_one(std::process::id());
        Self { timeout: Duration::from_secs(3), seed, time: None }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeout, seed, time } = self;
        let mut shown = f.debug_struct("RedisOptions");
        shown.field("timeout", timeout).field("seed", seed).field("time", &time.is_some()).finish()
    }
}

/// A group's state in Redis, over one connection that mends itself.
#[derive(Debug)]
pub struct RedisStore {
    link: Link,
    wake: Arc<Wake>,
    /// What every key of the group begins with.
    prefix: String,
    options: RedisOptions,
}

impl RedisStore {
    /// Connects to `url` and checks that the server can hold units of `group`:
    ///
    /// - `redis://[user:password@]host:port[/database]`, or `rediss://…` with TLS;
    /// - `redis+sentinel://[user:password@]host,host,…/name[/database]`, or `rediss+sentinel://…`: the sentinels at
    ///   these hosts say which server is the primary called `name`, now and after each failover;
    /// - `unix:///path`.
    ///
    /// With TLS, `?ca=FILE` is trusted in place of the system's certificates, and `cert=FILE&key=FILE` is shown.
    /// `sentinel-user=` and `sentinel-password=` are for sentinels that ask for them.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotAStore`] for a server that evicts keys, is a replica, is older than Redis 7 or
    /// holds the group in another schema; it says what to do. A server without an append-only file is
    /// only warned about: it costs duplicates, not records.
    pub async fn connect(url: &str, group: &str, options: RedisOptions) -> Result<Self, StoreError> {
        let prefix = keys::prefix(group);
        let wake = Arc::new(Wake::new(options.seed));
        let link = Link::open(url, &prefix, options.timeout, wake.clone()).await?;
        Ok(Self { link, wake, prefix, options })
    }

    /// A script's call, to which its arguments are still to be added.
    fn call(&self, script: &Script) -> Cmd {
        script.call(&self.prefix, self.options.time.as_ref().map(|time| time()))
    }

    async fn send<T>(
        &self,
        script: &Script,
        call: &Cmd,
        parse: impl FnOnce(&str, &mut Reply) -> Parsed<T>,
    ) -> Result<T, StoreError> {
        let answer = self.link.call(script, call).await?;
        let read = || {
            let mut reply = Reply::new(answer)?;
            let tag = reply.text()?;
            let outcome = match tag.as_str() {
                "NOSTATE" => Err(Refused::NoState.into()),
                "STALE" => Err(Refused::Stale {
                    generation: Generation(reply.number()?),
                    boot: Boot(reply.number()?),
                }
                .into()),
                "MANY" => Err(Refused::TooManyNodes { nodes: reply.number()? }.into()),
                "SCHEMA" => Err(checks::wrong_schema(&self.link.address(), &reply.text()?)),
                tag => Ok(parse(tag, &mut reply)?),
            };
            reply.end().map(|()| outcome)
        };
        let nonsense = |parse::Nonsense(what)| StoreError::BadReply { address: self.link.address(), what };
        read().map_err(nonsense)?
    }

    /// Runs a transition.
    fn run<'a, T: Send>(
        &'a self,
        script: &'static Script,
        request: impl Encode + Send + Sync + 'a,
        parse: impl FnOnce(&str, &mut Reply) -> Parsed<T> + Send + 'a,
    ) -> Answer<'a, T> {
        async move {
            let mut call = self.call(script);
            request.encode(&mut call)?;
            self.send(script, &call, parse).await
        }
        .boxed()
    }
}

impl Store for RedisStore {
    fn rebuild(&self, request: Rebuild) -> Answer<'_, ()> {
        self.run(&script::REBUILD, request, parse::nothing)
    }

    fn raise(&self, request: Raise) -> Answer<'_, Raised> {
        self.run(&script::RAISE, request, parse::raised)
    }

    fn plan(&self, request: Plan) -> Answer<'_, Planned> {
        self.run(&script::PLAN, request, parse::planned)
    }

    fn take(&self, request: Take) -> Answer<'_, Taken> {
        let asked = request.clone();
        self.run(&script::TAKE, request, move |tag, reply| {
            let taken = parse::taken(&asked, tag, reply)?;
            if !taken.leases.is_empty() {
                self.wake.found_units();
            }
            Ok(taken)
        })
    }

    fn renew(&self, request: Renew) -> Answer<'_, Vec<Renewed>> {
        let asked = request.held.len();
        self.run(&script::RENEW, request, move |tag, reply| parse::renewed(asked, tag, reply))
    }

    fn settle(&self, request: Settle) -> Answer<'_, Settled> {
        self.run(&script::SETTLE, request, parse::settled)
    }

    fn requeue(&self, request: Requeue) -> Answer<'_, Requeued> {
        self.run(&script::REQUEUE, request, parse::requeued)
    }

    fn forget(&self, partition: PartitionKey) -> Answer<'_, bool> {
        self.run(&script::FORGET, partition, parse::flag)
    }

    fn announce(&self, request: Announce) -> Answer<'_, Announced> {
        self.run(&script::ANNOUNCE, request, parse::announced)
    }

    fn depart(&self, node: String) -> Answer<'_, ()> {
        self.run(&script::DEPART, node, parse::nothing)
    }

    fn snapshot(&self, partition: PartitionKey) -> Answer<'_, Option<PartitionSnapshot>> {
        let key = partition.clone();
        let snapshot =
            self.run(&script::SNAPSHOT, partition, move |tag, reply| parse::snapshot(&key, tag, reply));
        async {
            match snapshot.await {
                Err(StoreError::Refused(Refused::NoState)) => Ok(None),
                answer => answer.map(Some),
            }
        }
        .boxed()
    }

    fn overview(&self) -> Answer<'_, Overview> {
        self.run(&script::OVERVIEW, (), parse::overview)
    }

    fn partitions(&self, from: Cursor) -> Answer<'_, Page<PartitionKey>> {
        self.run(&script::PARTITIONS, from, parse::partitions)
    }

    fn units(&self, partition: PartitionKey, from: Cursor) -> Answer<'_, Page<Unit>> {
        self.run(&script::UNITS, (partition, from), parse::units)
    }

    fn version(&self) -> u64 {
        self.wake.version()
    }

    fn changed(&self, seen: u64, wait: Duration) -> BoxFuture<'_, ()> {
        self.wake.changed(seen, wait).boxed()
    }
}
