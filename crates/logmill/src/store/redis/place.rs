//! Where the server is: what a store's URL says, and with sentinels, which server is the primary now.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisError, RedisResult, TlsCertificates, TlsMode,
};
use tokio::sync::Mutex;

use super::connect::within;
use crate::store::StoreError;

/// The form of a URL, for those who wrote another.
const FORM: &str = "write it as redis://[user:password@]host:port[/database], rediss://… for TLS, or \
    redis+sentinel://[user:password@]host,host,…/name[/database]";

/// Where sentinels listen unless the URL says otherwise.
const SENTINEL_PORT: u16 = 26379;

/// One server, or sentinels that know it.
pub(super) enum Place {
    Server(Client),
    Sentinels { sentinels: Mutex<SentinelClient>, name: String, addresses: String },
}

impl Place {
    /// Reads a URL, and the files that it names.
    ///
    /// # Errors
    /// It is none, or a file cannot be used.
    pub(super) fn of(url: &str) -> Result<Self, StoreError> {
        let invalid = |what: String| StoreError::NotAStore {
            address: "the given address".into(),
            what: format!("it is no Redis URL ({what})"),
            next: FORM.into(),
        };
        let watched = match url.split_once("+sentinel://") {
            Some((scheme, rest)) => Some(Watched::parse(scheme, rest).map_err(invalid)?),
            None => None,
        };
        let server = watched.as_ref().map_or(url, |watched| &watched.server);
        let parameters = Parameters::of(server, watched.is_some()).map_err(invalid)?;
        let certificates = parameters.certificates()?;
        let place = match watched {
            None => one(server, certificates),
            Some(watched) => watched.sentinels(&parameters, certificates),
        };
        place.map_err(|error| invalid(error.to_string()))
    }

    /// The server to use now.
    ///
    /// # Errors
    /// No sentinel answers, or they know no primary that is up.
    pub(super) async fn primary(&self, patience: Duration) -> Result<Client, StoreError> {
        match self {
            Self::Server(client) => Ok(client.clone()),
            Self::Sentinels { sentinels, name, addresses } => {
                let unknown = |error: RedisError| match error.kind() {
                    ErrorKind::MasterNameNotFoundBySentinel => RedisError::from((
                        ErrorKind::MasterNameNotFoundBySentinel,
                        "the sentinels know no primary of that name that is up",
                        name.clone(),
                    )),
                    _ => error,
                };
                let asked = async {
                    let found = sentinels.lock().await.async_get_client().await.map_err(unknown)?;
                    Client::open(unnamed(found.get_connection_info().clone()))
                };
                within(addresses, patience, asked).await
            }
        }
    }

    /// Whether another server may become the primary without anything breaking here.
    pub(super) fn is_watched(&self) -> bool {
        matches!(self, Self::Sentinels { .. })
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(client) => {
                f.debug_tuple("Server").field(client.get_connection_info().addr()).finish()
            }
            Self::Sentinels { name, addresses, .. } => write!(f, "Sentinels({name} by {addresses})"),
        }
    }
}

fn one(url: &str, certificates: Option<TlsCertificates>) -> RedisResult<Place> {
    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let info = unnamed(info.set_redis_settings(settings));
    let client = match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    };
    client.map(Place::Server)
}

/// Does not tell the client library's name: a user with few rights may not, and servers log who tries.
fn unnamed(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    info.set_redis_settings(settings)
}

/// A `redis+sentinel://` URL in parts.
struct Watched {
    sentinels: Vec<String>,
    name: String,
    /// The primary's own URL, but for its host.
    server: String,
}

