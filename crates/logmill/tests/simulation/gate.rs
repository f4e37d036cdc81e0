//! A node's way to everyone else. A frozen one hears and says nothing until it thaws; a dead one never again.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use logmill::client::Transport;
use logmill_testkit::Cluster;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, Sleep};

#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<Mutex<Condition>>);

#[derive(Debug, Default)]
struct Condition {
    dead: bool,
    frozen_until: Option<Instant>,
}

impl Gate {
    pub(crate) fn kill(&self) {
        self.0.lock().unwrap().dead = true;
    }

    pub(crate) fn freeze(&self, time: Duration) {
        self.0.lock().unwrap().frozen_until = Some(Instant::now() + time);
    }

    fn is_dead(&self) -> bool {
        self.0.lock().unwrap().dead
    }

    fn thaws_at(&self) -> Option<Instant> {
        self.0.lock().unwrap().frozen_until.filter(|until| *until > Instant::now())
    }

    /// Returns once the node may go on; for a dead one, never.
    pub(crate) async fn pass(&self) {
        while let Some(thaws) = self.thaws_at() {
            tokio::time::sleep_until(thaws).await;
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// How the node reaches the brokers.
    pub(crate) fn transport(&self, cluster: &Cluster) -> Transport {
        let (gate, cluster) = (self.clone(), cluster.clone());
        Transport::new(move |address| {
            let (gate, cluster) = (gate.clone(), cluster.clone());
            async move {
                gate.pass().await;
                let inner = cluster.dial(&address.host, address.port)?;
                Ok::<_, io::Error>(GatedStream { inner, gate, thaw: None })
            }
        })
    }
}

/// A connection through a gate.
#[derive(Debug)]
struct GatedStream {
    inner: DuplexStream,
    gate: Gate,
    thaw: Option<Pin<Box<Sleep>>>,
}

impl GatedStream {
    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gate.is_dead() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while let Some(thaws) = self.gate.thaws_at() {
            let thaw = self.thaw.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(thaws)));
            ready!(thaw.as_mut().poll(context));
            self.thaw = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_gate(context))?;
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_gate(context))?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
