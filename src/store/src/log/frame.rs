//! One group of records as it lies in a segment, and what a bad one means. Start at [`Frames`].
//!
//! ```text
//!  0  magic            4   D7 "grp", or D7 "end" for the seal of a segment
//!  4  length           4   of the payload
//!  8  first            8   the first record's index; of a seal: the next segment's
//! 16  count            4   records
//! 20  zeros            4   sectors after the head that hold only zeros
//! 24  previous         4   the own checksum of the frame before
//! 28  payload's        4   CRC-32C of all that follows the head
//! 32  unsettled        4   records before the first that another room may not have yet
//! 36  own              4   CRC-32C of the frame's place and of the 36 bytes above
//! 40  payload: per record its length (4) and its bytes; zeros up to a multiple of 8
//!     tail             8   D7 "fin" and the payload's CRC-32C of what is above
//! ```
//!
//! Numbers are little-endian; a frame begins at a multiple of 8 in zeroed space, is written by one
//! write and synced before the next is written. So a frame whose head is whole proves that all before
//! it had been acknowledged. A write that a crash interrupts leaves whole sectors unwritten, that is
//! zero: a frame that lacks none and is wrong was damaged later (etcd's `wal/decoder.go`,
//! `isTornEntry`, judges likewise; here the count of zero sectors says which are zero by right).
//!
//! A checksum covers the frame's place, so bytes that a client stores are never taken for a frame.
//! No client's bytes are looked into here, and in doubt a frame counts as damaged, never as torn.

use crate::record::{DecodeError, Record};

/// Bytes before the payload.
pub(crate) const HEAD: usize = 40;
/// Bytes after it.
const TAIL: usize = 8;
/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

const GROUP: [u8; 4] = *b"\xd7grp";
const SEAL: [u8; 4] = *b"\xd7end";
const FIN: [u8; 4] = *b"\xd7fin";

/// The size of a seal: there is room for one at the end of every segment.
pub(crate) const SEAL_SIZE: usize = HEAD + TAIL;

/// Where a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The first index of the segment.
    pub(crate) segment: u64,
    /// The offset in the segment's file.
    pub(crate) offset: usize,
}

#[derive(Debug)]
struct Head {
    seal: bool,
    length: usize,
    first: u64,
    count: u32,
    zeros: u32,
    previous: u32,
    payload: u32,
    unsettled: u32,
    own: u32,
}

impl Head {
    fn parse(bytes: &[u8], place: Place) -> Option<Head> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let magic = &head[..4];
        if (magic != GROUP && magic != SEAL) || number(head, 36) != checksum(head, place) {
            return None;
        }
        let length = number(head, 4) as usize;
        let first = u64::from_le_bytes(*head[8..].first_chunk()?);
        Some(Head {
            seal: magic == SEAL,
            length,
            first,
            count: number(head, 16),
            zeros: number(head, 20),
            previous: number(head, 24),
            payload: number(head, 28),
            unsettled: number(head, 32),
            own: number(head, 36),
        })
    }

    /// From the frame's first byte to its last.
    fn size(&self) -> usize {
        HEAD + self.length.next_multiple_of(8) + TAIL
    }

    /// Whether what follows the head is what was written.
    fn holds(&self, frame: &[u8]) -> bool {
        let (body, tail) = frame[HEAD..].split_at(frame.len() - HEAD - TAIL);
        tail[..4] == FIN
            && body[self.length..].iter().all(|byte| *byte == 0)
            && number(tail, 4) == crc32c::crc32c(body)
            && self.payload == crc32c::crc32c(&frame[HEAD..])
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn checksum(head: &[u8], place: Place) -> u32 {
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&place.segment.to_le_bytes());
    seed[8..].copy_from_slice(&(place.offset as u64).to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&seed), &head[..36])
}

/// Of a frame that begins at `offset`, the sectors without a byte of the head that are all zero.
fn zeros(frame: &[u8], offset: usize) -> u32 {
    let start = (offset + HEAD).next_multiple_of(SECTOR) - offset;
    let sectors = frame.get(start..).unwrap_or_default().chunks(SECTOR);
    sectors.filter(|sector| is_zero(sector)).count() as u32
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Sixteen at a time; most sectors end the search at once.
    let (chunks, rest) = bytes.split_at(bytes.len() - bytes.len() % 16);
    chunks.chunks_exact(16).all(|chunk| *chunk == [0; 16]) && rest.iter().all(|byte| *byte == 0)
}

