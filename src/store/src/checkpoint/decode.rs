//! From the bytes of a checkpoint to a state. Start at [`read`]. Strict: whatever is not as a writer
//! makes it is an error that says where. Takes no more memory than the bytes that came justify.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use mvcc::{ApplyError, Builder, EventKind, Item, KeyValue, State};

use super::encode::{DELETE, HEAD_ITEM, LEASE, PUT};
use super::{BLOCK, END, FORMAT, HEAD, MAGIC, MAX_CHUNK, Stamp, TITLE};
use crate::record::DecodeError;
use crate::record::field::Fields;

/// Read at once: a disk is asked for much, rarely.
const BUFFER: usize = 1 << 20;

/// Why bytes are not a checkpoint.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CheckpointError {
    /// They could not be read.
    #[error("cannot read the checkpoint at offset {offset}")]
    #[diagnostic(code(output::store), help("see whether the disk reports errors"))]
    Io {
        /// Where reading stopped.
        offset: u64,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// They are something else.
    #[error("it does not begin as a checkpoint or a backup of a store does")]
    #[diagnostic(code(integrity::checkpoint), help("name another file"))]
    Stranger,
    /// A newer store wrote them.
    #[error("it has format {found}, and this version reads format {FORMAT}")]
    #[diagnostic(
        code(integrity::format),
        help("use the version of duetd that wrote it, or a newer one")
    )]
    Format {
        /// Its format.
        found: u32,
    },
    /// They have changed since they were written, or their end is missing.
    #[error("the checkpoint is damaged at offset {offset}: {what}")]
    #[diagnostic(
        code(integrity::checkpoint),
        help("restore from the other room's store or from a backup")
    )]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

impl CheckpointError {
    /// Where in the bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            CheckpointError::Io { offset, .. } | CheckpointError::Damaged { offset, .. } => *offset,
            CheckpointError::Stranger => 0,
            CheckpointError::Format { .. } => MAGIC.len() as u64,
        }
    }
}

/// Reads what a checkpoint holds and whose it is, and no more.
pub(crate) fn read_stamp(from: &mut dyn Read) -> Result<Stamp, CheckpointError> {
    Decoder::new(from).title()
}

/// Reads a checkpoint, up to the end of the bytes.
pub fn read(from: &mut dyn Read) -> Result<(State, Stamp), CheckpointError> {
    let mut decoder = Decoder::new(from);
    let stamp = decoder.title()?;
    decoder.blocks()?;
    let at = decoder.offset;
    let state = decoder.builder.finish().map_err(|error| misfit(at, &error))?;
    Ok((state, stamp))
}

fn damaged(offset: u64, what: impl Into<String>) -> CheckpointError {
    CheckpointError::Damaged { offset, what: what.into() }
}

fn misfit(offset: u64, error: &ApplyError) -> CheckpointError {
    damaged(offset, error.to_string())
}

struct Decoder<'a> {
    from: BufReader<&'a mut dyn Read>,
    offset: u64,
    checksum: u32,
    blocks: u32,
    bytes: u64,
    count: u64,
    builder: Builder,
}

impl<'a> Decoder<'a> {
    fn new(from: &'a mut dyn Read) -> Self {
        Decoder {
            from: BufReader::with_capacity(BUFFER, from),
            offset: 0,
            checksum: 0,
            blocks: 0,
            bytes: 0,
            count: 0,
            builder: State::builder(),
        }
    }

    fn take(&mut self, into: &mut [u8]) -> Result<(), CheckpointError> {
        match self.from.read_exact(into) {
            Ok(()) => {
                self.offset += into.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(damaged(self.offset, "the file ends before the checkpoint does"))
            }
            Err(source) => Err(CheckpointError::Io { offset: self.offset, source }),
        }
    }

    fn title(&mut self) -> Result<Stamp, CheckpointError> {
        let mut magic = [0; MAGIC.len()];
        let known = self.take(&mut magic);
        if magic != MAGIC {
            // Too few bytes are something else, too.
            return Err(match known {
                Err(error @ CheckpointError::Io { .. }) => error,
                _ => CheckpointError::Stranger,
            });
        }
        let mut title = [0; TITLE];
        title[..8].copy_from_slice(&magic);
        self.take(&mut title[8..])?;
        let (fields, checksum) = title.split_at(TITLE - 4);
        self.checksum = crc32c::crc32c(fields);
        if checksum != self.checksum.to_le_bytes() {
            return Err(damaged(0, "the title has changed"));
        }
        let found = four(&title, 8);
        if found != FORMAT {
            return Err(CheckpointError::Format { found });
        }
        let eight = |at| u64::from(four(&title, at)) | u64::from(four(&title, at + 4)) << 32;
        let (index, term, cluster_id, member_id) = (eight(16), eight(24), eight(32), eight(40));
        Ok(Stamp { index, term, cluster_id, member_id })
    }

