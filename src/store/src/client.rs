//! A small client of etcd's API: for moving in from an etcd, for `duetd store backup`, and for tests. Start
//! at [`Client::connect`]. It speaks to any etcd and to this store, over TCP, TLS and unix sockets; it
//! neither retries nor balances.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
/// What a store answers instead of a value.
pub use tonic::{Code, Status};

use crate::serve::ServeError;
use crate::serve::tls::{authorities, certificates, key, unfit};
use crate::wire::proto::auth_client::AuthClient;
use crate::wire::proto::cluster_client::ClusterClient;
use crate::wire::proto::kv_client::KvClient;
use crate::wire::proto::lease_client::LeaseClient;
use crate::wire::proto::maintenance_client::MaintenanceClient;
use crate::wire::proto::watch_client::WatchClient;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// How much an answer may have sent ahead: large lists come in one go.
const WINDOW: u32 = 8 << 20;

/// How long a page may take: a hand-over waits for a lease.
const PATIENCE: Duration = Duration::from_secs(10);

/// How large a page may be.
const PAGE: usize = 4 << 20;

/// A connection to a store. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Keys.
    pub kv: KvClient<Channel>,
    /// Watches.
    pub watch: WatchClient<Channel>,
    /// Leases.
    pub lease: LeaseClient<Channel>,
    /// Status, checksums, backup.
    pub maintenance: MaintenanceClient<Channel>,
    /// Members.
    pub cluster: ClusterClient<Channel>,
    /// Users.
    pub auth: AuthClient<Channel>,
}

/// Certificates for a connection that is encrypted; named as etcdctl's flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The authorities that the server's certificate must come from (PEM).
    pub cacert: PathBuf,
    /// The client's own certificate and key (PEM), if the server wants one.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// There is no connection.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ClientError {
    /// The endpoint is none.
    #[error("`{endpoint}` is no endpoint")]
    #[diagnostic(
        code(input::store_endpoint),
        help("write http://127.0.0.1:2379, https://…, unix:///run/….sock or unixs://…")
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// An encrypted endpoint needs to know whom to trust.
    #[error("{endpoint} is encrypted, and no authorities are given for it")]
    #[diagnostic(code(input::store_endpoint), help("give the file of its CA with --cacert"))]
    NoAuthority {
        /// The endpoint.
        endpoint: String,
    },
    /// The certificates cannot be used.
    #[error("the certificates for the store cannot be used")]
    #[diagnostic(code(input::store_tls))]
    Tls(#[source] ServeError),
    /// A page does not come.
    #[error("{endpoint} does not answer")]
    #[diagnostic(
        code(network::store_connect),
        help("is it running, and does it listen there? Does its certificate name this host?")
    )]
    Page {
        /// The endpoint.
        endpoint: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody answers.
    #[error("cannot connect to {endpoint}")]
    #[diagnostic(
        code(network::store_connect),
        help("is it running, and does it listen there? Does its certificate name this host?")
    )]
    Connect {
        /// The endpoint.
        endpoint: String,
        /// Why not.
        source: tonic::transport::Error,
    },
}

/// Where the connector goes.
#[derive(Clone)]
struct Target {
    place: Place,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

#[derive(Clone)]
enum Place {
    Tcp(String),
    Unix(PathBuf),
}

/// A socket of either kind, encrypted or not.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

impl Client {
    /// Connects to an endpoint: `http://HOST:PORT`, `https://…`, `unix://PATH` or `unixs://PATH`.
    ///
    /// # Errors
    /// If the endpoint is none, its certificates do not fit, or nobody answers within some seconds.
    pub async fn connect(endpoint: &str, tls: Option<&ClientTls>) -> Result<Client, ClientError> {
        let (target, origin) = Target::of(endpoint, tls, b"h2")?;
        let connector = tower::service_fn(move |_: Uri| {
            let target = target.clone();
            async move { target.open().await.map(TokioIo::new) }
        });
        let channel = Endpoint::from(origin.clone())
            .origin(origin)
            .connect_timeout(CONNECT)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .connect_with_connector(connector)
            .await
            .map_err(|source| ClientError::Connect { endpoint: endpoint.to_owned(), source })?;
        Ok(Client::over(channel))
    }

