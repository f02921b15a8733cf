//! One entry of the log and its bytes. Start at [`Record`]; `dump` is its `Display`.
//!
//! ```text
//! format 1 │ kind │ index │ term │ what the kind says
//! ```
//!
//! Format and kind are one byte each, numbers are LEB128, keys and values are their length and their
//! bytes. One record has one encoding only: what is read and written again has the same bytes.
//! Nothing here opens a file, and no input takes more memory than a few times its own length.

pub(crate) mod field;

use std::fmt;

use bytes::Bytes;
use mvcc::{Change, Effect};

use field::{Fields, put_bytes, put_number};

/// The version of the encoding, in every record, since records are also sent without their file.
const FORMAT: u8 = 1;

const WRITE: u8 = 1;
const GRANT: u8 = 2;
const REVOKE: u8 = 3;
const COMPACT: u8 = 4;
const LEAP: u8 = 5;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// One entry of the log: what changed, and its place in the order of all changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place: one above the one before; the first is 1.
    pub index: u64,
    /// The term in which it was decided; never falls.
    pub term: u64,
    /// What changed.
    pub effect: Effect,
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end before the record does.
    #[error("the bytes end before the record does")]
    Short,
    /// A newer store wrote them, or they are something else.
    #[error("it has format {0}, and this version reads format {FORMAT}")]
    Format(u8),
    /// A field holds what no store writes.
    #[error("impossible {0}")]
    Field(&'static str),
    /// More bytes follow.
    #[error("{0} bytes follow the record")]
    Long(usize),
}

impl Record {
    /// Appends the bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.effect {
            Effect::Write { .. } => WRITE,
            Effect::Grant { .. } => GRANT,
            Effect::Revoke { .. } => REVOKE,
            Effect::Compact { .. } => COMPACT,
            Effect::Leap { .. } => LEAP,
        };
        out.extend([FORMAT, kind]);
        put_number(out, self.index);
        put_number(out, self.term);
        match &self.effect {
            Effect::Write { revision, changes } => {
                put_number(out, *revision as u64);
                put_number(out, changes.len() as u64);
                changes.iter().for_each(|change| put_change(out, change));
            }
            Effect::Grant { id, ttl } => {
                put_number(out, *id as u64);
                put_number(out, *ttl as u64);
            }
            Effect::Revoke { id, revision } => {
                put_number(out, *id as u64);
                put_number(out, *revision as u64);
            }
            Effect::Compact { revision } | Effect::Leap { revision } => {
                put_number(out, *revision as u64);
            }
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const ENTRY: usize = 32;
        let change = |change: &Change| match change {
            Change::Put { key, value, .. } => key.len() + value.len() + ENTRY,
            Change::Delete { key } => key.len() + ENTRY,
        };
        match &self.effect {
            Effect::Write { changes, .. } => ENTRY + changes.iter().map(change).sum::<usize>(),
            Effect::Grant { .. }
            | Effect::Revoke { .. }
            | Effect::Compact { .. }
            | Effect::Leap { .. } => ENTRY,
        }
    }

    /// Reads the bytes of one record, all of them.
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        let mut fields = Fields::new(bytes);
        let format = fields.byte()?;
        if format != FORMAT {
            return Err(DecodeError::Format(format));
        }
        let kind = fields.byte()?;
        let index = fields.number()?;
        let term = fields.number()?;
        let effect = match kind {
            WRITE => {
                let revision = fields.signed()?;
                let count = fields.number()?;
                Effect::Write { revision, changes: changes(&mut fields, count)? }
            }
            GRANT => Effect::Grant { id: fields.signed()?, ttl: fields.signed()? },
            REVOKE => Effect::Revoke { id: fields.signed()?, revision: fields.signed()? },
            COMPACT => Effect::Compact { revision: fields.signed()? },
            LEAP => Effect::Leap { revision: fields.signed()? },
            _ => return Err(DecodeError::Field("kind of record")),
        };
        fields.end()?;
        Ok(Record { index, term, effect })
    }
}

fn put_change(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Put { key, value, lease } => {
            out.push(PUT);
            put_bytes(out, key);
            put_bytes(out, value);
            put_number(out, *lease as u64);
        }
        Change::Delete { key } => {
            out.push(DELETE);
            put_bytes(out, key);
        }
    }
}

fn changes(fields: &mut Fields<'_>, count: u64) -> Result<Vec<Change>, DecodeError> {
    // A change takes at least two bytes: a count that cannot be is noticed before memory is taken.
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > fields.left() / 2 {
        return Err(DecodeError::Short);
    }
    let mut changes = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        changes.push(match fields.byte()? {
            PUT => Change::Put {
                key: Bytes::copy_from_slice(fields.bytes()?),
                value: Bytes::copy_from_slice(fields.bytes()?),
                lease: fields.signed()?,
            },
            DELETE => Change::Delete { key: Bytes::copy_from_slice(fields.bytes()?) },
            _ => return Err(DecodeError::Field("kind of change")),
        });
    }
    Ok(changes)
}

/// One line for a person: the place and what changed; values by their length.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} term {} ", self.index, self.term)?;
        match &self.effect {
            Effect::Write { revision, changes } => {
                write!(f, "revision {revision}:")?;
                for (at, change) in changes.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    match change {
                        Change::Put { key, value, lease } => {
                            write!(f, "{comma} put \"{}\" {} B", key.escape_ascii(), value.len())?;
                            if *lease != 0 {
                                write!(f, " lease {lease:x}")?;
                            }
                        }
                        Change::Delete { key } => {
                            write!(f, "{comma} delete \"{}\"", key.escape_ascii())?;
                        }
                    }
                }
                Ok(())
            }
            Effect::Grant { id, ttl } => write!(f, "grant lease {id:x} for {ttl} s"),
            Effect::Revoke { id, revision } => {
                write!(f, "revoke lease {id:x}, then at revision {revision}")
            }
            Effect::Compact { revision } => write!(f, "compact at revision {revision}"),
            Effect::Leap { revision } => write!(f, "leap to revision {revision}"),
        }
    }
}

#[cfg(test)]
mod tests;
