//! What a room and the witness say to each other, as bytes. Start at [`Question`] and [`Answer`].
//!
//! ```text
//!  frame:     length: u32, big-endian, at most 64 KiB ── that many bytes
//!  first:     witness ─► room: hello    room ─► witness: hello
//!  then:      room ─► witness: number: u64, big-endian ── Question
//!             witness ─► room: the same number         ── Answer
//! ```
//!
//! The witness speaks first, so that a room which is refused in the handshake reads why. Values are in
//! postcard's encoding, as [`pair::wire`] has it: a new variant goes to the end, a changed one is a new
//! [`VERSION`], and so is a new version of [`pair::wire`].

use std::time::Duration;

use pair::witness::{Reply, Request};
use pair::{Register, Room};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version that is spoken here.
pub const VERSION: u16 = 1;

// Whoever makes a new version there decides what it means here.
const _: () = assert!(pair::wire::VERSION == 1);

/// The oldest version that is understood.
pub const OLDEST: u16 = 1;

/// The longest frame in bytes; those that are sent have some hundred.
pub const LONGEST: usize = 64 << 10;

/// What a hello begins with, in every version.
const MAGIC: &[u8; 8] = b"DUETWITN";

/// The longest name of a release that is taken.
const LONGEST_RELEASE: usize = 64;

/// Which versions someone speaks. Fields are added at the end and never changed, so that any two versions
/// can tell each other that they do not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest version.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
    /// The release of the program, for people.
    pub release: String,
}

/// What a room asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// The protocol's.
    Ask(Request),
    /// How is this room's site here?
    Status,
}

/// What the witness answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The protocol's; on the disk.
    Reply(Reply),
    /// How the site is.
    Status(Status),
    /// It was not decided.
    Refused(Refused),
}

/// How a site is at the witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its generation; a room's register names it as `witness`.
    pub generation: u64,
    /// What is held.
    pub held: Option<Register>,
    /// When it was decided, in milliseconds since 1970 by the witness' clock.
    pub changed_ms: Option<u64>,
    /// How many bytes its files have.
    pub disk_bytes: u64,
    /// The witness' release.
    pub release: String,
}

/// Why the witness decided nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refused {
    /// The site was removed, or never added.
    #[error("it does not know the site: `duetd witness site add` makes it known")]
    UnknownSite,
    /// A file of the site is damaged.
    #[error(
        "what it keeps of the site is damaged ({0}): `duetd witness renew` begins anew, then both rooms register"
    )]
    Damaged(String),
    /// A room asked for the other one.
    #[error("room {certificate} asked for room {asked}: a grant is only for who asks")]
    OtherRoom {
        /// Of the certificate.
        certificate: Room,
        /// In the question.
        asked: Room,
    },
    /// Too many questions.
    #[error("the site asks too often: it may again in {wait_ms} ms")]
    Busy {
        /// When there is room for another one.
        wait_ms: u64,
    },
    /// The disk took nothing.
    #[error("its disk takes nothing: {0}")]
    Disk(String),
    /// The certificate, which was in order when the connection was made, is no longer.
    #[error("it no longer accepts the room's certificate: {0}")]
    Certificate(String),
    /// The question makes no sense in this version.
    #[error("it does not understand the question: {0}")]
    Question(String),
    /// It ends, or is overloaded.
    #[error("it is about to end, or has too much to do")]
    Away,
}

/// Why what came is not what should have come.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The other side closed the connection.
    #[error("the other side closed the connection")]
    Closed,
    /// A frame is longer than any should be.
    #[error("a message of {0} bytes came; none has more than {LONGEST}")]
    Long(usize),
    /// The first message is not a hello.
    #[error("the other side is no program of Duet's")]
    Stranger,
    /// A message breaks the encoding.
    #[error("a message makes no sense: {0}")]
    Malformed(String),
    /// The two have no version in common.
    #[error("it speaks versions {} to {} (release {}), and this program {OLDEST} to {VERSION}", .0.oldest, .0.newest, .0.release)]
    Version(Hello),
    /// Nothing came in time.
    #[error("nothing came within {} ms", .0.as_millis())]
    Silent(Duration),
}

impl Hello {
    /// What this program says.
    #[must_use]
    pub fn ours() -> Hello {
        let release = env!("CARGO_PKG_VERSION").to_owned();
        Hello { oldest: OLDEST, newest: VERSION, release }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(to_bytes(self));
        bytes
    }

    /// Reads one, also from a later version.
    ///
    /// # Errors
    /// [`WireError::Stranger`], and [`WireError::Version`] if the two cannot speak.
    pub fn decode(bytes: &[u8]) -> Result<Hello, WireError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(WireError::Stranger)?;
        let (mut hello, _later): (Hello, _) =
            postcard::take_from_bytes(rest).map_err(|_| WireError::Stranger)?;
        // It ends up in a log.
        hello.release.retain(|letter| letter.is_ascii_graphic());
        hello.release.truncate(LONGEST_RELEASE);
        if hello.oldest > VERSION || hello.newest < OLDEST {
            return Err(WireError::Version(hello));
        }
        Ok(hello)
    }
}

