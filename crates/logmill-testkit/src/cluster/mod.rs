//! The embedded cluster as a test holds it.

mod records;
mod tcp;
mod verbs;
mod versions;

pub use records::{CommittedOffset, LoggedRecord};
pub use tcp::ListenOptions;

use std::io;
use std::sync::Arc;

use tokio::io::DuplexStream;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::Origin;
use crate::faults::{Fault, Rule};
use crate::listener::{self, Shared};
use crate::state::State;
use crate::state::brokers::Entry;
use crate::state::options::ClusterOptions;
use logmill_protocol::messages::ApiKey;

/// Bytes that an in-process connection holds in each direction before its writer has to wait.
const DUPLEX: usize = 256 * 1024;

/// An embedded Kafka-compatible cluster: brokers with ids 1, 2, … in this process, logs in memory.
///
/// A clone is another handle to the same cluster. When the last handle is dropped, its connections and
/// listeners end and its records are gone.
///
/// Nothing here has a thread of its own: connections are tasks of the tokio runtime that
/// [`Cluster::dial`] or [`Cluster::listen_tcp`] is called in, so under a current-thread runtime with
/// paused time a whole run is repeatable.
#[derive(Clone, Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    /// Dropped with the last handle, which ends every task.
    _stop: Arc<DropGuard>,
}

impl Cluster {
    /// Starts a cluster.
    #[must_use]
    pub fn start(mut options: ClusterOptions) -> Self {
        options.brokers = options.brokers.max(1);
        let state = State::new(options, Instant::now());
        let stop = CancellationToken::new();
        Self { shared: Arc::new(Shared::new(state, stop.clone())), _stop: Arc::new(stop.drop_guard()) }
    }

    /// The in-process addresses of the brokers, `host:port` separated by commas, for a client whose
    /// transport is [`Cluster::dial`]. No name server knows them.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.addresses(Entry::InProcess)
    }

    fn addresses(&self, entry: Entry) -> String {
        let world = self.shared.lock();
        let brokers = &world.state.brokers;
        let addresses = brokers.ids().filter_map(|id| brokers.address(id, entry));
        addresses.map(|a| format!("{}:{}", a.host, a.port)).collect::<Vec<_>>().join(",")
    }

    /// Connects to a broker in this process.
    ///
    /// # Errors
    /// `ConnectionRefused` if no broker has that in-process address, or it is down.
    pub fn dial(&self, host: &str, port: u16) -> io::Result<DuplexStream> {
        let broker = {
            let world = self.shared.lock();
            let brokers = &world.state.brokers;
            brokers.at(host, port).filter(|&id| brokers.is_up(id))
        };
        let broker = broker.ok_or_else(|| {
            let text = format!("no embedded broker answers at {host}:{port}");
            io::Error::new(io::ErrorKind::ConnectionRefused, text)
        })?;
        let (ours, theirs) = tokio::io::duplex(DUPLEX);
        let origin = Origin {
            broker,
            entry: Entry::InProcess,
            host: "/in-process".into(),
            client_id: Default::default(),
        };
        tokio::spawn(listener::serve(Arc::clone(&self.shared), origin, ours));
        Ok(theirs)
    }

    /// Has the fault strike every request of an API until [`Cluster::clear_faults`].
    pub fn on(&self, api: ApiKey, fault: Fault) {
        self.inject(Rule::new(api, fault));
    }

    /// Has the fault strike the next request of an API.
    pub fn on_once(&self, api: ApiKey, fault: Fault) {
        self.on_times(api, 1, fault);
    }

    /// Has the fault strike the next `times` requests of an API.
    pub fn on_times(&self, api: ApiKey, times: u64, fault: Fault) {
        self.inject(Rule::new(api, fault).times(times));
    }

    /// Adds a fault that is narrowed to a broker, a partition or some of the requests. Rules are tried
    /// oldest first, and the first that fits strikes.
    pub fn inject(&self, rule: Rule) {
        self.shared.lock().faults.add(rule);
    }

    /// Takes all faults back. Requests that are delayed or hang already stay so.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// How many requests of an API all brokers have received, struck ones included.
    #[must_use]
    pub fn calls(&self, api: ApiKey) -> u64 {
        self.shared.lock().faults.calls(api, None)
    }

    /// How many requests of an API one broker has received, struck ones included.
    #[must_use]
    pub fn calls_at(&self, broker: i32, api: ApiKey) -> u64 {
        self.shared.lock().faults.calls(api, Some(broker))
    }
}