/// Puts a group together, in a buffer that is used again.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
    first: u64,
    count: u32,
    unsettled: u32,
    length: usize,
}

/// A buffer that one large group made larger than this is not kept.
const KEEP: usize = 16 << 20;

impl Draft {
    /// Encodes the records, of which there is at least one; none if they are more than a frame holds.
    /// All up to record `settled` are acknowledged, or may be as soon as they are synced here.
    pub(crate) fn group<'a>(
        &mut self,
        group: impl IntoIterator<Item = &'a Record>,
        settled: u64,
    ) -> Option<()> {
        let mut group = group.into_iter().peekable();
        let first = group.peek()?.index;
        self.begin(first);
        self.unsettled = u32::try_from((first - 1).saturating_sub(settled)).ok()?;
        for record in group {
            self.count = self.count.checked_add(1)?;
            let at = self.bytes.len();
            self.bytes.extend([0; 4]);
            record.encode(&mut self.bytes);
            let length = u32::try_from(self.bytes.len() - at - 4).ok()?;
            self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
        self.length = self.bytes.len() - HEAD;
        // A third of what the field holds, so that no sum of sizes overflows.
        (self.length <= i32::MAX as usize).then_some(())
    }

    /// Makes a seal, behind which the next segment begins with that index.
    pub(crate) fn seal(&mut self, next: u64) {
        self.begin(next);
    }

    fn begin(&mut self, first: u64) {
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.bytes.resize(HEAD, 0);
        (self.first, self.count, self.unsettled, self.length) = (first, 0, 0, 0);
    }

    /// The size of the whole frame.
    pub(crate) fn size(&self) -> usize {
        HEAD + self.length.next_multiple_of(8) + TAIL
    }

    /// The frame's bytes for its place, and its own checksum.
    pub(crate) fn finish(&mut self, place: Place, previous: u32) -> (&[u8], u32) {
        let bytes = &mut self.bytes;
        bytes.truncate(HEAD + self.length);
        bytes.resize(HEAD + self.length.next_multiple_of(8), 0);
        let body = crc32c::crc32c(&bytes[HEAD..]);
        bytes.extend(FIN);
        bytes.extend(body.to_le_bytes());
        let payload = crc32c::crc32c_append(body, &bytes[bytes.len() - TAIL..]);
        let zeros = zeros(bytes, place.offset);
        let head = &mut bytes[..HEAD];
        head[..4].copy_from_slice(if self.count == 0 { &SEAL } else { &GROUP });
        head[4..8].copy_from_slice(&(self.length as u32).to_le_bytes());
        head[8..16].copy_from_slice(&self.first.to_le_bytes());
        head[16..20].copy_from_slice(&self.count.to_le_bytes());
        head[20..24].copy_from_slice(&zeros.to_le_bytes());
        head[24..28].copy_from_slice(&previous.to_le_bytes());
        head[28..32].copy_from_slice(&payload.to_le_bytes());
        head[32..36].copy_from_slice(&self.unsettled.to_le_bytes());
        let own = checksum(head, place);
        head[36..].copy_from_slice(&own.to_le_bytes());
        (bytes, own)
    }
}

/// A whole group in a segment's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// Where it begins.
    pub(crate) offset: usize,
    /// From its first byte to its last.
    pub(crate) size: usize,
    /// The index of its first record.
    pub(crate) first: u64,
    /// How many records it has; at least one.
    pub(crate) count: u32,
    /// How many records before the first may not have been acknowledged when it was written.
    pub(crate) unsettled: u32,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The index of its last record.
    pub(crate) fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// Its records; after an error there are no more.
    pub(crate) fn records(&self) -> Records<'a> {
        Records { left: self.payload, next: self.first, count: self.count }
    }
}

/// The records of a group.
pub(crate) struct Records<'a> {
    left: &'a [u8],
    next: u64,
    count: u32,
}

impl Records<'_> {
    fn read(&mut self) -> Result<Record, DecodeError> {
        let (length, rest) = self.left.split_first_chunk::<4>().ok_or(DecodeError::Short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(DecodeError::Short)?;
        let record = Record::decode(bytes)?;
        if record.index != self.next {
            return Err(DecodeError::Field("index"));
        }
        self.left = rest;
        self.next += 1;
        self.count -= 1;
        if self.count == 0 && !rest.is_empty() {
            return Err(DecodeError::Long(rest.len()));
        }
        Ok(record)
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.count == 0 {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.count = 0;
        }
        Some(record)
    }
}

