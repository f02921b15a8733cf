//! Why two rooms do not connect although they reach each other. Start at [`Refusal`].
//!
//! The sentences name the rooms, so that they say the same at both ends.

use std::fmt;
use std::io;

use pair::Room;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use serde::{Deserialize, Serialize};

use super::hello::Versions;

/// Why a connection is refused. A new one goes to the end: releases send these to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// They belong to two sites.
    Site {
        /// Who refuses.
        room: Room,
        /// Its site.
        site: String,
        /// Who is refused.
        peer: Room,
        /// Its site.
        peer_site: String,
    },
    /// There are two of one room, or a room has met itself.
    SameRoom {
        /// The name that both have.
        room: Room,
    },
    /// A certificate names somebody else.
    Name {
        /// Whom it should name.
        expected: String,
        /// Whom it names.
        presented: Vec<String>,
    },
    /// A certificate is of an authority that the other room does not know.
    Authority {
        /// Whose certificate it should be.
        of: Room,
    },
    /// A certificate is not yet or no longer valid, by the other room's clock.
    Validity {
        /// Whose certificate it is.
        of: Room,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate cannot be used for another reason.
    Certificate {
        /// Whose certificate it should be.
        of: Room,
        /// What is wrong with it.
        reason: String,
    },
    /// The other end broke off during the handshake and said why in one word (RFC 8446, section 6).
    Alert {
        /// Who refuses.
        by: Room,
        /// The word.
        alert: String,
    },
    /// No version of the protocol is common to both.
    Versions {
        /// What room a speaks.
        a: Versions,
        /// What room b speaks.
        b: Versions,
    },
    /// A clock is far off.
    Clocks {
        /// Whose clock is ahead.
        ahead: Room,
        /// By how much.
        seconds: u64,
    },
    /// What came is no hello.
    Garbled {
        /// What is wrong with it.
        reason: String,
    },
    /// They do not agree who grants, or how long a lease is: each would trust in what the other does not do.
    Terms {
        /// What is set in room a.
        a: String,
        /// What is set in room b.
        b: String,
    },
}

impl Refusal {
    /// What kind of refusal it is, for programs that know a cure; these words stay.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Refusal::Site { .. } => "site",
            Refusal::SameRoom { .. } => "room",
            Refusal::Name { .. } => "name",
            Refusal::Authority { .. } => "authority",
            Refusal::Validity { .. } => "validity",
            Refusal::Certificate { .. } | Refusal::Alert { .. } => "certificate",
            Refusal::Versions { .. } => "versions",
            Refusal::Clocks { .. } => "clocks",
            Refusal::Garbled { .. } => "garbled",
            Refusal::Terms { .. } => "terms",
        }
    }

    /// Whether it is the other room that was met, and not somebody else at one of its addresses.
    pub(super) fn is_of_the_other_room(&self) -> bool {
        matches!(self, Refusal::Versions { .. } | Refusal::Clocks { .. } | Refusal::Terms { .. })
    }

    /// What an error of a handshake means in `room`, if somebody is refused with it.
    #[must_use]
    pub fn of_handshake(error: &io::Error, room: Room, expected: &str) -> Option<Refusal> {
        let error = error.get_ref()?.downcast_ref::<TlsError>()?;
        let of = room.other();
        let refusal = match error {
            TlsError::InvalidCertificate(why) => Refusal::of_certificate(why, room, expected),
            TlsError::NoCertificatesPresented => {
                Refusal::Certificate { of, reason: "it has none".to_owned() }
            }
            TlsError::AlertReceived(alert) => Refusal::Alert { by: of, alert: word(*alert) },
            _ => return None,
        };
        Some(refusal)
    }

    /// What is wrong with a certificate that `room` was shown.
    #[must_use]
    pub fn of_certificate(why: &CertificateError, room: Room, expected: &str) -> Refusal {
        let of = room.other();
        match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Refusal::Authority { of }
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let presented: Vec<String> = presented.iter().take(4).map(|n| plain(n)).collect();
                // Its own name, in its own site: there are two of this room.
                match expected.split_once('.') {
                    Some((_, rest)) if presented.contains(&format!("room-{room}.{rest}")) => {
                        Refusal::SameRoom { room }
                    }
                    _ => Refusal::Name { expected: expected.to_owned(), presented },
                }
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                Refusal::Validity { of, reason: why.to_string() }
            }
            _ => Refusal::Certificate { of, reason: why.to_string() },
        }
    }
}

/// A name out of rustls' `DnsName("…")`.
fn plain(name: &str) -> String {
    name.split('"').nth(1).unwrap_or(name).to_owned()
}

/// What an alert says about the certificate that was shown.
fn word(alert: AlertDescription) -> String {
    match alert {
        // The second, where both authorities have one name: the signature is not of the key that is known.
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "signed by an authority that it does not know".to_owned()
        }
        AlertDescription::BadCertificate => "names another room or another site".to_owned(),
        AlertDescription::CertificateExpired => "not valid at this time, by its clock".to_owned(),
        AlertDescription::CertificateRequired => "there is none".to_owned(),
        other => format!("{other:?}"),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Site { room, site, peer, peer_site } => write!(
                f,
                "two sites have met: room {room} of `{site}` and room {peer} of `{peer_site}`"
            ),
            Refusal::SameRoom { room } => {
                write!(f, "both ends call themselves room {room}: one has the other's settings, ")?;
                f.write_str("or this room dials itself")
            }
            Refusal::Name { expected, presented } if presented.is_empty() => {
                write!(f, "the certificate should name {expected} and names nobody")
            }
            Refusal::Name { expected, presented } => {
                let presented = presented.join(", ");
                write!(f, "the certificate should name {expected} and names {presented}")
            }
            Refusal::Authority { of } => {
                write!(f, "the certificate of room {of} is signed by an authority that room ")?;
                write!(f, "{} does not know: another site's?", of.other())
            }
            Refusal::Validity { of, reason } => {
                let other = of.other();
                write!(f, "the certificate of room {of} is not valid by room {other}'s clock: ")?;
                f.write_str(reason)
            }
            Refusal::Certificate { of, reason } => {
                write!(f, "the certificate of room {of} cannot be used: {reason}")
            }
            Refusal::Alert { by, alert } => {
                write!(f, "room {by} refuses the certificate of room {}: {alert}", by.other())
            }
            Refusal::Versions { a, b } => {
                let older = if a.1 < b.1 { Room::A } else { Room::B };
                let (a, b) = (Range(*a), Range(*b));
                write!(f, "room a speaks version {a}, room b {b}: upgrade room {older}")
            }
            Refusal::Clocks { ahead, seconds } => {
                let (behind, span) = (ahead.other(), span(*seconds));
                write!(f, "the clock of room {ahead} is {span} ahead of room {behind}'s: ")?;
                f.write_str("set the one that is wrong")
            }
            Refusal::Terms { a, b } => {
                write!(f, "the rooms are set differently: room a has `{a}`, room b `{b}`: ")?;
                f.write_str("give both what one site file says")
            }
            Refusal::Garbled { reason } => write!(f, "what came is no room's hello: {reason}"),
        }
    }
}

impl std::error::Error for Refusal {}

struct Range(Versions);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range((first, last)) = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first} to {last}") }
    }
}

/// A time of more than a day, for people.
fn span(seconds: u64) -> String {
    let days = seconds / (24 * 60 * 60);
    match days {
        0..2 => format!("{} hours", seconds / (60 * 60)),
        2..730 => format!("{days} days"),
        _ => format!("{} years", days / 365),
    }
}