    fn over(channel: Channel) -> Client {
        // etcd's own client takes answers of up to 2 GiB, too: a list is one answer.
        const MOST: usize = i32::MAX as usize;
        Client {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(MOST),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(MOST),
            lease: LeaseClient::new(channel.clone()).max_decoding_message_size(MOST),
            maintenance: MaintenanceClient::new(channel.clone()).max_decoding_message_size(MOST),
            cluster: ClusterClient::new(channel.clone()),
            auth: AuthClient::new(channel),
        }
    }
}

/// Asks for one of the store's pages of HTTP, as `duetd store status` does; gives its status and its text.
///
/// # Errors
/// If the endpoint is none, its certificates do not fit, or nobody answers within some seconds.
pub async fn page(
    endpoint: &str,
    tls: Option<&ClientTls>,
    method: http::Method,
    path: &str,
) -> Result<(http::StatusCode, String), ClientError> {
    let (target, origin) = Target::of(endpoint, tls, b"http/1.1")?;
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Page {
        endpoint: endpoint.to_owned(),
        source,
    };
    let exchange = async {
        let socket = target.open().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(
                http::header::HOST,
                origin.authority().map_or("localhost", |host| host.as_str()),
            )
            .body(Empty::<Bytes>::new())?;
        let ask = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), PAGE).collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body))
        };
        let mut connection = std::pin::pin!(connection);
        let mut ask = std::pin::pin!(ask);
        tokio::select! {
            answer = &mut ask => answer,
            ended = &mut connection => {
                ended?;
                ask.await
            }
        }
    };
    let (status, body) = tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|late| failed(late.into()))?
        .map_err(failed)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

impl Target {
    /// What an endpoint's text stands for, and the origin that requests name.
    fn of(
        endpoint: &str,
        tls: Option<&ClientTls>,
        speaks: &[u8],
    ) -> Result<(Target, Uri), ClientError> {
        let bad = || ClientError::Endpoint { endpoint: endpoint.to_owned() };
        let (scheme, rest) = endpoint.split_once("://").ok_or_else(bad)?;
        let (place, host, encrypted) = match scheme {
            "http" | "https" => {
                let authority = rest.strip_suffix('/').unwrap_or(rest);
                let (host, _) = authority.rsplit_once(':').ok_or_else(bad)?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                (Place::Tcp(authority.to_owned()), host.to_owned(), scheme == "https")
            }
            "unix" | "unixs" if !rest.is_empty() => {
                (Place::Unix(rest.into()), "localhost".to_owned(), scheme == "unixs")
            }
            _ => return Err(bad()),
        };
        let tls = match (encrypted, tls) {
            (false, _) => None,
            (true, None) => {
                return Err(ClientError::NoAuthority { endpoint: endpoint.to_owned() });
            }
            (true, Some(tls)) => {
                let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
                let config = config(tls, speaks).map_err(ClientError::Tls)?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        let authority = match &place {
            Place::Tcp(authority) => authority.clone(),
            Place::Unix(_) => "localhost".to_owned(),
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let origin: Uri = format!("{scheme}://{authority}").parse().map_err(|_| bad())?;
        Ok((Target { place, tls }, origin))
    }

    async fn open(&self) -> io::Result<Box<dyn Socket>> {
        match &self.place {
            Place::Tcp(authority) => {
                let socket = TcpStream::connect(authority).await?;
                socket.set_nodelay(true)?;
                self.wrap(socket).await
            }
            Place::Unix(path) => self.wrap(UnixStream::connect(path).await?).await,
        }
    }

    async fn wrap(&self, socket: impl Socket + 'static) -> io::Result<Box<dyn Socket>> {
        match &self.tls {
            None => Ok(Box::new(socket)),
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), socket).await?)),
        }
    }
}

fn config(tls: &ClientTls, speaks: &[u8]) -> Result<ClientConfig, ServeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_root_certificates(authorities(&tls.cacert)?);
    let mut config = match &tls.own {
        None => builder.with_no_client_auth(),
        Some((certificate, secret)) => builder
            .with_client_auth_cert(certificates(certificate)?, key(secret)?)
            .map_err(unfit)?,
    };
    config.alpn_protocols = vec![speaks.to_vec()];
    Ok(config)
}
