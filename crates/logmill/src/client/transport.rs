//! How bytes reach a broker, and who asks a node how it is: the only file that opens sockets. Tests put the embedded broker here.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use crate::error::Error;

/// The port of a broker whose address names none.
const DEFAULT_PORT: u16 = 9092;

/// How long one IP address of a name has before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// What [`listen`] gives.
#[cfg(feature = "admin-http")]
pub(crate) type Listener = tokio::net::TcpListener;

/// Listens at `host:port`, for whoever asks a node how it is.
#[cfg(feature = "admin-http")]
pub(crate) async fn listen(address: &str) -> io::Result<Listener> {
    Listener::bind(address).await
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// A host name or an IP address, IPv6 without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Names an address.
    pub fn new(host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Reads `host:port,host:port`, as `bootstrap.servers` and `-b` have it. A missing port is 9092.
    ///
    /// # Errors
    /// The list is empty, or a part of it is no address.
    pub fn list(text: &str) -> Result<Vec<Self>, Error> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let list = parts.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        if list.is_empty() {
            return Err(Error::config(
                "bootstrap.servers",
                "no broker is named; give host:port, as in -b localhost:9092",
            ));
        }
        Ok(list)
    }
}

/// `host:port`; IPv6 addresses in brackets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || {
            Error::config(
                "bootstrap.servers",
                format!("{text:?} is no address; give host:port, as in localhost:9092"),
            )
        };
        // Kafka's own tools accept a listener's name in front; nobody else's addresses have a slash.
        let rest = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or_else(bad)?;
                (host, after.strip_prefix(':'))
            }
            None => match rest.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                Some(_) => (rest, None),
                None => (rest, None),
            },
        };
        let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| bad())?;
        if host.is_empty() || port == 0 || host.contains(|c: char| c == '/' || c.is_whitespace()) {
            return Err(bad());
        }
        Ok(Self::new(host, port))
    }
}

/// A two-way stream of bytes to a broker.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Dial = dyn Fn(Address) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync;

/// Opens streams to brokers. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    dial: Arc<Dial>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl Transport {
    /// TCP with Nagle's delay off. Every IP address that the name resolves to is tried: the next one
    /// starts 250 ms after the one before (RFC 8305), the first to connect is taken.
    #[must_use]
    pub fn tcp() -> Self {
        Self::new(|address: Address| async move {
            let found = lookup_host((&*address.host, address.port)).await?;
            let mut attempts: FuturesUnordered<_> = (0u32..)
                .zip(found)
                .map(|(nth, ip)| async move {
                    tokio::time::sleep(STAGGER * nth).await;
                    TcpStream::connect(ip).await
                })
                .collect();
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
            while let Some(attempt) = attempts.next().await {
                match attempt {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(stream);
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }

    /// Any way of getting a stream for an address: an embedded broker, a proxy, a tunnel.
    pub fn new<F, Fut, S>(dial: F) -> Self
    where
        F: Fn(Address) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: Stream + 'static,
    {
        Self {
            dial: Arc::new(move |address| {
                let dialling = dial(address);
                Box::pin(async move { Ok(Box::new(dialling.await?) as Box<dyn Stream>) })
            }),
        }
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// Whatever the transport meets: no such host, refused, unreachable.
    pub async fn dial(&self, address: Address) -> io::Result<Box<dyn Stream>> {
        (self.dial)(address).await
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self::tcp()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_as_kafka_writes_them() {
        let list = Address::list("a:1, b ,[::1]:3,PLAINTEXT://c.d:4").unwrap();
        let shown: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a:1", "b:9092", "[::1]:3", "c.d:4"]);
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for bad in ["", " , ", ":9092", "a:b", "a:0", "a:99999", "a b:1", "http://x/y:1"] {
            let error = Address::list(bad).unwrap_err().to_string();
            assert!(error.contains("host:port"), "{bad:?}: {error}");
        }
    }
}