/// A question or an answer behind its number.
#[must_use]
pub fn encode<T: Serialize>(number: u64, value: &T) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend(to_bytes(value));
    bytes
}

/// Reads a question or an answer, which takes all of the bytes.
///
/// # Errors
/// [`WireError::Malformed`]; with the number, if there was one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(u64, T), (Option<u64>, WireError)> {
    let malformed = |text: String| WireError::Malformed(text);
    let Some((number, rest)) = bytes.split_first_chunk() else {
        return Err((None, malformed("it has no number".into())));
    };
    let number = u64::from_be_bytes(*number);
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Ok((number, value)),
        Ok((_, rest)) => Err((Some(number), malformed(format!("{} bytes follow", rest.len())))),
        Err(error) => Err((Some(number), malformed(error.to_string()))),
    }
}

fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("values have known lengths")
}

/// Sends a frame.
///
/// # Errors
/// If the connection broke.
pub async fn send<W: AsyncWrite + Unpin>(socket: &mut W, bytes: &[u8]) -> Result<(), WireError> {
    assert!(bytes.len() <= LONGEST, "what is sent is small");
    let mut frame = (bytes.len() as u32).to_be_bytes().to_vec();
    frame.extend(bytes);
    socket.write_all(&frame).await?;
    Ok(socket.flush().await?)
}

/// Receives a frame. Not to be taken up again when it was dropped half-way.
///
/// # Errors
/// [`WireError::Closed`], [`WireError::Long`], or the connection broke.
pub async fn receive<R: AsyncRead + Unpin>(socket: &mut R) -> Result<Vec<u8>, WireError> {
    let ended = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => WireError::Closed,
        _ => WireError::Io(error),
    };
    let length = socket.read_u32().await.map_err(ended)? as usize;
    if length > LONGEST {
        return Err(WireError::Long(length));
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).await.map_err(ended)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pair::{GrantedBy, InSync, Incarnations};
    use proptest::prelude::*;

    use super::*;

    fn register() -> Register {
        Register {
            cluster: 7,
            epoch: 4,
            leader: Room::A,
            in_sync: InSync::Both,
            granted_by: GrantedBy::Consent,
            witness: 1,
            boot_id: 9,
            incarnations: Incarnations { a: 1, b: 2 },
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let ask = Question::Ask(Request::Report(register()));
        let bytes = encode(9, &ask);
        assert_eq!(decode(&bytes).unwrap(), (9, ask));
        // The protocol's own bytes are within, behind the number and the variant.
        assert_eq!(bytes[9..], pair::wire::encode(&Request::Report(register()))[..]);
        for end in 0..bytes.len() {
            let (number, _) = decode::<Question>(&bytes[..end]).unwrap_err();
            assert_eq!(number, (end >= 8).then_some(9));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(decode::<Question>(&longer).unwrap_err().1.to_string().contains("1 bytes follow"));
    }

    #[test]
    fn versions_that_do_not_fit_say_so() {
        assert_eq!(Hello::decode(&Hello::ours().encode()).unwrap(), Hello::ours());
        let later = Hello { newest: VERSION + 3, release: "9.9\n!".into(), ..Hello::ours() };
        let with_more = [later.encode(), b"more".to_vec()].concat();
        assert_eq!(Hello::decode(&with_more).unwrap().release, "9.9!");
        let other = Hello { oldest: VERSION + 1, newest: VERSION + 2, release: "9.9".into() };
        let text = Hello::decode(&other.encode()).unwrap_err().to_string();
        assert_eq!(text, "it speaks versions 2 to 3 (release 9.9), and this program 1 to 1");
        assert!(matches!(Hello::decode(b"HTTP/1.1 400"), Err(WireError::Stranger)));
    }

    #[tokio::test]
    async fn a_frame_has_a_bound() {
        let mut bytes = Vec::new();
        send(&mut bytes, b"abc").await.unwrap();
        assert_eq!(bytes, b"\0\0\0\x03abc");
        assert_eq!(receive(&mut &bytes[..]).await.unwrap(), b"abc");
        assert!(matches!(receive(&mut &bytes[..5]).await, Err(WireError::Closed)));
        let long = (LONGEST as u32 + 1).to_be_bytes();
        assert!(matches!(receive(&mut &long[..]).await, Err(WireError::Long(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Hello::decode(&bytes);
            let _ = decode::<Question>(&bytes);
            let _ = decode::<Answer>(&bytes);
        }
    }
}
