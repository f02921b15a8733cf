//! A snapshot of the other room as it comes: its bytes become a state while they arrive. Start at
//! [`Incoming::begin`].

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::{Buf, Bytes};
use mvcc::State;
use pair::{Message, wire};

use crate::checkpoint::{self, CheckpointError};
use crate::engine::Engine;
use crate::peer::SnapshotSink;

/// Chunks that may wait for the reader.
const AHEAD: usize = 16;

/// See the module.
pub(super) struct Incoming {
    engine: Engine,
    head: Bytes,
    chunks: Option<SyncSender<Bytes>>,
    reader: Option<JoinHandle<Result<State, CheckpointError>>>,
}

impl Incoming {
    pub(super) fn begin(engine: Engine, head: Bytes) -> Incoming {
        let (chunks, received) = sync_channel(AHEAD);
        let reader = std::thread::Builder::new().name("duet-snapshot".into()).spawn(move || {
            let mut reader = Chunks { received, current: Bytes::new() };
            checkpoint::read(&mut reader).map(|(state, _)| state)
        });
        Incoming { engine, head, chunks: Some(chunks), reader: reader.ok() }
    }
}

impl SnapshotSink for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let broken = || io::Error::other("the snapshot cannot be read");
        let chunks = self.chunks.as_ref().ok_or_else(broken)?;
        chunks.send(Bytes::copy_from_slice(bytes)).map_err(|_| broken())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        drop(self.chunks.take());
        let reader =
            self.reader.take().ok_or_else(|| io::Error::other("no thread to read with"))?;
        let read = reader.join().map_err(|_| io::Error::other("reading broke off"))?;
        let state = read.map_err(io::Error::other)?;
        let message: Message = wire::decode(&self.head).map_err(io::Error::other)?;
        self.engine.hear_snapshot(message, state);
        Ok(())
    }
}

/// The chunks as one stream of bytes.
struct Chunks {
    received: Receiver<Bytes>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.received.recv() {
                Ok(chunk) => self.current = chunk,
                Err(_) => return Ok(0), // The end, which a checkpoint itself tells from a tear.
            }
        }
        let count = into.len().min(self.current.len());
        self.current.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
