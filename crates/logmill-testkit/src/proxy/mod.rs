//! A TCP proxy that misbehaves on request: the network between a client and a server, in a test's hands.
//!
//! What can be asked for, at run time, for either direction: delay, stall, bytes or whole replies that
//! never arrive; and for connections: reset, half-close, a black hole that accepts and never answers. It
//! keeps to what TCP can do: bytes are late or missing at the end, never out of the middle.
//!
//! ```
//! use std::time::Duration;
//! use logmill_testkit::proxy::{Flow, Proxy, Toward};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! let proxy = Proxy::start("127.0.0.1:9092").await?;
//! proxy.set(Toward::Client, Flow::Delay { by: Duration::from_millis(50), jitter: Duration::ZERO });
//! println!("connect to {} instead", proxy.addr());
//! # Ok(()) }
//! ```

mod carry;
mod flow;
mod frames;
mod pipe;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use flow::{Flow, Toward};

/// As many connections as it carries at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;

/// A running proxy. Dropping it resets what it carries and stops listening.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    tally: Arc<Tally>,
    listening: tokio::task::JoinHandle<()>,
}

/// What the proxy is told to do, as every connection sees it.
#[derive(Clone, Debug)]
struct Orders {
    upstream: String,
    black_hole: bool,
    flows: [Flow; 2],
    /// Counts up when a flow is set, so that setting the same one again starts it anew.
    flows_set: [u64; 2],
    /// Each counts up with the call; a connection obeys what came after it was accepted.
    resets: u64,
    half_closes: [u64; 2],
}

#[derive(Debug, Default)]
struct Tally {
    accepted: AtomicU64,
    open: AtomicU64,
    reset: AtomicU64,
    carried: [AtomicU64; 2],
    swallowed: [AtomicU64; 2],
}

/// What has gone through so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Of those, still open.
    pub open: u64,
    /// Of those, ended with a reset, by whomever.
    pub reset: u64,
    /// Bytes handed to the server.
    pub to_server: u64,
    /// Bytes handed to the client.
    pub to_client: u64,
    /// Bytes for the server that were swallowed.
    pub swallowed_to_server: u64,
    /// Bytes for the client that were swallowed.
    pub swallowed_to_client: u64,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and carries each connection to `upstream`, `host:port`. Nobody
    /// has to listen there yet. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(upstream: impl ToString) -> io::Result<Self> {
        Self::start_seeded(upstream, 0).await
    }

    /// As [`start`](Self::start); `seed` decides the jitter of delays.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start_seeded(upstream: impl ToString, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (orders, seen) = watch::channel(Orders {
            upstream: upstream.to_string(),
            black_hole: false,
            flows: [Flow::Pass, Flow::Pass],
            flows_set: [0, 0],
            resets: 0,
            half_closes: [0, 0],
        });
        let tally = Arc::new(Tally::default());
        let listening = tokio::spawn(listen(listener, seen, Arc::clone(&tally), seed));
        Ok(Self { address, orders, tally, listening })
    }

    /// Where it listens: what the client is given in place of the server.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Sets how bytes flow in one direction, on all connections, open and to come.
    pub fn set(&self, toward: Toward, flow: Flow) {
        self.orders.send_modify(|orders| {
            orders.flows[toward.index()] = flow;
            orders.flows_set[toward.index()] += 1;
        });
    }

    /// Connections to come are accepted and then hear nothing, and those open stall in both directions;
    /// until [`heal`](Self::heal), which lets them go on.
    pub fn black_hole(&self) {
        self.orders.send_modify(|orders| orders.black_hole = true);
    }

    /// Ends every open connection with a reset (RST) to both sides.
    pub fn reset(&self) {
        self.orders.send_modify(|orders| orders.resets += 1);
    }

    /// Ends every open connection in one direction only: that side reads an end of file, and may go on
    /// writing.
    pub fn half_close(&self, toward: Toward) {
        self.orders.send_modify(|orders| orders.half_closes[toward.index()] += 1);
    }

    /// All bytes flow again. A connection that has lost bytes out of its stream cannot be healed, and is
    /// reset.
    pub fn heal(&self) {
        self.orders.send_modify(|orders| {
            orders.black_hole = false;
            for toward in [Toward::Server, Toward::Client] {
                orders.flows[toward.index()] = Flow::Pass;
                orders.flows_set[toward.index()] += 1;
            }
        });
    }

    /// Carries connections to come to another place, `host:port`.
    pub fn set_upstream(&self, upstream: impl ToString) {
        self.orders.send_modify(|orders| orders.upstream = upstream.to_string());
    }

    /// What has gone through so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [to_server, to_client] = &self.tally.carried;
        let [swallowed_to_server, swallowed_to_client] = &self.tally.swallowed;
        Counts {
            accepted: read(&self.tally.accepted),
            open: read(&self.tally.open),
            reset: read(&self.tally.reset),
            to_server: read(to_server),
            to_client: read(to_client),
            swallowed_to_server: read(swallowed_to_server),
            swallowed_to_client: read(swallowed_to_client),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are in its task's set: they end with it.
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, orders: watch::Receiver<Orders>, tally: Arc<Tally>, seed: u64) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                // Out of file descriptors, or the client went away before it was served: not our fault.
                let Ok((client, _)) = accepted else { continue };
                let number = tally.accepted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(carry::carry(client, orders.clone(), Arc::clone(&tally), seed ^ number));
            }
        }
    }
}
