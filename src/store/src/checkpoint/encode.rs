//! From a state to the bytes of a checkpoint. Start at [`chunks`]. The state is taken apart as the
//! bytes are asked for; they are never all in memory.

use mvcc::{EventKind, Item, Items, State};

use super::{BLOCK, END, FORMAT, HEAD, MAGIC, MAX_CHUNK, Stamp, TITLE};
use crate::record::field::{put_bytes, put_number};

pub(super) const HEAD_ITEM: u8 = 1;
pub(super) const LEASE: u8 = 2;
pub(super) const PUT: u8 = 3;
pub(super) const DELETE: u8 = 4;

/// The bytes of a checkpoint, in pieces of at most 64 KiB.
#[derive(Debug)]
pub struct Chunks {
    stamp: Option<Stamp>,
    items: Option<Items>,
    /// Encoded items, and how much of them has been given.
    payload: Vec<u8>,
    given: usize,
    /// One item's body, while it is made.
    body: Vec<u8>,
    count: u64,
    bytes: u64,
    blocks: u32,
    checksum: u32,
}

/// Takes a state apart into the bytes of a checkpoint.
#[must_use]
pub fn chunks(state: State, stamp: Stamp) -> Chunks {
    Chunks {
        stamp: Some(stamp),
        items: Some(state.into_items()),
        payload: Vec::new(),
        given: 0,
        body: Vec::new(),
        count: 0,
        bytes: 0,
        blocks: 0,
        checksum: 0,
    }
}

impl Chunks {
    fn title(&mut self, stamp: &Stamp) -> Vec<u8> {
        let mut title = Vec::with_capacity(TITLE);
        title.extend(MAGIC);
        title.extend(FORMAT.to_le_bytes());
        title.extend([0; 4]);
        for number in [stamp.index, stamp.term, stamp.cluster_id, stamp.member_id] {
            title.extend(number.to_le_bytes());
        }
        title.resize(TITLE - 4, 0);
        self.checksum = crc32c::crc32c(&title);
        title.extend(self.checksum.to_le_bytes());
        title
    }

    fn block(&mut self, magic: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut block = Vec::with_capacity(HEAD + payload.len());
        block.extend(magic);
        block.extend((payload.len() as u32).to_le_bytes());
        block.extend(self.blocks.to_le_bytes());
        self.checksum = crc32c::crc32c_append(self.checksum, &block);
        self.checksum = crc32c::crc32c_append(self.checksum, payload);
        block.extend(self.checksum.to_le_bytes());
        block.extend_from_slice(payload);
        // Blocks are 64 KiB: the number turns over after 256 TiB, and then still counts.
        self.blocks = self.blocks.wrapping_add(1);
        block
    }

    /// Encodes items until there is a block's payload, or no more.
    fn gather(&mut self, items: &mut Items) -> bool {
        if self.given == self.payload.len() {
            self.payload.clear();
            self.given = 0;
        }
        while self.payload.len() - self.given < MAX_CHUNK - HEAD {
            let Some(item) = items.next() else { return false };
            self.body.clear();
            put_item(&mut self.body, &item);
            put_bytes(&mut self.payload, &self.body);
            self.count += 1;
        }
        true
    }
}

impl Iterator for Chunks {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(stamp) = self.stamp.take() {
            return Some(self.title(&stamp));
        }
        let mut items = self.items.take()?;
        let more = self.gather(&mut items);
        let payload = std::mem::take(&mut self.payload);
        let end = payload.len().min(self.given + MAX_CHUNK - HEAD);
        if !more && self.given == end {
            let mut totals = self.count.to_le_bytes().to_vec();
            totals.extend(self.bytes.to_le_bytes());
            return Some(self.block(END, &totals));
        }
        let block = self.block(BLOCK, &payload[self.given..end]);
        self.bytes += (end - self.given) as u64;
        (self.given, self.payload, self.items) = (end, payload, Some(items));
        // What is left of one large value is not moved about.
        if self.given >= MAX_CHUNK && self.payload.len() - self.given < MAX_CHUNK {
            self.payload.drain(..self.given);
            self.given = 0;
        }
        Some(block)
    }
}

fn put_item(out: &mut Vec<u8>, item: &Item) {
    match item {
        Item::Head { revision, compacted, leases, versions } => {
            out.push(HEAD_ITEM);
            put_number(out, *revision as u64);
            put_number(out, *compacted as u64);
            put_number(out, *leases);
            put_number(out, *versions);
        }
        Item::Lease { id, ttl } => {
            out.push(LEASE);
            put_number(out, *id as u64);
            put_number(out, *ttl as u64);
        }
        Item::Version { sub, kind, kv } => {
            out.push(if *kind == EventKind::Put { PUT } else { DELETE });
            put_number(out, kv.mod_revision as u64);
            put_number(out, *sub as u64);
            put_bytes(out, &kv.key);
            if *kind == EventKind::Put {
                put_bytes(out, &kv.value);
                put_number(out, kv.create_revision as u64);
                put_number(out, kv.version as u64);
                put_number(out, kv.lease as u64);
            }
        }
    }
}
