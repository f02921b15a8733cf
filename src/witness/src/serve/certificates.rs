//! The witness' own certificate: read when listening begins, and again when its files change, so that
//! renewing it needs no restart. Start at [`Certificates::current`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use tracing::{info, warn};

use super::rooms::{Clock, Rooms};
use crate::count::lock;
use crate::tls::{Identity, Stamp, TlsError, stamps, unfit};

/// How often the files are looked at; at most once for each new connection.
const LOOK: Duration = Duration::from_secs(1);

/// The certificate as it is now.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: [PathBuf; 2],
    rooms: Arc<Rooms>,
    clock: Clock,
    provider: Arc<CryptoProvider>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    seen: Vec<Stamp>,
    looked: Instant,
}

impl Certificates {
    pub(crate) fn load(
        certificate: PathBuf,
        key: PathBuf,
        rooms: Arc<Rooms>,
        clock: Clock,
        provider: Arc<CryptoProvider>,
    ) -> Result<Certificates, TlsError> {
        let files = [certificate, key];
        let seen = stamps(&[&files[0], &files[1]]);
        let config = config(&files, &rooms, &clock, &provider)?;
        let current = Mutex::new(Current { config, seen, looked: Instant::now() });
        Ok(Certificates { files, rooms, clock, provider, current })
    }

    /// What the next connection uses. If changed files cannot be used, the ones before stay in use.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let mut current = lock(&self.current);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let seen = stamps(&[&self.files[0], &self.files[1]]);
            if seen != current.seen {
                match config(&self.files, &self.rooms, &self.clock, &self.provider) {
                    Ok(config) => {
                        info!("the certificate has changed and is in use");
                        current.config = config;
                    }
                    Err(error) => {
                        warn!(%error, "the certificate has changed; the one before stays in use");
                    }
                }
                current.seen = seen;
            }
        }
        current.config.clone()
    }
}

fn config(
    files: &[PathBuf; 2],
    rooms: &Arc<Rooms>,
    clock: &Clock,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let Identity { chain, key } = Identity::load(&files[0], &files[1])?;
    let details = Arc::new(clock.clone());
    let mut config = ServerConfig::builder_with_details(provider.clone(), details)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unfit)?
        .with_client_cert_verifier(rooms.clone())
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    // A resumed session would not show its certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
