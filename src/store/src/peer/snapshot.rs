//! A snapshot on a connection of its own. Start at [`send`] and [`receive`].
//!
//! ```text
//!  iterator ──► blocking thread ──► 1 MiB ──► TLS ──► 1 MiB ──► blocking thread ──► sink
//! ```
//!
//! First its head, then its bytes, then an end; then the receiver says whether it was taken. Where one end
//! is slow, the other waits. It has arrived when the end came, and not when the connection is over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, ReadHalf, split};
use tokio::net::TcpStream;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::frames::put;
use super::outbox::Batch;
use super::packet::{Packet, PacketError, Reader};
use super::shared::Shared;
use super::{Frame, SnapshotSink};

/// How many chunks wait between the thread that makes them and the connection; each is as large as the
/// iterator made it.
const CHUNKS_AHEAD: usize = 2;

/// How many packets wait for the sink: 1 MiB.
const PACKETS_AHEAD: usize = 16;

/// How long a sender may take to notice that its snapshot cannot be taken.
const LISTEN: Duration = Duration::from_secs(2);

/// What a receiver says at the end, if all is well. Anything else is why not.
const TAKEN: &[u8] = b"taken";

type Stream = TlsStream<TcpStream>;

/// What a snapshot is made of.
pub(super) type Chunks = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// A piece, or the end: a channel that merely closes is none.
enum Piece {
    Bytes(Bytes),
    End,
}

/// Sends a snapshot, and waits until the peer has taken it.
pub(super) async fn send(
    stream: Stream,
    head: Bytes,
    chunks: Chunks,
    shared: &Shared,
) -> io::Result<()> {
    let (reader, mut writer) = split(stream);
    let (pieces, mut ready) = mpsc::channel(CHUNKS_AHEAD);
    spawn_blocking(move || {
        for chunk in chunks {
            // Nobody waits for it any more.
            if pieces.blocking_send(Piece::Bytes(chunk.into())).is_err() {
                return;
            }
        }
        let _ = pieces.blocking_send(Piece::End);
    });
    let write = async {
        let mut rest = Some(Frame::from(head));
        while let Some(frame) = rest {
            let mut batch = Batch::default();
            rest = batch.put_piece(frame);
            put(&mut writer, &mut batch, shared).await?;
        }
        loop {
            let mut batch = Batch::default();
            match ready.recv().await {
                Some(Piece::Bytes(chunk)) => batch.put_parts(chunk),
                Some(Piece::End) => drop(batch.put_piece(Frame::default())),
                None => return Err(io::Error::other("it was not made to its end")),
            }
            let end = batch.messages > 0;
            put(&mut writer, &mut batch, shared).await?;
            if end {
                return Ok(());
            }
        }
    };
    // A peer that cannot go on says so while it is written to.
    let mut said = std::pin::pin!(verdict(reader, shared));
    tokio::select! {
        biased;
        early = &mut said => return early,
        written = write => written?,
    }
    said.await?;
    writer.shutdown().await
}

async fn verdict(reader: ReadHalf<Stream>, shared: &Shared) -> io::Result<()> {
    let mut reader = Reader::new(reader);
    let packet = reader.next().await?;
    shared.heard(reader.taken());
    match packet {
        Some(Packet::Message(word)) if &word[..] == TAKEN => Ok(()),
        Some(Packet::Message(why)) => {
            let why: String = String::from_utf8_lossy(&why).chars().take(256).collect();
            Err(io::Error::other(format!("the other room cannot take it: {why:?}")))
        }
        Some(_) => Err(PacketError::Misplaced.into()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Takes the peer's snapshot. `turn` is held for as long as a thread uses the sink: no two do.
pub(super) async fn receive(
    stream: Stream,
    turn: OwnedMutexGuard<()>,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let (reader, mut writer) = split(stream);
    let mut reader = Reader::new(reader);
    let head = match reader.next().await? {
        Some(Packet::Message(head)) => head,
        Some(_) => return Err(PacketError::Misplaced.into()),
        None => return Ok(()),
    };
    let (pieces, ready) = mpsc::channel(PACKETS_AHEAD);
    let handler = shared.handler.clone();
    let sink = spawn_blocking(move || {
        let sunk = sink(handler.snapshot(head), ready);
        drop(turn);
        sunk
    });
    let read = async {
        loop {
            let (bytes, last) = reader.piece().await?;
            shared.heard(reader.taken());
            if !bytes.is_empty() && pieces.send(Piece::Bytes(bytes)).await.is_err() {
                break;
            }
            if last {
                let _ = pieces.send(Piece::End).await;
                break;
            }
        }
        // What the thread has not seen yet stays for it.
        drop(pieces);
        io::Result::Ok(())
    };
    read.await?;
    let sunk = sink.await.map_err(io::Error::other)?;
    let word = sunk.as_ref().map_or_else(|error| error.to_string().into(), |()| TAKEN.to_vec());
    let mut batch = Batch::default();
    batch.put_piece(word.into());
    put(&mut writer, &mut batch, shared).await?;
    writer.shutdown().await?;
    if sunk.is_err() {
        // To close a socket that has something to read takes back what was written to it (RFC 1122,
        // section 4.2.2.13); the peer stops when it has read the word.
        let rest = async { while reader.piece().await.is_ok() {} };
        let _ = timeout(LISTEN, rest).await;
    }
    sunk
}

fn sink(mut sink: Box<dyn SnapshotSink>, mut ready: mpsc::Receiver<Piece>) -> io::Result<()> {
    loop {
        match ready.blocking_recv() {
            Some(Piece::Bytes(bytes)) => sink.write(&bytes)?,
            Some(Piece::End) => return sink.finish(),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
