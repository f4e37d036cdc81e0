//! One connection through the proxy, from accept to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::pipe::pipe;
use super::{Orders, Tally, Toward};

/// Carries the connection until it ends, and counts it.
pub(super) async fn carry(
    client: TcpStream,
    mut orders: watch::Receiver<Orders>,
    tally: Arc<Tally>,
    seed: u64,
) {
    tally.open.fetch_add(1, Ordering::Relaxed);
    // Resets are for connections that were open when they were asked for.
    let resets = orders.borrow_and_update().resets;
    let mut asked = orders.clone();
    let mut client = ResetOnDrop { stream: client, clean: false };
    let ended = tokio::select! {
        biased;
        _ = asked.wait_for(|orders| orders.resets > resets) => Err(io::ErrorKind::ConnectionReset.into()),
        ended = through(&mut client.stream, orders, &tally, seed) => ended,
    };
    client.clean = ended.is_ok();
    if ended.is_err() {
        tally.reset.fetch_add(1, Ordering::Relaxed);
    }
    drop(client);
    tally.open.fetch_sub(1, Ordering::Relaxed);
}

async fn through(
    client: &mut TcpStream,
    mut orders: watch::Receiver<Orders>,
    tally: &Tally,
    seed: u64,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::ConnectionReset);
    let upstream = orders.wait_for(|orders| !orders.black_hole).await.map_err(gone)?.upstream.clone();
    let stream = TcpStream::connect(&upstream).await?;
    // Bytes go on as they come: waiting to fill packets is not what the proxy was asked for.
    stream.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let mut server = ResetOnDrop { stream, clean: false };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.stream.split();
    tokio::try_join!(
        pipe(from_client, to_server, Toward::Server, orders.clone(), tally, seed),
        pipe(from_server, to_client, Toward::Client, orders, tally, !seed),
    )?;
    server.clean = true;
    Ok(())
}

/// A connection whose other end hears a reset, unless it ended in good order: so an error on one side
/// reaches the other, and so does the end of the proxy.
struct ResetOnDrop {
    stream: TcpStream,
    clean: bool,
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if !self.clean {
            // Closing with nothing lingering sends a reset. If that fails the socket is gone already.
            let _ = self.stream.set_zero_linger();
        }
    }
}