impl Watched {
    fn parse(scheme: &str, rest: &str) -> Result<Self, String> {
        if !matches!(scheme, "redis" | "rediss") {
            return Err(format!("unknown scheme {scheme}+sentinel"));
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, place) = before
            .rsplit_once('@')
            .map_or((String::new(), before), |(user, place)| (format!("{user}@"), place));
        let mut parts = place.split('/');
        let hosts: Vec<&str> = parts.next().unwrap_or_default().split(',').collect();
        let name = parts.next().filter(|name| !name.is_empty());
        let name = name.ok_or("the name under which sentinels know the primary is missing")?.to_owned();
        let database = parts.next().unwrap_or_default();
        let url = |host: &str| match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => format!("{scheme}://{host}"),
            _ => format!("{scheme}://{host}:{SENTINEL_PORT}"),
        };
        let server = format!("{scheme}://{user}{}/{database}?{query}", hosts[0]);
        Ok(Self { sentinels: hosts.into_iter().map(url).collect(), name, server })
    }

    fn sentinels(self, parameters: &Parameters, certificates: Option<TlsCertificates>) -> RedisResult<Place> {
        let infos: Vec<ConnectionInfo> = self
            .sentinels
            .iter()
            .map(|url| url.as_str().into_connection_info())
            .collect::<RedisResult<_>>()?;
        let sentinels: Vec<ConnectionAddr> = infos.iter().map(|info| info.addr().clone()).collect();
        let addresses = sentinels.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let is_tls = sentinels.iter().any(|sentinel| matches!(sentinel, ConnectionAddr::TcpTls { .. }));
        let info = self.server.as_str().into_connection_info()?;
        let settings = info.redis_settings();

        let mut client = SentinelClientBuilder::new(sentinels, &self.name, SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_db(settings.db());
        if let Some(user) = settings.username() {
            client = client.set_client_to_redis_username(user);
        }
        if let Some(password) = settings.password() {
            client = client.set_client_to_redis_password(password);
        }
        if let Some(user) = &parameters.sentinel_user {
            client = client.set_client_to_sentinel_username(user);
        }
        if let Some(password) = &parameters.sentinel_password {
            client = client.set_client_to_sentinel_password(password);
        }
        if is_tls {
            client = client.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = certificates {
            client = client
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        Ok(Place::Sentinels { sentinels: Mutex::new(client.build()?), name: self.name, addresses })
    }
}

/// What a URL says after the question mark.
#[derive(Default)]
struct Parameters {
    is_tls: bool,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
}

impl Parameters {
    fn of(url: &str, watched: bool) -> Result<Self, String> {
        let Some(url) = redis::parse_redis_url(url) else { return Err("it does not parse".into()) };
        let is_tls = matches!(url.scheme(), "rediss" | "valkeys");
        let mut parameters = Self { is_tls, ..Self::default() };
        if url.host().is_none() {
            // A socket's path; the client itself reads what follows it.
            return Ok(parameters);
        }
        for (name, value) in url.query_pairs() {
            let place = match &*name {
                "ca" if is_tls => &mut parameters.ca,
                "cert" if is_tls => &mut parameters.cert,
                "key" if is_tls => &mut parameters.key,
                "sentinel-user" if watched => &mut parameters.sentinel_user,
                "sentinel-password" if watched => &mut parameters.sentinel_password,
                "ca" | "cert" | "key" => {
                    return Err(format!("{name} is for TLS, and the URL is none of rediss://"));
                }
                _ => return Err(format!("there is no parameter {name}")),
            };
            *place = Some(value.into_owned());
        }
        Ok(parameters)
    }

    /// The certificates to show and to trust; none if the system's own are trusted and none is shown.
    fn certificates(&self) -> Result<Option<TlsCertificates>, StoreError> {
        if self.is_tls {
            choose_cryptography();
        }
        let (ca, cert, key) = (read(self.ca.as_ref())?, read(self.cert.as_ref())?, read(self.key.as_ref())?);
        let client_tls = match (cert, key) {
            (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
            (None, None) if ca.is_none() => return Ok(None),
            (None, None) => None,
            _ => return Err(unusable("cert and key go together", "name both files in the URL, or none")),
        };
        Ok(Some(TlsCertificates { client_tls, root_cert: ca }))
    }
}

fn read(file: Option<&String>) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read(Path::new(file));
    text.map(Some)
        .map_err(|error| unusable(&format!("{file} cannot be read: {error}"), "name a file in PEM form"))
}

fn unusable(what: &str, next: &str) -> StoreError {
    StoreError::NotAStore { address: "the given address".into(), what: what.into(), next: next.into() }
}

/// A program may have two kinds of cryptography, and none chosen; then nobody else would choose for TLS.
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have chosen meanwhile, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refusal(url: &str) -> String {
        Place::of(url).unwrap_err().to_string()
    }

    #[test]
    fn sentinels_are_read_from_one_url() {
        let url = "redis+sentinel://me:p%40ss@a,b:7,[::1]:8/trees/3?sentinel-password=x";
        let (scheme, rest) = url.split_once("+sentinel://").unwrap();
        let watched = Watched::parse(scheme, rest).unwrap();
        assert_eq!(watched.sentinels, ["redis://a:26379", "redis://b:7", "redis://[::1]:8"]);
        let info = watched.server.as_str().into_connection_info().unwrap();
        let settings = info.redis_settings();
        let said = (settings.username(), settings.password(), settings.db(), &*watched.name);
        assert_eq!(said, (Some("me"), Some("p@ss"), 3, "trees"));
        assert!(format!("{:?}", Place::of(url).unwrap()).contains("trees by a:26379,b:7,"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(refusal("localhost").contains("redis://"));
        assert!(refusal("redis+sentinel://a,b").contains("name"));
        assert!(refusal("http+sentinel://a/b").contains("scheme"));
        assert!(refusal("redis://a/?ca=b").contains("rediss"));
        assert!(refusal("rediss://a/?cafile=b").contains("no parameter cafile"));
        assert!(refusal("redis://a/?sentinel-user=b").contains("no parameter"));
        assert!(refusal("rediss://a/?ca=/no/such/file").contains("/no/such/file"));
        assert!(refusal("rediss://a/?cert=/dev/null").contains("key"));
        assert!(Place::of("rediss://a:1/2").is_ok() && Place::of("unix:///tmp/a?db=1").is_ok());
    }
}
