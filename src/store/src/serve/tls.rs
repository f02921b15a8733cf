//! Certificates: read when listening begins, and again when their files change, as etcd does, so that
//! renewing them needs no restart. Start at [`load`].

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
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

/// What was made of some files, as they are now.
pub(crate) struct Renewed<T> {
    files: Vec<PathBuf>,
    make: Make<T>,
    current: Mutex<Current<T>>,
}

/// Reads the files.
type Make<T> = Box<dyn Fn() -> Result<T, ServeError> + Send + Sync>;

/// The server's certificates as they are now.
pub(crate) type Certificates = Renewed<Arc<ServerConfig>>;

struct Current<T> {
    made: T,
    seen: Vec<Stamp>,
    looked: Instant,
}

/// When and how large a file was, and which one: two may be written within one tick of the kernel's clock.
/// None if it was not there.
type Stamp = Option<(SystemTime, u64, u64)>;

impl<T: Clone> Renewed<T> {
    /// Reads them for the first time.
    pub(crate) fn load(files: Vec<PathBuf>, make: Make<T>) -> Result<Renewed<T>, ServeError> {
        let seen = stamps(&files);
        let current = Current { made: make()?, seen, looked: Instant::now() };
        Ok(Renewed { files, make, current: Mutex::new(current) })
    }

    /// What the next connection uses. If changed files cannot be used, the ones before stay in use.
    pub(crate) fn current(&self) -> T {
        let mut current = self.current.lock().expect("a thread that panics ends the process");
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let seen = stamps(&self.files);
            if seen != current.seen {
                match (self.make)() {
                    Ok(made) => {
                        info!("the certificates have changed and are in use");
                        current.made = made;
                    }
                    Err(error) => {
                        warn!(%error, "the certificates have changed; the ones before stay in use");
                    }
                }
                current.seen = seen;
            }
        }
        current.made.clone()
    }
}

impl<T> fmt::Debug for Renewed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Reads the server's certificates.
pub(crate) fn load(files: &Tls) -> Result<Certificates, ServeError> {
    let all = [Some(&files.cert_file), Some(&files.key_file), files.trusted_ca_file.as_ref()];
    let all = all.into_iter().flatten().cloned().collect();
    let files = files.clone();
    Renewed::load(all, Box::new(move || Ok(Arc::new(config(&files)?))))
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len(), data.ino()))
    };
    files.iter().map(stamp).collect()
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
