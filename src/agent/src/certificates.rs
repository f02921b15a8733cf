//! Certificates of the site: this machine's own, and whose another one's is. Start at [`Files::server`] and
//! [`Files::client`]. Files are read anew when they change, so that renewing them needs no restart.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

/// More than any file of certificates has.
const LONGEST: u64 = 256 << 10;

/// How often the files are looked at; at most once for each new connection.
const LOOK: Duration = Duration::from_secs(1);

/// Where a certificate, its key and the site's authority are (PEM).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate with what vouches for it, up to the authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The certificate of the site's authority.
    pub authority: PathBuf,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(code(input::certificate), help("is it there, and may this user read it?"))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds none.
    #[error("{} holds no {what} in PEM", path.display())]
    #[diagnostic(
        code(input::certificate),
        help("`openssl x509 -in FILE -noout -text` shows what it is")
    )]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// They do not fit together.
    #[error("the certificates cannot be used: {0}")]
    #[diagnostic(
        code(input::certificate),
        help("does the key belong to the certificate? Both have the same public key then")
    )]
    Unfit(String),
}

/// Such a name as TLS has it.
pub(crate) fn dns(name: String) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name).map_err(unfit)
}

/// Whether a certificate has the name.
pub(crate) fn has_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let parsed = ParsedCertificate::try_from(certificate);
    parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

impl Files {
    /// For a server: whoever shows a certificate must show one of the site's authority; nobody has to.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    pub fn server(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(authorities(&self.authority)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(unfit)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates(&self.certificate)?, key(&self.key)?)
            .map_err(unfit)?;
        // A resumed session would not show its certificate again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// For a client that shows its certificate, and takes a server that has one of the names.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    pub(crate) fn client(&self, names: &[ServerName<'static>]) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(authorities(&self.authority)?);
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(unfit)?;
        let verifier = Arc::new(OneOf { inner, names: names.to_vec() });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(certificates(&self.certificate)?, key(&self.key)?)
            .map_err(unfit)?;
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn all(&self) -> [&Path; 3] {
        [&self.certificate, &self.key, &self.authority]
    }
}

/// Judges servers as rustls does, but for one name of several instead of the name that was dialled: rooms are
/// reached by addresses, and known by their names.
#[derive(Debug)]
struct OneOf {
    inner: Arc<WebPkiServerVerifier>,
    names: Vec<ServerName<'static>>,
}

impl ServerCertVerifier for OneOf {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut judged = Err(rustls::Error::General("no name is expected".to_owned()));
        for name in &self.names {
            judged =
                self.inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
            if judged.is_ok() {
                break;
            }
        }
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// What was made of the files, as they are now.
pub(crate) struct Renewed<T> {
    files: Files,
    make: fn(&Files) -> Result<T, TlsError>,
    current: Mutex<Current<T>>,
}

struct Current<T> {
    made: Arc<T>,
    seen: [Stamp; 3],
    looked: Instant,
}

/// When and how large a file was, and which one: two may be written within one tick of the kernel's clock.
/// None if it was not there.
type Stamp = Option<(SystemTime, u64, u64)>;

impl<T> Renewed<T> {
    /// Reads them for the first time.
    pub(crate) fn load(
        files: Files,
        make: fn(&Files) -> Result<T, TlsError>,
    ) -> Result<Renewed<T>, TlsError> {
        let seen = files.all().map(stamp);
        let current = Current { made: Arc::new(make(&files)?), seen, looked: Instant::now() };
        Ok(Renewed { files, make, current: Mutex::new(current) })
    }

    /// What the next connection uses. If changed files cannot be used, the ones before stay in use.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let seen = self.files.all().map(stamp);
            if seen != current.seen {
                match (self.make)(&self.files) {
                    Ok(made) => {
                        tracing::info!("the certificates have changed and are in use");
                        current.made = Arc::new(made);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the certificates have changed; the ones before stay in use");
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

fn stamp(path: &Path) -> Stamp {
    let data = fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len(), data.ino()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::Pem { path: path.to_owned(), what: "certificate" }),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_| TlsError::Pem { path: path.to_owned(), what: "private key" })
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(unfit)?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

fn unfit(error: impl fmt::Display) -> TlsError {
    TlsError::Unfit(error.to_string())
}
