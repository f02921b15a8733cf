//! The file of a register, `registers/NAME`: what the witness holds for a site. Start at [`Record`].
//!
//! ```text
//!  "DUETWIT1" ── length: u32 ── postcard of (site, generation, held, changed) ── crc32c of all before: u32
//! ```
//!
//! Numbers are little-endian. The file has its name only once it is whole and synced, so there is no torn
//! one: whatever does not fit is damage.

use pair::witness::Witness;
use serde::{Deserialize, Serialize};
use site::Label;

const MAGIC: &[u8; 8] = b"DUETWIT1";

/// The longest file, in bytes: a name of 63 and numbers, several times over.
pub(crate) const LONGEST: usize = 512;

/// What is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The site that it belongs to, so that a file under a wrong name is noticed.
    pub(crate) site: Label,
    /// The register and its generation.
    pub(crate) witness: Witness,
    /// When it was decided: milliseconds since 1970; none for a site that was only added.
    pub(crate) changed_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Raw<'a> {
    site: &'a str,
    witness: Witness,
    changed_ms: Option<u64>,
}

/// Why bytes are no [`Record`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("it is not the file of a register, or of another release")]
    Magic,
    #[error("it has {got} bytes, and {wanted} were written")]
    Length { got: usize, wanted: usize },
    #[error("its checksum does not hold")]
    Checksum,
    #[error("what is in it makes no sense: {0}")]
    Malformed(postcard::Error),
    #[error("it is the register of site {0:?}")]
    OtherSite(String),
}

impl Record {
    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Record { site, witness, changed_ms } = self.clone();
        let raw = Raw { site: site.as_str(), witness, changed_ms };
        let payload = postcard::to_stdvec(&raw).expect("values have known lengths");
        let mut bytes = MAGIC.to_vec();
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(payload);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        assert!(bytes.len() <= LONGEST, "a record is small");
        bytes
    }

    /// Reads the file of `site`.
    pub(crate) fn decode(bytes: &[u8], site: &Label) -> Result<Record, RecordError> {
        const HEAD: usize = MAGIC.len() + 4;
        let length = bytes.get(MAGIC.len()..HEAD).and_then(|length| length.try_into().ok());
        let (true, Some(length)) = (bytes.starts_with(MAGIC), length) else {
            return Err(RecordError::Magic);
        };
        let wanted = (u32::from_le_bytes(length) as usize).saturating_add(HEAD + 4);
        if bytes.len() != wanted {
            return Err(RecordError::Length { got: bytes.len(), wanted });
        }
        let (body, checksum) = bytes.split_at(wanted - 4);
        if crc32c::crc32c(body).to_le_bytes() != checksum {
            return Err(RecordError::Checksum);
        }
        let raw: Raw<'_> = postcard::from_bytes(&body[HEAD..]).map_err(RecordError::Malformed)?;
        if raw.site != site.as_str() {
            return Err(RecordError::OtherSite(raw.site.to_owned()));
        }
        Ok(Record { site: site.clone(), witness: raw.witness, changed_ms: raw.changed_ms })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pair::{GrantedBy, InSync, Incarnations, Register, Room};

    use super::*;

    fn record() -> Record {
        let held = Register {
            cluster: u128::MAX,
            epoch: u64::MAX,
            leader: Room::B,
            in_sync: InSync::Only(Room::B),
            granted_by: GrantedBy::Alone,
            witness: u64::MAX,
            boot_id: u128::MAX,
            incarnations: Incarnations { a: u64::MAX, b: u64::MAX },
        };
        Record {
            site: "x".repeat(63).parse().unwrap(),
            witness: Witness { generation: u64::MAX, held: Some(held) },
            changed_ms: Some(u64::MAX),
        }
    }

    #[test]
    fn the_largest_is_read_again() {
        let record = record();
        assert_eq!(Record::decode(&record.encode(), &record.site), Ok(record.clone()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let record = record();
        let bytes = record.encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&flipped, &record.site).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(Record::decode(&bytes[..end], &record.site).is_err(), "cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(Record::decode(&longer, &record.site), Err(RecordError::Length { .. })));
    }

    #[test]
    fn a_file_under_another_name_is_refused() {
        let record = record();
        let other = "quay".parse().unwrap();
        assert_eq!(
            Record::decode(&record.encode(), &other),
            Err(RecordError::OtherSite("x".repeat(63)))
        );
    }
}
