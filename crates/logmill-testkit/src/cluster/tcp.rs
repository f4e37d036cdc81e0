//! The embedded cluster on real ports.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Cluster;
use crate::api::Origin;
use crate::listener::{self, Shared};
use crate::state::brokers::{Address, Entry};

/// Where the brokers listen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// The address to bind. Default `127.0.0.1`.
    pub bind: String,
    /// The first broker's port; each further broker has the next one. 0, the default, takes free ports.
    pub port: u16,
    /// The host that clients are told to connect to; default: the bound address.
    pub advertised_host: Option<String>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { bind: "127.0.0.1".to_owned(), port: 0, advertised_host: None }
    }
}

impl ListenOptions {
    /// The default settings with this first port.
    #[must_use]
    pub fn port(port: u16) -> Self {
        Self { port, ..Self::default() }
    }
}

impl Cluster {
    /// Has every broker listen on a TCP port of its own, and gives their addresses, `host:port`
    /// separated by commas, in the order of the brokers' ids. All connections accepted before this
    /// returns or after it are served; in-process ones go on.
    ///
    /// A crashed broker keeps its port, so that nobody else can take it, and closes what connects at
    /// once.
    ///
    /// # Errors
    /// A port cannot be bound. Then no broker listens.
    pub async fn listen_tcp(&self, options: ListenOptions) -> io::Result<String> {
        let ids: Vec<i32> = self.shared.lock().state.brokers.ids().collect();
        let mut bound = Vec::with_capacity(ids.len());
        for (nth, &id) in ids.iter().enumerate() {
            let port = match options.port {
                0 => 0,
                first => u16::try_from(usize::from(first) + nth).map_err(|_| {
                    let text = format!("{} brokers from port {first} on need ports above 65535", ids.len());
                    io::Error::new(io::ErrorKind::InvalidInput, text)
                })?,
            };
            let listener = TcpListener::bind((options.bind.as_str(), port)).await.map_err(|e| {
                io::Error::new(e.kind(), format!("cannot listen on {}:{port}: {e}", options.bind))
            })?;
            bound.push((id, listener.local_addr()?, listener));
        }
        let mut addresses = Vec::with_capacity(bound.len());
        for (id, local, listener) in bound {
            let host = options.advertised_host.clone().unwrap_or_else(|| local.ip().to_string());
            addresses.push(format!("{host}:{}", local.port()));
            if let Some(broker) = self.shared.lock().state.brokers.get_mut(id) {
                broker.addresses.insert(Entry::Tcp, Address { host: host.into(), port: local.port() });
            }
            tokio::spawn(accept(Arc::clone(&self.shared), id, listener, self.shared.stop.clone()));
        }
        Ok(addresses.join(","))
    }
}

async fn accept(shared: Arc<Shared>, broker: i32, listener: TcpListener, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back.
                tracing::warn!(broker, %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let host = format!("/{}", peer.ip()).into();
        let origin = Origin { broker, entry: Entry::Tcp, host, client_id: Default::default() };
        tokio::spawn(listener::serve(Arc::clone(&shared), origin, stream));
    }
}
