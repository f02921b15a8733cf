//! Requests, and their answers on the same connection. Start at `Caller` for those of this room, at
//! `answer` for those of the peer, and at [`Ask`] for the bytes.
//!
//! The peer drops a request whose time is over, and says so; until then it counts as waiting, so that
//! neither room ever holds more than the bounds here.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::error::CallError;
use super::frame::Frame;
use super::frames::put;
use super::outbox::Outbox;
use super::packet::{MESSAGE_BYTES, Packet, PacketError, Reader};
use super::shared::Shared;

/// The most requests that wait for answers at once: more than clients have on one connection at a time.
pub const CALLS: usize = 4096;

/// How many bytes of requests may wait before no further one is taken.
pub const CALL_BYTES: usize = 64 << 20;

/// The longest time that a request may take.
const LONGEST: Duration = Duration::from_secs(600);

/// What stands before a request: its number, and how many milliseconds it has.
const ASK_BYTES: usize = 12;

/// What stands before an answer: the request's number, and what became of it.
const ANSWER_BYTES: usize = 9;

/// The longest request and answer.
const CONTENT_BYTES: usize = MESSAGE_BYTES - ASK_BYTES;

type Stream = TlsStream<TcpStream>;

/// The begin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Repeated in the answer; no two that wait have the same.
    pub number: u64,
    /// How long the peer may work on it, in milliseconds.
    pub timeout_ms: u32,
}

impl Ask {
    /// Its bytes; the request goes behind them.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ASK_BYTES);
        bytes.put_u64_le(self.number);
        bytes.put_u32_le(self.timeout_ms);
        bytes
    }

    /// Takes one off the begin of a message; nothing if the message is shorter.
    #[must_use]
    pub fn decode(message: &mut Bytes) -> Option<Ask> {
        let long = message.len() >= ASK_BYTES;
        long.then(|| Ask { number: message.get_u64_le(), timeout_ms: message.get_u32_le() })
    }
}

/// The begin of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's.
    pub number: u64,
    /// What became of it.
    pub end: End,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered; the answer follows.
    Answered,
    /// Its time was over.
    Late,
    /// Its answer is too large, or too many wait to be sent.
    NoRoom,
}

impl Reply {
    /// Its bytes; the answer goes behind them.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ANSWER_BYTES);
        bytes.put_u64_le(self.number);
        bytes.put_u8(match self.end {
            End::Answered => 0,
            End::Late => 1,
            End::NoRoom => 2,
        });
        bytes
    }

    /// Takes one off the begin of a message; nothing if it is none.
    #[must_use]
    pub fn decode(message: &mut Bytes) -> Option<Reply> {
        if message.len() < ANSWER_BYTES {
            return None;
        }
        let number = message.get_u64_le();
        let end = match message.get_u8() {
            0 => End::Answered,
            1 => End::Late,
            2 => End::NoRoom,
            _ => return None,
        };
        Some(Reply { number, end })
    }
}

/// This room's requests on one connection.
#[derive(Debug, Default)]
pub(super) struct Caller {
    outbox: Outbox,
    waiting: Mutex<Waiting>,
}

type Outcome = Result<Bytes, CallError>;

#[derive(Debug, Default)]
struct Waiting {
    calls: HashMap<u64, Call>,
    bytes: usize,
    next: u64,
    ended: bool,
}

#[derive(Debug)]
struct Call {
    answer: oneshot::Sender<Outcome>,
    bytes: usize,
}

impl Caller {
    /// Sends a request. Its outcome comes, or the connection ended and dropped it.
    pub(super) fn begin(
        &self,
        request: Bytes,
        time: Duration,
    ) -> Result<oneshot::Receiver<Outcome>, CallError> {
        if request.len() > CONTENT_BYTES {
            return Err(CallError::TooLarge);
        }
        let mut waiting = self.lock();
        if waiting.ended {
            return Err(CallError::NoConnection);
        }
        if waiting.calls.len() >= CALLS || waiting.bytes > CALL_BYTES {
            return Err(CallError::TooManyWaiting);
        }
        let number = waiting.next;
        let timeout_ms = u32::try_from(time.min(LONGEST).as_millis()).unwrap_or(u32::MAX);
        let head = Ask { number, timeout_ms }.encode();
        let bytes = request.len();
        let frame = Frame::new(vec![head.into(), request]);
        if !self.outbox.push(frame, false, number) {
            return Err(CallError::TooManyWaiting);
        }
        let (answer, outcome) = oneshot::channel();
        waiting.next += 1;
        waiting.bytes += bytes;
        waiting.calls.insert(number, Call { answer, bytes });
        Ok(outcome)
    }

