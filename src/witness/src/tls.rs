//! Files of certificates and keys. Start at [`Identity::load`]; both sides read theirs here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// More than any file of certificates has.
const LONGEST: u64 = 256 << 10;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(code(input::witness_tls), help("is it there, and may this user read it?"))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds none.
    #[error("{} holds no {what} in PEM", path.display())]
    #[diagnostic(
        code(input::witness_tls),
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
        code(input::witness_tls),
        help("does the key belong to the certificate? Both have the same public key then")
    )]
    Unfit(String),
}

/// A certificate with those that signed it, and its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|_| TlsError::Pem { path: key.to_owned(), what: "private key" })?;
        Ok(Identity { chain, key })
    }
}

/// Reads the authorities of a file.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(unfit)?;
    }
    Ok(roots)
}

/// What does not fit together.
pub(crate) fn unfit(error: impl std::fmt::Display) -> TlsError {
    TlsError::Unfit(error.to_string())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::Pem { path: path.to_owned(), what: "certificate" }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use io::Read as _;
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

/// When and how large a file was; none if it was not there.
pub(crate) type Stamp = Option<(SystemTime, u64)>;

/// The stamps of files, to see whether they changed.
pub(crate) fn stamps(files: &[&Path]) -> Vec<Stamp> {
    let stamp = |path: &&Path| {
        let data = fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    };
    files.iter().map(stamp).collect()
}
