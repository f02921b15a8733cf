//! Fields of binary records: numbers at a place, or nothing if the record is too short.

pub(crate) fn array<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(crate) fn le16(record: &[u8], at: usize) -> Option<u16> {
    array(record, at).map(u16::from_le_bytes)
}

pub(crate) fn le32(record: &[u8], at: usize) -> Option<u32> {
    array(record, at).map(u32::from_le_bytes)
}

pub(crate) fn le64(record: &[u8], at: usize) -> Option<u64> {
    array(record, at).map(u64::from_le_bytes)
}

/// Writes `bytes` at `at`; the record is the writer's own and must be long enough.
pub(crate) fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    record[at..at + bytes.len()].copy_from_slice(bytes);
}
