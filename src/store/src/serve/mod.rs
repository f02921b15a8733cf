//! The face to clients: etcd's gRPC services and its pages of HTTP. Start at [`Listeners::bind`] and
//! [`Listeners::run`], or at [`serve`], which is both.
//!
//! ```text
//!  listen ──► connection ──► server ──► kv, watches, lease, maintenance, … ──► engine
//!  (sockets)  (TLS, HTTP)      │
//!                              └──► http (health, metrics)
//! ```
//!
//! Nothing is decided or kept here: requests are read and checked as etcd's gRPC layer does, handed to
//! the [`Engine`], and its answers are written. The engine is not stopped here either; who started it
//! does that when this has returned.

mod auth;
mod body;
mod cluster;
mod connection;
mod count;
mod end;
mod error;
mod grpc;
mod health;
mod http;
mod kv;
mod lease;
mod listen;
mod maintenance;
mod method;
mod metrics;
mod pair;
mod process;
mod reflection;
mod road;
mod server;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod watches;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use error::ServeError;
pub use road::Road;

use crate::config::Config;
use crate::engine::Engine;
use connection::{Face, Speech};
use listen::Bound;
use server::Server;

/// The etcd whose behaviour is served. Clients decide by it what they may use: kube-apiserver asks watches
/// for their progress from 3.5.13 on.
pub const ETCD_VERSION: &str = "3.5.16";

/// How long requests that are being answered have when the server ends; as long as a slow disk takes.
const GRACE: Duration = Duration::from_secs(5);

/// Connections to the metrics URLs: a scraper or two, and people.
const METRICS_CONNECTIONS: usize = 64;

/// Places that are listened on; clients that come wait until [`Listeners::run`].
#[derive(Debug)]
pub struct Listeners {
    config: Config,
    clients: Vec<Bound>,
    metrics: Vec<Bound>,
}

impl Listeners {
    /// Reads the certificates and binds every place that the settings name.
    ///
    /// # Errors
    /// If one of them cannot be had, or the certificates cannot be used.
    pub async fn bind(config: &Config) -> Result<Listeners, ServeError> {
        let certificates = match &config.tls {
            Some(files) => Some(Arc::new(tls::load(files)?)),
            None => None,
        };
        let mut clients = Vec::new();
        for url in &config.listen_client_urls {
            clients.push(listen::bind(url, certificates.as_ref()).await?);
        }
        let mut metrics = Vec::new();
        for url in &config.listen_metrics_urls {
            metrics.push(listen::bind(url, certificates.as_ref()).await?);
        }
        Ok(Listeners { config: config.clone(), clients, metrics })
    }

    /// The client URLs, with the ports that were chosen where 0 was asked for.
    pub fn client_urls(&self) -> impl Iterator<Item = &str> {
        self.clients.iter().map(|bound| bound.url.as_str())
    }

    /// The metrics URLs, likewise.
    pub fn metrics_urls(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|bound| bound.url.as_str())
    }

    /// The addresses of the client URLs that have one, in their order.
    pub fn client_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.clients.iter().filter_map(|bound| bound.address)
    }

    /// Serves until `shutdown` is there. Then nobody is let in any more, streams are ended, and requests
    /// that are being answered have some seconds.
    ///
    /// # Errors
    /// If the store cannot go on.
    pub async fn run(
        self,
        engine: Engine,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        self.run_joined(engine, None, shutdown).await
    }

    /// The same for a store that is one of two: `road` leads to the other one.
    ///
    /// # Errors
    /// If the store cannot go on.
    pub async fn run_joined(
        self,
        engine: Engine,
        road: Option<Road>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let (close, closing) = watch::channel(false);
        let (breaks, broken) = watch::channel(None);
        let server = Arc::new(Server::new(
            engine.clone(),
            &self.config,
            road.clone(),
            closing.clone(),
            broken,
        ));
        if let Some(road) = &road {
            road.reaches(&server);
        }
        let speech = Speech::new(&self.config);
        let mut loops = JoinSet::new();
        let places = Arc::new(Semaphore::new(self.config.max_connections));
        for bound in self.clients {
            let face = match bound.address {
                Some(_) => Face::Client(server.clone()),
                None => Face::Local(server.clone()),
            };
            let (speech, places) = (speech.clone(), places.clone());
            loops.spawn(listen::accept(bound, face, speech, places, closing.clone(), GRACE));
        }
        let places = Arc::new(Semaphore::new(METRICS_CONNECTIONS));
        for bound in self.metrics {
            let face = Face::Metrics(server.clone());
            let (speech, places) = (speech.clone(), places.clone());
            loops.spawn(listen::accept(bound, face, speech, places, closing.clone(), GRACE));
        }
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            failure = engine.failed() => {
                breaks.send_replace(Some(failure.to_string()));
                Err(ServeError::Failed(failure))
            }
        };
        close.send_replace(true);
        while loops.join_next().await.is_some() {}
        ended
    }
}

/// Binds what the settings name, and serves until `shutdown` is there.
///
/// # Errors
/// If a place cannot be had, the certificates cannot be used, or the store cannot go on.
pub async fn serve(
    engine: Engine,
    config: &Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    Listeners::bind(config).await?.run(engine, shutdown).await
}
