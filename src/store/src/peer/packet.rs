//! How messages are cut into packets on a connection, and put together again. Start at [`Header`], which
//! is all of the format, and [`Reader`].
//!
//! ```text
//!  ┌──────┬───────────────┬──────────────────┐
//!  │ kind │ length (LE24) │ payload          │   at most 64 KiB of payload
//!  └──────┴───────────────┴──────────────────┘
//! ```
//!
//! A large message goes as many packets, so that an urgent one waits for 64 KiB at most and not for the
//! 64 MiB that a write may have.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

/// The longest payload of a packet: what an urgent message may have to wait for.
pub const PACKET_BYTES: usize = 64 << 10;

/// The longest message: the largest request that a store can be told to take (64 MiB), and room for what
/// stands around it.
pub const MESSAGE_BYTES: usize = 65 << 20;

/// The length of a header.
pub const HEADER_BYTES: usize = 4;

/// How much is read from a connection at once.
const BUFFER: usize = 64 << 10;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A piece of a message; more follow.
    Part,
    /// The last piece of a message, or all of it.
    End,
    /// A whole message that overtakes the pieces of others.
    Urgent,
    /// A number to be sent back.
    Ping,
    /// The number of a ping.
    Pong,
}

/// The begin of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// How many bytes of it.
    pub length: usize,
}

/// Bytes that no peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// A kind that there is not.
    #[error("a packet of the kind {0}, which there is not")]
    Kind(u8),
    /// More than a packet holds.
    #[error("a packet of {0} bytes; {PACKET_BYTES} is the most")]
    Long(usize),
    /// A ping of another length.
    #[error("a ping of {0} bytes instead of 8")]
    Ping(usize),
    /// A message that grows beyond the longest.
    #[error("a message of more than {MESSAGE_BYTES} bytes")]
    Message,
    /// A packet that has no place on this connection.
    #[error("a packet of a kind that does not belong on this connection")]
    Misplaced,
}

impl From<PacketError> for io::Error {
    fn from(error: PacketError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl Header {
    /// Its bytes.
    ///
    /// # Panics
    /// If the payload is longer than [`PACKET_BYTES`].
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        assert!(self.length <= PACKET_BYTES, "{} bytes in one packet", self.length);
        let kind = match self.kind {
            Kind::Part => 0,
            Kind::End => 1,
            Kind::Urgent => 2,
            Kind::Ping => 3,
            Kind::Pong => 4,
        };
        let length = (self.length as u32).to_le_bytes();
        [kind, length[0], length[1], length[2]]
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`PacketError`].
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Header, PacketError> {
        let [kind, length @ ..] = bytes;
        let length = u32::from_le_bytes([length[0], length[1], length[2], 0]) as usize;
        let kind = match kind {
            0 => Kind::Part,
            1 => Kind::End,
            2 => Kind::Urgent,
            3 => Kind::Ping,
            4 => Kind::Pong,
            kind => return Err(PacketError::Kind(kind)),
        };
        if length > PACKET_BYTES {
            return Err(PacketError::Long(length));
        }
        if matches!(kind, Kind::Ping | Kind::Pong) && length != 8 {
            return Err(PacketError::Ping(length));
        }
        Ok(Header { kind, length })
    }
}

/// What a [`Reader`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A message, put together.
    Message(Bytes),
    /// An urgent message.
    Urgent(Bytes),
    /// A number to be sent back.
    Ping(u64),
    /// A number that came back.
    Pong(u64),
}

/// Reads packets. Holds one unfinished message and what was read ahead: no more than twice
/// [`MESSAGE_BYTES`], since it grows as a vector does, whatever comes.
#[derive(Debug)]
pub struct Reader<R> {
    source: BufReader<R>,
    unfinished: Vec<u8>,
    taken: u64,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `source`.
    pub fn new(source: R) -> Reader<R> {
        Reader {
            source: BufReader::with_capacity(BUFFER, source),
            unfinished: Vec::new(),
            taken: 0,
        }
    }

    /// The next message, ping or pong; nothing when the peer has ended the connection between two packets.
    ///
    /// # Errors
    /// If the connection breaks, or its bytes are none of a peer's ([`PacketError`]).
    pub async fn next(&mut self) -> io::Result<Option<Packet>> {
        loop {
            let Some(header) = self.header().await? else {
                let whole = self.unfinished.is_empty();
                return if whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            };
            let packet = match header.kind {
                Kind::Part => {
                    self.gather(header.length).await?;
                    continue;
                }
                Kind::End if self.unfinished.is_empty() => {
                    Packet::Message(self.payload(header.length).await?)
                }
                Kind::End => {
                    self.gather(header.length).await?;
                    // Whoever keeps a message keeps its bytes and nothing else.
                    Packet::Message(std::mem::take(&mut self.unfinished).into_boxed_slice().into())
                }
                Kind::Urgent => Packet::Urgent(self.payload(header.length).await?),
                Kind::Ping => Packet::Ping(self.source.read_u64_le().await?),
                Kind::Pong => Packet::Pong(self.source.read_u64_le().await?),
            };
            return Ok(Some(packet));
        }
    }

    /// The next piece of something that is never held as a whole, and whether it is the last.
    ///
    /// # Errors
    /// If the connection breaks or ends, or its bytes are none of a peer's.
    pub async fn piece(&mut self) -> io::Result<(Bytes, bool)> {
        let header = self.header().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let last = match header.kind {
            Kind::Part => false,
            Kind::End => true,
            _ => return Err(PacketError::Misplaced.into()),
        };
        Ok((self.payload(header.length).await?, last))
    }

    /// How many bytes came since this was asked before.
    pub fn taken(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    async fn header(&mut self) -> io::Result<Option<Header>> {
        let mut bytes = [0; HEADER_BYTES];
        if self.source.read(&mut bytes[..1]).await? == 0 {
            return Ok(None);
        }
        self.source.read_exact(&mut bytes[1..]).await?;
        let header = Header::decode(bytes)?;
        self.taken += (HEADER_BYTES + header.length) as u64;
        Ok(Some(header))
    }

    /// A payload with memory of its own: a small message that is kept for long must not keep the buffer
    /// that it came in.
    async fn payload(&mut self, length: usize) -> io::Result<Bytes> {
        let mut payload = vec![0; length];
        self.source.read_exact(&mut payload).await?;
        Ok(payload.into())
    }

    async fn gather(&mut self, length: usize) -> io::Result<()> {
        let start = self.unfinished.len();
        if start + length > MESSAGE_BYTES {
            return Err(PacketError::Message.into());
        }
        self.unfinished.resize(start + length, 0);
        self.source.read_exact(&mut self.unfinished[start..]).await?;
        Ok(())
    }
}