    /// Writes requests and reads answers until the connection ends or the caller is closed.
    pub(super) async fn run(&self, stream: Stream, shared: &Shared) -> io::Result<()> {
        let (reader, writer) = split(stream);
        tokio::select! {
            ended = write(writer, &self.outbox, shared) => ended,
            ended = self.answers(reader, shared) => ended,
        }
    }

    async fn answers(&self, reader: ReadHalf<Stream>, shared: &Shared) -> io::Result<()> {
        let mut reader = Reader::new(reader);
        loop {
            let packet = reader.next().await?;
            shared.heard(reader.taken());
            match packet {
                None => return Ok(()),
                Some(Packet::Message(mut message) | Packet::Urgent(mut message)) => {
                    let reply = Reply::decode(&mut message).ok_or(PacketError::Misplaced)?;
                    let answer = match reply.end {
                        End::Answered => Ok(message),
                        End::Late => Err(CallError::TimedOut),
                        End::NoRoom => Err(CallError::BrokeOff),
                    };
                    if !self.settle(reply.number, answer) {
                        return Err(io::Error::other("an answer to no request"));
                    }
                }
                Some(_) => return Err(PacketError::Misplaced.into()),
            }
        }
    }

    fn settle(&self, number: u64, outcome: Outcome) -> bool {
        let mut waiting = self.lock();
        let Some(call) = waiting.calls.remove(&number) else { return false };
        waiting.bytes -= call.bytes;
        drop(waiting);
        // Whoever asked may have gone.
        let _ = call.answer.send(outcome);
        true
    }

    /// The connection is over: who waits hears it, and whether the request can have reached the peer.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        for number in self.outbox.end().tags {
            self.settle(number, Err(CallError::NoConnection));
        }
        let rest = std::mem::take(&mut self.lock().calls);
        for call in rest.into_values() {
            let _ = call.answer.send(Err(CallError::BrokeOff));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("a thread that panics ends the process")
    }
}

async fn write(mut writer: WriteHalf<Stream>, outbox: &Outbox, shared: &Shared) -> io::Result<()> {
    while let Some(mut batch) = outbox.batch().await {
        put(&mut writer, &mut batch, shared).await?;
    }
    writer.shutdown().await
}

/// Answers the peer's requests until the connection ends; those that are under way then are dropped.
pub(super) async fn answer(stream: Stream, shared: &Arc<Shared>) -> io::Result<()> {
    let (reader, writer) = split(stream);
    let outbox = Arc::new(Outbox::default());
    tokio::select! {
        ended = write(writer, &outbox, shared) => ended,
        ended = requests(reader, &outbox, shared) => ended,
    }
}

async fn requests(
    reader: ReadHalf<Stream>,
    outbox: &Arc<Outbox>,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let mut reader = Reader::new(reader);
    let mut running: JoinSet<usize> = JoinSet::new();
    let mut bytes = 0;
    loop {
        // Not within a select: a packet that is half read must not be forgotten.
        let packet = reader.next().await?;
        shared.heard(reader.taken());
        while let Some(done) = running.try_join_next() {
            bytes -= done.unwrap_or(0);
        }
        let mut message = match packet {
            None => return Ok(()),
            Some(Packet::Message(message)) => message,
            Some(_) => return Err(PacketError::Misplaced.into()),
        };
        let ask = Ask::decode(&mut message).ok_or(PacketError::Misplaced)?;
        // Twice, since one that was just answered may still be counted here.
        if running.len() >= 2 * CALLS || bytes > 2 * CALL_BYTES {
            return Err(io::Error::other("the other room asks more at once than it may"));
        }
        shared.meter.calls_received.add(1);
        let length = message.len();
        bytes += length;
        let (outbox, shared) = (outbox.clone(), shared.clone());
        running.spawn(async move {
            let time = Duration::from_millis(ask.timeout_ms.into()).min(LONGEST);
            let answer = timeout(time, shared.handler.call(message)).await.ok();
            give(&outbox, ask.number, answer);
            length
        });
    }
}

/// Puts an answer where it is written from; none if it came too late.
fn give(outbox: &Outbox, number: u64, answer: Option<Bytes>) {
    let mut end = End::Late;
    if let Some(answer) = answer {
        let head = Reply { number, end: End::Answered }.encode();
        if outbox.push(Frame::new(vec![head.into(), answer]), false, 0) {
            return;
        }
        end = End::NoRoom;
    }
    let head = Reply { number, end }.encode();
    // If even this has no room, the connection is as good as broken, and is about to be.
    if !outbox.push(head.into(), true, 0) {
        outbox.close();
    }
}
