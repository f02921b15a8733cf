//! The connection for frames, at both ends. Start at [`send`] and [`receive`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_rustls::TlsStream;

use super::outbox::{Batch, Outbox};
use super::packet::{HEADER_BYTES, Header, Kind, Packet, PacketError, Reader};
use super::shared::Shared;

/// Between two pings.
const PING: Duration = Duration::from_secs(1);

/// How long no pong may come. A kernel that lives hides a program that does not; but a busy line with deep
/// buffers may hold a pong back for some seconds.
const SILENCE: Duration = Duration::from_secs(10);

type Stream = TlsStream<TcpStream>;

/// Sends what is in the outbox until the connection breaks, or until the outbox is closed, empty, and the
/// peer has seen the end.
pub(super) async fn send(stream: Stream, outbox: &Outbox, shared: &Shared) -> io::Result<()> {
    let (reader, writer) = split(stream);
    tokio::select! {
        ended = write(writer, outbox, shared) => ended,
        ended = pongs(reader, shared) => ended,
        () = pings(outbox, shared) => Ok(()),
    }
}

async fn write(mut writer: WriteHalf<Stream>, outbox: &Outbox, shared: &Shared) -> io::Result<()> {
    while let Some(mut batch) = outbox.batch().await {
        let messages = batch.messages;
        match put(&mut writer, &mut batch, shared).await {
            Ok(()) => shared.meter.frames_sent.add(messages),
            Err(error) => {
                shared.meter.frames_dropped.add(messages);
                return Err(error);
            }
        }
    }
    writer.shutdown().await?;
    // The peer's end of the connection ends this one, so that nothing is lost on the way.
    std::future::pending().await
}

/// Writes a batch, all the way into the kernel: what comes next may be more urgent.
pub(super) async fn put<W: AsyncWrite + Unpin>(
    writer: &mut W,
    batch: &mut Batch,
    shared: &Shared,
) -> io::Result<()> {
    let bytes = batch.remaining() as u64;
    writer.write_all_buf(batch).await?;
    writer.flush().await?;
    shared.meter.bytes_sent.add(bytes);
    Ok(())
}

async fn pongs(reader: ReadHalf<Stream>, shared: &Shared) -> io::Result<()> {
    let mut reader = Reader::new(reader);
    let mut until = Instant::now() + SILENCE;
    loop {
        let packet = tokio::select! {
            packet = reader.next() => packet?,
            () = sleep_until(until) => {
                let reason = "the other room's kernel answers, its store does not";
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
        };
        shared.heard(reader.taken());
        match packet {
            None => return Ok(()),
            Some(Packet::Pong(sent_us)) => {
                let took = shared.now_us().saturating_sub(sent_us);
                shared.round_trip(Duration::from_micros(took));
                until = Instant::now() + SILENCE;
            }
            Some(_) => return Err(PacketError::Misplaced.into()),
        }
    }
}

async fn pings(outbox: &Outbox, shared: &Shared) {
    let mut ticks = interval_at(Instant::now(), PING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        outbox.push_number(Kind::Ping, shared.now_us());
    }
}

/// Gives what comes to the handler, until the connection ends. One frame is held at a time.
pub(super) async fn receive(stream: Stream, shared: &Arc<Shared>) -> io::Result<()> {
    let (reader, mut writer) = split(stream);
    let mut reader = Reader::new(reader);
    loop {
        let packet = reader.next().await?;
        shared.heard(reader.taken());
        match packet {
            None => return Ok(()),
            Some(Packet::Message(frame) | Packet::Urgent(frame)) => {
                shared.meter.frames_received.add(1);
                shared.handler.frame(frame);
            }
            Some(Packet::Ping(number)) => {
                let header = Header { kind: Kind::Pong, length: 8 }.encode();
                let mut pong = [0; HEADER_BYTES + 8];
                pong[..HEADER_BYTES].copy_from_slice(&header);
                pong[HEADER_BYTES..].copy_from_slice(&number.to_le_bytes());
                writer.write_all(&pong).await?;
                writer.flush().await?;
                shared.meter.bytes_sent.add(pong.len() as u64);
            }
            Some(Packet::Pong(_)) => return Err(PacketError::Misplaced.into()),
        }
    }
}
