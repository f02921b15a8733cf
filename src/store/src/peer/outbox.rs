//! What waits to be written on a connection. Start at [`Outbox::push`] and [`Outbox::batch`].
//!
//! Urgent messages go first. Small ones share a write; large ones are cut, so that what is urgent goes
//! between their pieces. Nobody waits here: what does not fit is not taken.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Mutex, MutexGuard};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::Notify;

use super::Frame;
use super::packet::{HEADER_BYTES, Header, Kind, MESSAGE_BYTES, PACKET_BYTES};

/// How much may wait before further messages are dropped. The last one that is taken may reach beyond it,
/// so that one of the longest is taken, too.
pub const QUEUE_BYTES: usize = 64 << 20;

/// How much may wait that is urgent: some thousand heartbeats, so that a full queue does not silence a room.
const URGENT_BYTES: usize = 1 << 20;

/// What a message costs besides its bytes, so that empty ones are bounded, too.
const ENTRY_BYTES: usize = 128;

/// How much is written at once.
const BATCH_BYTES: usize = 64 << 10;

/// The most buffers in a batch; a message that is not copied has two or three.
const BATCH_PARTS: usize = 512;

/// Messages up to so many bytes are copied together: that costs less than a buffer for each piece.
const COPIED_BYTES: usize = 4 << 10;

/// A queue with one reader.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    urgent: VecDeque<(Kind, Frame)>,
    urgent_bytes: usize,
    bulk: VecDeque<Item>,
    bulk_bytes: usize,
    /// What is left of a message whose begin is written.
    begun: Option<Frame>,
    closed: bool,
}

#[derive(Debug)]
struct Item {
    frame: Frame,
    tag: u64,
}

/// What was never begun, or broke off, when a connection ended.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// The tags of the messages of which nothing was written.
    pub(super) tags: Vec<u64>,
    /// All messages that were not written as a whole, urgent ones included.
    pub(super) messages: u64,
}

impl Outbox {
    /// Takes a message; false if it is dropped. The tag is for [`Outbox::end`]; urgent ones have none.
    pub(super) fn push(&self, frame: Frame, urgent: bool, tag: u64) -> bool {
        let length = frame.len();
        if length > MESSAGE_BYTES {
            return false;
        }
        if urgent && length <= PACKET_BYTES {
            return self.push_urgent(Kind::Urgent, frame);
        }
        let mut waiting = self.lock();
        if waiting.closed || waiting.bulk_bytes > QUEUE_BYTES {
            return false;
        }
        waiting.bulk_bytes += length + ENTRY_BYTES;
        waiting.bulk.push_back(Item { frame, tag });
        drop(waiting);
        self.more.notify_one();
        true
    }

    /// Takes a ping or a pong.
    pub(super) fn push_number(&self, kind: Kind, number: u64) -> bool {
        self.push_urgent(kind, Bytes::copy_from_slice(&number.to_le_bytes()).into())
    }

    fn push_urgent(&self, kind: Kind, frame: Frame) -> bool {
        let mut waiting = self.lock();
        if waiting.closed || waiting.urgent_bytes > URGENT_BYTES {
            return false;
        }
        waiting.urgent_bytes += frame.len() + ENTRY_BYTES;
        waiting.urgent.push_back((kind, frame));
        drop(waiting);
        self.more.notify_one();
        true
    }

    /// Waits for something to write; nothing once the outbox is closed and empty.
    pub(super) async fn batch(&self) -> Option<Batch> {
        loop {
            {
                let mut waiting = self.lock();
                let batch = waiting.batch();
                if batch.has_remaining() {
                    return Some(batch);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.more.notified().await;
        }
    }

    /// Takes no more; what waits can still be written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_one();
    }

    /// Takes no more, and gives back what waits.
    pub(super) fn end(&self) -> Leftover {
        let mut waiting = self.lock();
        waiting.closed = true;
        let begun = usize::from(waiting.begun.take().is_some());
        let messages = begun + waiting.bulk.len() + waiting.urgent.len();
        waiting.urgent.clear();
        let tags = waiting.bulk.drain(..).map(|item| item.tag).collect();
        Leftover { tags, messages: messages as u64 }
    }

    /// How many bytes wait, with what each message costs.
    pub(super) fn waiting_bytes(&self) -> usize {
        let waiting = self.lock();
        waiting.bulk_bytes + waiting.urgent_bytes
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("a thread that panics ends the process")
    }
}

impl Waiting {
    fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        while batch.has_room() {
            let Some((kind, frame)) = self.urgent.pop_front() else { break };
            self.urgent_bytes -= frame.len() + ENTRY_BYTES;
            batch.put(kind, frame);
        }
        while batch.has_room() {
            let frame = match self.begun.take() {
                Some(rest) => rest,
                None => {
                    let Some(item) = self.bulk.pop_front() else { break };
                    self.bulk_bytes -= ENTRY_BYTES;
                    item.frame
                }
            };
            self.bulk_bytes -= frame.len().min(PACKET_BYTES);
            self.begun = batch.put_piece(frame);
        }
        batch
    }
}

/// What goes out in one write.
#[derive(Debug, Default)]
pub(super) struct Batch {
    parts: VecDeque<Bytes>,
    /// What comes behind the parts: small messages, and headers.
    copied: BytesMut,
    bytes: usize,
    /// How many messages end in it.
    pub(super) messages: u64,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.bytes < BATCH_BYTES && self.parts.len() < BATCH_PARTS
    }

    fn put(&mut self, kind: Kind, frame: Frame) {
        let header = Header { kind, length: frame.len() }.encode();
        self.messages += u64::from(matches!(kind, Kind::End | Kind::Urgent));
        self.bytes += HEADER_BYTES + frame.len();
        self.copied.extend_from_slice(&header);
        if frame.len() <= COPIED_BYTES {
            frame.pieces.iter().for_each(|piece| self.copied.extend_from_slice(piece));
            return;
        }
        self.parts.push_back(self.copied.split().freeze());
        self.parts.extend(frame.pieces.into_iter().filter(|piece| !piece.is_empty()));
    }

    /// Puts as much of a message as a packet holds, and gives back what is left.
    pub(super) fn put_piece(&mut self, mut frame: Frame) -> Option<Frame> {
        if frame.len() <= PACKET_BYTES {
            self.put(Kind::End, frame);
            return None;
        }
        let first = frame.split_to(PACKET_BYTES);
        self.put(Kind::Part, first);
        Some(frame)
    }

    /// Puts pieces of something of which more follows.
    pub(super) fn put_parts(&mut self, bytes: Bytes) {
        let mut frame = Frame::from(bytes);
        while !frame.is_empty() {
            let first = frame.split_to(PACKET_BYTES);
            self.put(Kind::Part, first);
        }
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&self.copied, |part| part)
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let copied = Some(&self.copied[..]).filter(|copied| !copied.is_empty());
        let parts = self.parts.iter().map(|part| &part[..]).chain(copied);
        into.iter_mut().zip(parts).map(|(slot, part)| *slot = IoSlice::new(part)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(front) = self.parts.front_mut() {
            if front.len() > count {
                return front.advance(count);
            }
            count -= front.len();
            self.parts.pop_front();
        }
        self.copied.advance(count);
    }
}
