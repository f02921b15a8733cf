//! What goes over the wire and onto the disk, as bytes. Start at [`encode`] and [`decode`].
//!
//! The encoding is postcard's (<https://postcard.jamesmunns.com/wire-format>): numbers are varints,
//! variants their number in the order of their declaration. So a new variant goes to the end, and a
//! changed one is a new version of the protocol, which whoever connects states first.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::Message;
use crate::register::Register;
use crate::witness::{Reply, Request, Witness};

/// The version of everything here. A program speaks its own and the one before.
pub const VERSION: u16 = 1;

/// What can be written and read.
pub trait Wire: Serialize + DeserializeOwned {}

impl Wire for Message {}
impl Wire for Register {}
impl Wire for Request {}
impl Wire for Reply {}
impl Wire for Witness {}

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They break the encoding, or end too early.
    #[error("they are not what a room says: {0}")]
    Malformed(postcard::Error),
    /// More bytes follow.
    #[error("{0} bytes follow")]
    Long(usize),
}

/// The bytes of a value; a few hundred at most, but for a [`crate::History`] of many runs.
///
/// # Panics
/// Never: nothing here has a length that is not known.
#[must_use]
pub fn encode<T: Wire>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("values have known lengths")
}

/// Reads a value, which takes all of the bytes.
///
/// # Errors
/// [`DecodeError`]. No input takes more memory than a few times its own length.
pub fn decode<T: Wire>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(DecodeError::Malformed)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Long(rest.len())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Body, GrantedBy, History, InSync, Incarnations, Position, Room, Run, Time};

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

    #[track_caller]
    fn round<T: Wire + PartialEq + std::fmt::Debug>(value: &T) {
        let bytes = encode(value);
        assert_eq!(decode::<T>(&bytes).as_ref(), Ok(value));
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode::<T>(&longer), Err(DecodeError::Long(1)));
        for end in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let base = Position { epoch: 1, index: 3 };
        let history = History::new(base, vec![Run { epoch: 4, last: 8 }]).expect("in order");
        let message = |body| Message {
            from: Room::B,
            incarnation: 1,
            start: 300,
            heard: Some(2),
            register: Some(register()),
            body,
        };
        round(&message(Body::Hello { history }));
        round(&message(Body::Heartbeat { term: 4, sent: Time::from_millis(9), acknowledged: 7 }));
        round(&register());
        round(&Request::Grant { room: Room::A, incarnation: 1, base: register() });
        round(&Reply::Holds(register()));
        round(&Witness { generation: 1, held: None });
    }

    #[test]
    fn runs_out_of_order_are_refused() {
        let runs = vec![Run { epoch: 4, last: 8 }, Run { epoch: 3, last: 9 }];
        let bytes = postcard::to_stdvec(&(Position::default(), runs)).expect("it has a length");
        assert!(postcard::from_bytes::<History>(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Message>(&bytes);
            let _ = decode::<Reply>(&bytes);
        }
    }
}