    /// Everything after the title.
    fn blocks(&mut self) -> Result<(), CheckpointError> {
        // Payloads that no whole item has been read from: at most one item, and one block.
        let mut pending = Vec::new();
        let mut payload = vec![0; MAX_CHUNK];
        loop {
            let start = self.offset;
            let (end, length) = self.block(&mut payload)?;
            if end {
                let totals = [self.count.to_le_bytes(), self.bytes.to_le_bytes()].concat();
                if !pending.is_empty() || payload[..length] != totals {
                    return Err(damaged(start, "items are missing"));
                }
                return self.end();
            }
            self.bytes += length as u64;
            pending.extend_from_slice(&payload[..length]);
            let used = self.items(start, &pending)?;
            pending.drain(..used);
        }
    }

    /// The next block's payload: whether it is the end, and how many bytes.
    fn block(&mut self, payload: &mut [u8]) -> Result<(bool, usize), CheckpointError> {
        let start = self.offset;
        let mut head = [0; HEAD];
        self.take(&mut head)?;
        let end = head[..4] == END;
        let length = four(&head, 4) as usize;
        let sound = (end || head[..4] == BLOCK) && (1..=MAX_CHUNK - HEAD).contains(&length);
        if !sound || four(&head, 8) != self.blocks {
            return Err(damaged(start, "there is no block where one must be"));
        }
        self.take(&mut payload[..length])?;
        self.checksum = crc32c::crc32c_append(self.checksum, &head[..12]);
        self.checksum = crc32c::crc32c_append(self.checksum, &payload[..length]);
        if four(&head, 12) != self.checksum {
            return Err(damaged(start, "the bytes of a block have changed"));
        }
        self.blocks = self.blocks.wrapping_add(1);
        Ok((end, length))
    }

    /// Reads whole items, and says how many bytes they took.
    fn items(&mut self, block: u64, bytes: &[u8]) -> Result<usize, CheckpointError> {
        let mut used = 0;
        loop {
            let mut fields = Fields::new(&bytes[used..]);
            let body = match fields.bytes() {
                Ok(body) => body,
                // The next block has the rest.
                Err(DecodeError::Short) => return Ok(used),
                Err(error) => return Err(damaged(block, error.to_string())),
            };
            let item = item(body).map_err(|error| damaged(block, error.to_string()))?;
            self.builder.push(item).map_err(|error| misfit(block, &error))?;
            self.count += 1;
            used = bytes.len() - fields.left();
        }
    }

    fn end(&mut self) -> Result<(), CheckpointError> {
        match self.from.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => Err(damaged(self.offset, "bytes follow the end of the checkpoint")),
            Err(source) => Err(CheckpointError::Io { offset: self.offset, source }),
        }
    }
}

fn four(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn item(body: &[u8]) -> Result<Item, DecodeError> {
    let mut fields = Fields::new(body);
    let kind = fields.byte()?;
    let item = match kind {
        HEAD_ITEM => Item::Head {
            revision: fields.signed()?,
            compacted: fields.signed()?,
            leases: fields.number()?,
            versions: fields.number()?,
        },
        LEASE => Item::Lease { id: fields.signed()?, ttl: fields.signed()? },
        PUT | DELETE => version(kind, &mut fields)?,
        _ => return Err(DecodeError::Field("kind of item")),
    };
    fields.end()?;
    Ok(item)
}

fn version(kind: u8, fields: &mut Fields<'_>) -> Result<Item, DecodeError> {
    let mod_revision = fields.signed()?;
    let sub = fields.signed()?;
    // A copy: a slice would keep the whole buffer in memory.
    let key = Bytes::copy_from_slice(fields.bytes()?);
    let mut kv = KeyValue {
        key,
        value: Bytes::new(),
        create_revision: 0,
        mod_revision,
        version: 0,
        lease: 0,
    };
    if kind == DELETE {
        return Ok(Item::Version { sub, kind: EventKind::Delete, kv: Arc::new(kv) });
    }
    kv.value = Bytes::copy_from_slice(fields.bytes()?);
    kv.create_revision = fields.signed()?;
    kv.version = fields.signed()?;
    kv.lease = fields.signed()?;
    Ok(Item::Version { sub, kind: EventKind::Put, kv: Arc::new(kv) })
}
