//! Whose certificate is accepted: a room's, signed by the authority of the site that it names. Start at
//! [`Rooms::judge`].
//!
//! rustls asks in the handshake; and each question is judged again, so that a site that was removed, or a
//! certificate that expired, ends on a connection that is open, too.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore,
    SignatureScheme,
};
use site::Label;
use tracing::warn;

use crate::count::lock;
use crate::definition::Definition;
use crate::disk::{Disk, Folder, Stamp};
use crate::load;
use crate::name::{Caller, NameError};

/// Verifiers that are kept ready. Others are made from the site's file when its room connects, which takes
/// far less time than the handshake.
const KEPT: usize = 256;

/// No clock that is right shows less: 2026-01-01, in seconds since 1970.
const EARLIEST: u64 = 1_767_225_600;

/// Why a certificate is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stranger {
    /// It is no certificate.
    #[error("the certificate cannot be read: {0}")]
    Encoding(webpki::Error),
    /// It names no room.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Nobody added the site.
    #[error("{0}: the site is not known here")]
    UnknownSite(Caller),
    /// The site's file is damaged.
    #[error("{0}: what is kept of the site is damaged: {1}")]
    Damaged(Caller, String),
    /// The clock of this machine cannot be right.
    #[error(
        "{0}: this machine's clock shows {1} s after 1970, so no certificate can be judged by it"
    )]
    Clock(Caller, u64),
    /// It is not signed by the site's authority, or expired, or not for this use.
    #[error("{0}: {1}")]
    Certificate(Caller, rustls::Error),
}

impl Stranger {
    /// For rustls, which makes an alert of it that the room can tell from the others.
    fn error(self) -> rustls::Error {
        match self {
            Stranger::Encoding(_) => CertificateError::BadEncoding.into(),
            Stranger::Name(_) => CertificateError::NotValidForName.into(),
            Stranger::UnknownSite(_) => CertificateError::ApplicationVerificationFailure.into(),
            Stranger::Certificate(_, error) => error,
            other @ (Stranger::Damaged(..) | Stranger::Clock(..)) => {
                CertificateError::Other(OtherError(Arc::new(other))).into()
            }
        }
    }
}

/// The clock by which certificates are judged and changes are dated.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock of one's own, for tests.
    pub fn new(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(clock))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl Default for Clock {
    /// This machine's.
    fn default() -> Clock {
        Clock::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// Judges certificates by the sites' authorities.
#[derive(Debug)]
pub(crate) struct Rooms {
    disk: Arc<dyn Disk>,
    provider: Arc<CryptoProvider>,
    kept: Mutex<Kept>,
}

/// A verifier, the content of the definition that it was made from, and when it was last of use.
type Ready = (Stamp, Arc<dyn ClientCertVerifier>, u64);

#[derive(Debug, Default)]
struct Kept {
    sites: HashMap<Label, Ready>,
    uses: u64,
}

impl Rooms {
    pub(crate) fn new(disk: Arc<dyn Disk>, provider: Arc<CryptoProvider>) -> Rooms {
        Rooms { disk, provider, kept: Mutex::default() }
    }

    /// Which room has this certificate, if it is accepted at `now`.
    pub(crate) fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Caller, Stranger> {
        let parsed = webpki::EndEntityCert::try_from(certificate).map_err(Stranger::Encoding)?;
        let caller = Caller::among(parsed.valid_dns_names())?;
        if now.as_secs() < EARLIEST {
            return Err(Stranger::Clock(caller, now.as_secs()));
        }
        let name = Definition::file_name(&caller.site);
        let Ok(stamp) = self.disk.stamp(Folder::Sites, &name) else {
            lock(&self.kept).sites.remove(&caller.site);
            return Err(Stranger::UnknownSite(caller));
        };
        let verifier = match self.kept(&caller.site, stamp) {
            Some(verifier) => verifier,
            None => match self.make(&caller.site) {
                Ok(verifier) => {
                    self.keep(caller.site.clone(), stamp, verifier.clone());
                    verifier
                }
                Err(reason) => return Err(Stranger::Damaged(caller, reason)),
            },
        };
        match verifier.verify_client_cert(certificate, chain, now) {
            Ok(_) => Ok(caller),
            Err(error) => Err(Stranger::Certificate(caller, error)),
        }
    }

    fn kept(&self, site: &Label, stamp: Stamp) -> Option<Arc<dyn ClientCertVerifier>> {
        let mut kept = lock(&self.kept);
        kept.uses += 1;
        let uses = kept.uses;
        let (of, verifier, used) = kept.sites.get_mut(site)?;
        *used = uses;
        (*of == stamp).then(|| verifier.clone())
    }

    fn keep(&self, site: Label, stamp: Stamp, verifier: Arc<dyn ClientCertVerifier>) {
        let mut kept = lock(&self.kept);
        if kept.sites.len() >= KEPT {
            let oldest = kept.sites.iter().min_by_key(|(_, (.., used))| *used);
            if let Some(oldest) = oldest.map(|(site, _)| site.clone()) {
                kept.sites.remove(&oldest);
            }
        }
        let uses = kept.uses;
        kept.sites.insert(site, (stamp, verifier, uses));
    }

    fn make(&self, site: &Label) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let definition = load::read_definition(&*self.disk, site)?;
        let mut roots = RootCertStore::empty();
        for certificate in definition.certificates().map_err(|error| error.to_string())? {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        builder.build().map_err(|error| error.to_string())
    }
}

impl ClientCertVerifier for Rooms {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A room has one certificate; and who serves which sites is nobody's business.
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.judge(certificate, chain, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(stranger) => {
                warn!("not let in: {stranger}");
                Err(stranger.error())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
