//! A message as its sender has it: in pieces, so that nobody copies a large value to put some bytes before
//! it.

use bytes::Bytes;

/// A message in pieces; the peer gets them as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    pub(super) pieces: Vec<Bytes>,
    length: usize,
}

impl Frame {
    /// A message of these pieces.
    #[must_use]
    pub fn new(pieces: Vec<Bytes>) -> Frame {
        let length = pieces.iter().map(Bytes::len).sum();
        Frame { pieces, length }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes the first so many bytes away, or all.
    pub(super) fn split_to(&mut self, count: usize) -> Frame {
        if count >= self.length {
            return std::mem::take(self);
        }
        let mut rest = count;
        let whole = self.pieces.iter().take_while(|piece| {
            let fits = piece.len() <= rest;
            rest -= if fits { piece.len() } else { 0 };
            fits
        });
        let whole = whole.count();
        let mut first: Vec<Bytes> = self.pieces.drain(..whole).collect();
        if rest > 0 {
            first.push(self.pieces[0].split_to(rest));
        }
        self.length -= count;
        Frame { pieces: first, length: count }
    }
}

impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Frame {
        Frame::new(vec![bytes])
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Frame {
        Bytes::from(bytes).into()
    }
}
