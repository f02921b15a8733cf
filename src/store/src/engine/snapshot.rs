//! The whole store as a stream of bytes, for backups. Start at [`SnapshotStream::start`]. The state is
//! the one of the start; later writes neither wait for the stream nor are in it.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::checkpoint::{Stamp, chunks};

/// Chunks that are made ahead of the reader: at most about a quarter of a MiB.
const AHEAD: usize = 4;

/// A backup on its way; its bytes are a checkpoint's.
#[derive(Debug)]
pub struct SnapshotStream {
    chunks: mpsc::Receiver<Bytes>,
    total: u64,
}

impl SnapshotStream {
    /// Makes the chunks on a thread of the runtime's for such work.
    pub(crate) fn start(state: mvcc::State, stamp: Stamp) -> SnapshotStream {
        let total = state.size();
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            for chunk in chunks(state, stamp) {
                if sender.blocking_send(Bytes::from(chunk)).is_err() {
                    return; // The reader has gone.
                }
            }
        });
        SnapshotStream { chunks: receiver, total }
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.chunks.recv().await
    }

    /// About how many bytes there will be.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }
}
