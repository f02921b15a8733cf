//! Why a room has no answer of the witness, in words for whoever reads the room's log. Start at
//! [`AskError`].

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use crate::tls::TlsError;
use crate::wire::{Refused, WireError};

/// There is no answer.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum AskError {
    /// The settings name no address.
    #[error("no address of a witness is set")]
    #[diagnostic(code(input::witness_address), help("give one as HOST:PORT"))]
    NoAddress,
    /// The witness' name is no DNS name.
    #[error("{0:?} cannot be the name in a witness' certificate")]
    #[diagnostic(
        code(input::witness_name),
        help("it is a DNS name, such as witness.duet.internal")
    )]
    Name(String),
    /// The files of this room's certificate cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tls(#[from] TlsError),
    /// Nobody answers at any address.
    #[error("cannot reach the witness: {0}")]
    #[diagnostic(
        code(network::witness),
        help("does it run, and do the networks between let its port through?")
    )]
    Unreachable(String),
    /// The witness refused this room's certificate.
    #[error("the witness at {address} does not let this room in: {reason}")]
    #[diagnostic(code(network::witness), help("its log names the certificate and the reason"))]
    Rejected {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// Whoever answers does not have the witness' certificate.
    #[error("what answers at {address} is not this site's witness: {reason}")]
    #[diagnostic(
        code(network::witness),
        help("compare its certificate with the authority that this room was given for it")
    )]
    Stranger {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The two programs cannot speak.
    #[error("the witness at {address} cannot be understood: {reason}")]
    #[diagnostic(code(network::witness), help("upgrade the older of the two"))]
    Version {
        /// Where.
        address: String,
        /// Which versions there are.
        reason: String,
    },
    /// The connection broke before the answer.
    #[error("the witness at {address} did not answer: {reason}")]
    #[diagnostic(
        code(network::witness),
        help("it may be starting anew; the question is safe to repeat")
    )]
    Broken {
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// It took too long.
    #[error("the witness did not answer within {} ms: {doing}", .timeout.as_millis())]
    #[diagnostic(
        code(network::witness),
        help("a slow network or a slow disk there; the question is safe to repeat")
    )]
    Timeout {
        /// How long was waited.
        timeout: Duration,
        /// What took so long.
        doing: String,
    },
    /// The witness decided nothing.
    #[error("the witness refused: {0}")]
    #[diagnostic(
        code(network::witness),
        help("its log and `duetd witness site list` there tell more")
    )]
    Refused(Refused),
}

/// What went wrong at one address.
pub(crate) enum Trouble {
    /// Nothing was reached, or it went away.
    Gone(String),
    /// It answered, and that answer is final.
    Final(AskError),
}

impl Trouble {
    /// Of the handshake or what follows it. TLS 1.3 tells a client that its certificate is refused only
    /// when it reads.
    pub(crate) fn of(address: &str, name: &str, error: WireError) -> Trouble {
        let address = address.to_owned();
        let reason = error.to_string();
        match error {
            WireError::Io(error) => match tls(&error) {
                Some(rustls::Error::AlertReceived(alert)) => {
                    let reason = rejected(*alert);
                    Trouble::Final(AskError::Rejected { address, reason })
                }
                Some(rustls::Error::InvalidCertificate(wrong)) => {
                    let reason = stranger(wrong, name);
                    Trouble::Final(AskError::Stranger { address, reason })
                }
                Some(_) => Trouble::Final(AskError::Stranger { address, reason }),
                None => Trouble::Gone(reason),
            },
            WireError::Closed | WireError::Silent(_) => Trouble::Gone(reason),
            WireError::Version(_) => Trouble::Final(AskError::Version { address, reason }),
            WireError::Stranger => Trouble::Final(AskError::Stranger { address, reason }),
            WireError::Long(_) | WireError::Malformed(_) => {
                Trouble::Final(AskError::Broken { address, reason })
            }
        }
    }
}

fn tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What the witness means by an alert: the other half of `serve::rooms`.
fn rejected(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::CertificateExpired => {
            "to its clock, this room's certificate has expired or is not valid yet"
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "this room's certificate is not signed by the authority that was added there for its site"
        }
        AlertDescription::AccessDenied => {
            "it does not know the site: `duetd witness site add` makes it known"
        }
        AlertDescription::BadCertificate => {
            "this room's certificate has no name such as room-a.SITE.duet.internal"
        }
        AlertDescription::UnsupportedCertificate => {
            "this room's certificate is not for clients (extendedKeyUsage clientAuth)"
        }
        AlertDescription::CertificateUnknown => {
            "it cannot judge certificates: its clock is wrong, or its file of the site is damaged"
        }
        other => return format!("TLS alert {other:?}"),
    };
    text.to_owned()
}

fn stranger(wrong: &CertificateError, name: &str) -> String {
    match wrong {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "to this machine's clock, its certificate has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "to this machine's clock, its certificate is not valid yet".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for {name}")
        }
        #[allow(deprecated, reason = "rustls still gives it")]
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not signed by the authority that this room was given for it".into()
        }
        other => format!("its certificate cannot be used ({other:?})"),
    }
}
