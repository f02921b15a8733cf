//! What both ends of a connection say first, and whether they fit. Start at [`Hello::decode`] and
//! [`Hello::judge`]: pure functions; the conversation is in `greet`.
//!
//! A hello may grow at its end in a later release: what follows is left aside, so that two releases can
//! always tell each other that they do not fit.

use pair::Room;
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// The longest hello or verdict: some hundred bytes are usual.
pub const HELLO_BYTES: usize = 4 << 10;

/// The longest text in them: a DNS label has 63 bytes, a release's name should not have more.
const TEXT_BYTES: usize = 128;

/// The longest sentence of a verdict.
const SENTENCE_BYTES: usize = 1 << 10;

/// How far the rooms' clocks may be apart. Nothing here needs them to be equal; but a clock that is a day
/// off makes nonsense of certificates and of whatever is kept for some time.
pub const MAX_CLOCK_SECONDS: u64 = 24 * 60 * 60;

/// What a connection is for. Whoever dialed it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// The protocol's messages and the log's entries.
    Frames,
    /// One snapshot.
    Snapshot,
    /// Requests, with their answers on the way back.
    Calls,
}

/// The versions of the protocol that a room speaks: from the first to the second.
pub type Versions = (u16, u16);

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What can be spoken.
    pub versions: Versions,
    /// The site.
    pub site: String,
    /// Which room it is.
    pub room: Room,
    /// What the dialer wants; who accepts says nothing here.
    pub purpose: Option<Purpose>,
    /// The program, for people.
    pub release: String,
    /// The wall clock: seconds since 1970.
    pub clock: u64,
    /// What both rooms must have set alike, in words: who grants, and the times that leases rest on.
    pub terms: String,
}

/// What a room thinks of the other's hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They fit.
    Welcome,
    /// They do not.
    Refused {
        /// Why, in the other room's words.
        sentence: String,
        /// The same as a value, unless a later release thought of it.
        refusal: Option<Refusal>,
    },
}

impl Hello {
    /// Its bytes.
    ///
    /// # Panics
    /// Never: nothing here has a length that is not known.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("values have known lengths")
    }

    /// Reads one, and leaves aside what a later release put behind it.
    ///
    /// # Errors
    /// [`Refusal::Garbled`].
    pub fn decode(bytes: &[u8]) -> Result<Hello, Refusal> {
        let garbled = |reason: &str| Refusal::Garbled { reason: reason.to_owned() };
        let (mut hello, _): (Hello, _) =
            postcard::take_from_bytes(bytes).map_err(|error| garbled(&error.to_string()))?;
        if [&hello.site, &hello.release, &hello.terms].iter().any(|text| text.len() > TEXT_BYTES) {
            return Err(garbled("its texts are too long"));
        }
        if hello.versions.0 > hello.versions.1 {
            return Err(garbled("its versions begin after their end"));
        }
        hello.site = printable(&hello.site);
        hello.release = printable(&hello.release);
        hello.terms = printable(&hello.terms);
        Ok(hello)
    }

    /// Whether a peer fits, and the version that both speak.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, peer: &Hello) -> Result<u16, Refusal> {
        if self.site != peer.site {
            return Err(Refusal::Site {
                room: self.room,
                site: self.site.clone(),
                peer: peer.room,
                peer_site: peer.site.clone(),
            });
        }
        if self.room == peer.room {
            return Err(Refusal::SameRoom { room: self.room });
        }
        let version = self.versions.1.min(peer.versions.1);
        if version < self.versions.0.max(peer.versions.0) {
            let (a, b) = match self.room {
                Room::A => (self.versions, peer.versions),
                Room::B => (peer.versions, self.versions),
            };
            return Err(Refusal::Versions { a, b });
        }
        if self.terms != peer.terms {
            let (a, b) = match self.room {
                Room::A => (&self.terms, &peer.terms),
                Room::B => (&peer.terms, &self.terms),
            };
            return Err(Refusal::Terms { a: a.clone(), b: b.clone() });
        }
        if self.clock.abs_diff(peer.clock) > MAX_CLOCK_SECONDS {
            let ahead = if self.clock > peer.clock { self.room } else { peer.room };
            return Err(Refusal::Clocks { ahead, seconds: self.clock.abs_diff(peer.clock) });
        }
        Ok(version)
    }
}

impl Verdict {
    /// The verdict on what [`Hello::judge`] found.
    #[must_use]
    pub fn of(refusal: Option<&Refusal>) -> Verdict {
        refusal.map_or(Verdict::Welcome, |refusal| Verdict::Refused {
            sentence: refusal.to_string(),
            refusal: Some(refusal.clone()),
        })
    }

    /// Its bytes: the sentence first, which every release can read.
    ///
    /// # Panics
    /// Never: nothing here has a length that is not known.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let bytes = match self {
            Verdict::Welcome => postcard::to_stdvec(&None::<&str>),
            Verdict::Refused { sentence, refusal } => {
                let sentence: String = sentence.chars().take(SENTENCE_BYTES / 4).collect();
                postcard::to_stdvec(&(Some(sentence), refusal))
            }
        };
        bytes.expect("values have known lengths")
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Refusal::Garbled`].
    pub fn decode(bytes: &[u8]) -> Result<Verdict, Refusal> {
        let (sentence, rest): (Option<String>, _) = postcard::take_from_bytes(bytes)
            .map_err(|error| Refusal::Garbled { reason: error.to_string() })?;
        let Some(sentence) = sentence else { return Ok(Verdict::Welcome) };
        if sentence.len() > SENTENCE_BYTES {
            return Err(Refusal::Garbled { reason: "its sentence is too long".to_owned() });
        }
        let refusal = postcard::take_from_bytes::<Option<Refusal>>(rest).ok();
        let refusal = refusal.and_then(|(refusal, _)| refusal);
        Ok(Verdict::Refused { sentence: printable(&sentence), refusal })
    }
}

/// A text of the peer's as it may stand in a log.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
