//! Certificates: read when listening begins, and again when their files change, as etcd does, so that
//! renewing them needs no restart. Start at [`Certificates`].

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tracing::{info, warn};

use super::error::ServeError;
use crate::config::Tls;

/// How often the files are looked at; at most once for each new connection.
const LOOK: Duration = Duration::from_secs(1);

/// Certificates as they are now.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: Tls,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    seen: Vec<Stamp>,
    looked: Instant,
}

/// When and how large a file was; none if it was not there.
type Stamp = Option<(SystemTime, u64)>;

impl Certificates {
    pub(crate) fn load(files: &Tls) -> Result<Certificates, ServeError> {
        let seen = stamps(files);
        let config = Arc::new(config(files)?);
        let current = Current { config, seen, looked: Instant::now() };
        Ok(Certificates { files: files.clone(), current: Mutex::new(current) })
    }

    /// What the next connection uses. If changed files cannot be used, the ones before stay in use.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().expect("a thread that panics ends the process");
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let seen = stamps(&self.files);
            if seen != current.seen {
                match config(&self.files) {
                    Ok(config) => {
                        info!("the certificates have changed and are in use");
                        current.config = Arc::new(config);
                    }
                    Err(error) => {
                        warn!(%error, "the certificates have changed; the ones before stay in use");
                    }
                }
                current.seen = seen;
            }
        }
        current.config.clone()
    }
}

fn stamps(files: &Tls) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    };
    let all = [Some(&files.cert_file), Some(&files.key_file), files.trusted_ca_file.as_ref()];
    all.into_iter().flatten().map(stamp).collect()
}

/// Reads the certificates of a file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(ServeError::Pem { path: path.to_owned(), what: "certificate" }),
    }
}

/// Reads the key of a file.
pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, ServeError> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_| ServeError::Pem { path: path.to_owned(), what: "private key" })
}

/// Reads the authorities of a file.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, ServeError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(unfit)?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    fs::read(path).map_err(|source| ServeError::Read { path: path.to_owned(), source })
}

/// What does not fit together.
pub(crate) fn unfit(error: impl std::fmt::Display) -> ServeError {
    ServeError::Certificate { reason: error.to_string() }
}

fn config(files: &Tls) -> Result<ServerConfig, ServeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unfit)?;
    let builder = match &files.trusted_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().map_err(unfit)?)
        }
    };
    let chain = certificates(&files.cert_file)?;
    let mut config = builder.with_single_cert(chain, key(&files.key_file)?).map_err(unfit)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