/// How the groups of a segment end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing but zeros follows.
    Free,
    /// The segment is full; another one follows it.
    Sealed,
    /// What follows was never acknowledged: it may be overwritten with zeros up to this offset.
    Torn(usize),
    /// What follows may have been acknowledged, and is not whole.
    Damaged(String),
}

/// Walks through the groups of a segment's bytes. When it gives no more, [`Frames::end`] says why.
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    segment: u64,
    /// Where the next frame begins.
    pub(crate) offset: usize,
    /// The index that it must begin with.
    pub(crate) next: u64,
    /// The own checksum of the frame before.
    pub(crate) previous: u32,
    sealed: bool,
}

impl<'a> Frames<'a> {
    /// The groups from `offset` on, in a segment whose first index and chain are given.
    pub(crate) fn new(bytes: &'a [u8], offset: usize, segment: u64, previous: u32) -> Frames<'a> {
        Frames { bytes, segment, offset, next: segment, previous, sealed: false }
    }

    fn head(&self, offset: usize) -> Option<Head> {
        Head::parse(self.bytes.get(offset..)?, Place { segment: self.segment, offset })
    }

    /// The frame at the offset, if it is whole and follows the one before.
    fn read(&self) -> Option<(Head, &'a [u8])> {
        let head = self.head(self.offset)?;
        let frame = self.bytes[self.offset..].get(..head.size())?;
        let follows = head.first == self.next && head.previous == self.previous;
        let counted = (head.count == 0) == head.seal
            && head.first.checked_add(u64::from(head.count)).is_some();
        (follows && counted && head.holds(frame)).then_some((head, frame))
    }

    /// Why there are no more.
    pub(crate) fn end(&self) -> End {
        if self.sealed {
            return End::Sealed;
        }
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        if is_zero(rest) {
            return End::Free;
        }
        if let Some(offset) = self.later() {
            let what = format!("the group is not whole, but a later one, at {offset}, is there");
            return End::Damaged(what);
        }
        let upto = rest.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        match self.damage(rest) {
            Some(what) => End::Damaged(what.to_owned()),
            None => End::Torn(self.offset + upto),
        }
    }

    /// What is wrong with the frame at the offset beyond what a crash can do.
    fn damage(&self, rest: &[u8]) -> Option<&'static str> {
        if rest.len() < SEAL_SIZE {
            return None; // No frame fits in here.
        }
        let Some(head) = self.head(self.offset) else {
            let boundary = self.offset.next_multiple_of(SECTOR) - self.offset;
            let lost = boundary < HEAD && boundary > 0 && is_zero(&rest[boundary..HEAD]);
            let begun = !is_zero(&rest[..8]);
            return (begun && !lost).then_some("the head of a group has changed");
        };
        if head.first != self.next || head.previous != self.previous {
            return Some("the group does not follow the one before");
        }
        let Some(frame) = rest.get(..head.size()) else {
            return Some("the group is longer than its segment");
        };
        let lacks = zeros(frame, self.offset) > head.zeros;
        (!lacks).then_some("the bytes of a group have changed")
    }

    /// Where the head of a later frame is, which proves that this one had been acknowledged.
    fn later(&self) -> Option<usize> {
        let aligned = (self.offset.next_multiple_of(8) + 8..self.bytes.len()).step_by(8);
        let mut begun = aligned.filter(|at| self.bytes[*at] == GROUP[0]);
        begun.find(|at| self.head(*at).is_some_and(|head| head.first > self.next))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.sealed {
            return None;
        }
        let (head, frame) = self.read()?;
        let found = Frame {
            offset: self.offset,
            size: head.size(),
            first: head.first,
            count: head.count,
            unsettled: head.unsettled,
            payload: &frame[HEAD..HEAD + head.length],
        };
        self.offset += head.size();
        if head.seal {
            // The next segment continues the last group: a crash may have kept the seal out.
            self.sealed = true;
            return None;
        }
        self.previous = head.own;
        self.next = head.first + u64::from(head.count);
        Some(found)
    }
}

#[cfg(test)]
mod tests;
