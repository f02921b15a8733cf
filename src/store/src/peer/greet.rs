//! The conversation at the begin of a connection, the same at both ends. Start at [`greet`].
//!
//! ```text
//!  TLS ──► hello ──► ◄── hello ──► verdict ──► ◄── verdict ──► packets
//! ```
//!
//! Both say what they think of the other, so that both can tell a person.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::hello::{HELLO_BYTES, Hello, Verdict};
use super::refusal::Refusal;

/// What two rooms agreed on.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) peer: Hello,
    pub(super) version: u16,
}

/// Why they did not.
#[derive(Debug)]
pub(super) enum Failed {
    /// This room refuses.
    Here(Refusal),
    /// The peer refuses, with this sentence.
    There(String),
    /// The connection broke.
    Broke(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Broke(error)
    }
}

/// Speaks first, listens, and judges. `beforehand` is what is wrong with the peer already.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own: &Hello,
    beforehand: Option<Refusal>,
) -> Result<Agreed, Failed> {
    say(stream, &own.encode()).await?;
    let peer = Hello::decode(&hear(stream).await?);
    let judged = match (beforehand, &peer) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(refusal)) => Err(refusal.clone()),
        (None, Ok(peer)) => own.judge(peer),
    };
    say(stream, &Verdict::of(judged.as_ref().err()).encode()).await?;
    let theirs = hear(stream).await;
    let version = judged.map_err(Failed::Here)?;
    match Verdict::decode(&theirs?) {
        Ok(Verdict::Welcome) => Ok(Agreed { peer: peer.map_err(Failed::Here)?, version }),
        Ok(Verdict::Refused { sentence, .. }) => Err(Failed::There(sentence)),
        Err(refusal) => Err(Failed::Here(refusal)),
    }
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, text: &[u8]) -> io::Result<()> {
    let length = u16::try_from(text.len()).map_err(io::Error::other)?;
    let said = [&length.to_le_bytes()[..], text].concat();
    stream.write_all(&said).await?;
    stream.flush().await
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16_le().await?);
    if length > HELLO_BYTES {
        let error = format!("a hello of {length} bytes; {HELLO_BYTES} is the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await?;
    Ok(text)
}
