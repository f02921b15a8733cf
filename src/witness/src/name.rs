//! Who asks, as the certificate names it. Start at [`Caller`].

use std::fmt;

use pair::Room;
use site::{Label, LabelError};

/// Everything of Duet's that is named in certificates ends with this (`.internal` is for private use:
/// ICANN, resolution 2024.07.29.06).
const DOMAIN: &str = ".duet.internal";

/// The name in the witness' own certificate, unless the settings say another.
pub const DEFAULT_SERVER_NAME: &str = "witness.duet.internal";

/// A room of a site: `room-a.SITE.duet.internal` or `room-b.SITE.duet.internal` among the DNS names of its
/// certificate (subjectAltName; RFC 5280, section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The site.
    pub site: Label,
    /// The room.
    pub room: Room,
}

/// Why a certificate names no room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// None of its names is a room's.
    #[error("the certificate has no name such as room-a.SITE{DOMAIN}")]
    None,
    /// Two rooms, or two sites: nobody can tell who asks.
    #[error("the certificate names both {0} and {1}")]
    Several(Caller, Caller),
    /// The site's part is no label.
    #[error("the certificate names {name}, and that is no site: {source}")]
    Site {
        /// The name.
        name: String,
        /// Why not.
        source: LabelError,
    },
}

impl Caller {
    /// The one room that these DNS names stand for. Names that are not of the form are other people's.
    ///
    /// # Errors
    /// [`NameError`], if there is none or more than one.
    pub fn among<'a>(names: impl Iterator<Item = &'a str>) -> Result<Caller, NameError> {
        let mut found: Option<Caller> = None;
        for name in names {
            let Some(caller) = Caller::parse(name)? else { continue };
            match &found {
                Some(before) if *before != caller => {
                    return Err(NameError::Several(before.clone(), caller));
                }
                _ => found = Some(caller),
            }
        }
        found.ok_or(NameError::None)
    }

    fn parse(name: &str) -> Result<Option<Caller>, NameError> {
        // DNS names are the same in either case (RFC 4343).
        let lower = name.to_ascii_lowercase();
        let Some(rest) = lower.strip_suffix(DOMAIN) else { return Ok(None) };
        let (room, site) = match rest.split_once('.') {
            Some(("room-a", site)) => (Room::A, site),
            Some(("room-b", site)) => (Room::B, site),
            _ => return Ok(None),
        };
        let site =
            site.parse().map_err(|source| NameError::Site { name: name.to_owned(), source })?;
        Ok(Some(Caller { site, room }))
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "room-{}.{}{DOMAIN}", self.room, self.site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], expected: &str) {
        let said = match Caller::among(names.iter().copied()) {
            Ok(caller) => caller.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn a_room_is_found_among_the_names() {
        check(&["duet-a", "room-a.harbour.duet.internal"], "room-a.harbour.duet.internal");
        check(&["ROOM-B.Harbour.duet.internal"], "room-b.harbour.duet.internal");
        let twice = "room-b.x.duet.internal";
        check(&[twice, twice], twice);
    }

    #[test]
    fn who_names_no_room_or_two_is_nobody() {
        let none = "the certificate has no name such as room-a.SITE.duet.internal";
        check(&[], none);
        check(&["witness.duet.internal", "room-c.x.duet.internal", "room-a.x.example"], none);
        check(
            &["room-a.x.duet.internal", "room-b.x.duet.internal"],
            "the certificate names both room-a.x.duet.internal and room-b.x.duet.internal",
        );
        check(
            &["room-a.x.y.duet.internal"],
            "the certificate names room-a.x.y.duet.internal, and that is no site: the name has a '.' in it",
        );
    }
}
