//! A message of the protocol with the entries that it stands for, and its bytes. Start at [`Packet`].
//!
//! ```text
//! length of the message (4, little-endian) │ message (pair::wire) │ per record: length (4) │ record
//! ```

use bytes::{BufMut, Bytes};
use pair::{Body, Message, wire};

use crate::record::{DecodeError, Record};

/// What one room says to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What is said.
    pub message: Message,
    /// The entries of [`Body::Entries`]; else none.
    pub records: Vec<Record>,
}

/// Why bytes are no packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// They end before the packet does.
    #[error("the bytes end before the packet does")]
    Short,
    /// The message cannot be read.
    #[error("the message cannot be read: {0}")]
    Message(wire::DecodeError),
    /// A record cannot be read.
    #[error("a record cannot be read: {0}")]
    Record(DecodeError),
    /// The records are not those that the message speaks of.
    #[error("the records are not those that the message speaks of")]
    Mismatch,
}

impl Packet {
    /// A message that needs no entries.
    #[must_use]
    pub fn bare(message: Message) -> Packet {
        Packet { message, records: Vec::new() }
    }

    /// Whether it must not wait behind entries: losing time, it would look like silence.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.records.is_empty()
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let message = wire::encode(&self.message);
        let weight: usize = self.records.iter().map(Record::weight).sum();
        let mut out = Vec::with_capacity(4 + message.len() + weight);
        out.put_u32_le(u32::try_from(message.len()).expect("a message is short"));
        out.extend(message);
        for record in &self.records {
            let at = out.len();
            out.extend([0; 4]);
            record.encode(&mut out);
            let length = u32::try_from(out.len() - at - 4).expect("a record fits into the log");
            out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
        out.into()
    }

    /// Reads the bytes of one packet, all of them.
    ///
    /// # Errors
    /// [`PacketError`].
    pub fn decode(mut bytes: &[u8]) -> Result<Packet, PacketError> {
        let message = wire::decode(piece(&mut bytes)?).map_err(PacketError::Message)?;
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let record = Record::decode(piece(&mut bytes)?).map_err(PacketError::Record)?;
            records.push(record);
        }
        let packet = Packet { message, records };
        if packet.is_sound() { Ok(packet) } else { Err(PacketError::Mismatch) }
    }

    /// Whether the records are those that the message speaks of.
    fn is_sound(&self) -> bool {
        let Body::Entries { after, epoch, last, .. } = self.message.body else {
            return self.records.is_empty();
        };
        last > after.index
            && last - after.index == self.records.len() as u64
            && (after.index + 1..=last)
                .zip(&self.records)
                .all(|(index, record)| (record.index, record.term) == (index, epoch))
    }
}

fn piece<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], PacketError> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(PacketError::Short)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (piece, rest) = rest.split_at_checked(length).ok_or(PacketError::Short)?;
    *bytes = rest;
    Ok(piece)
}
