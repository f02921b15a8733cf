//! Connections that this room makes. Start at [`dial`], which makes one, and [`Backoff`], which says when
//! to try again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsConnector, TlsStream};

use super::candidates::addresses;
use super::greet::{Agreed, Failed, greet};
use super::hello::Purpose;
use super::refusal::Refusal;
use super::shared::Shared;
use super::socket::{tune, tune_for};
use super::tls::{ALPN, name};

/// How long an address may take to answer at all.
const CONNECT: Duration = Duration::from_secs(1);

/// How much later the next address is tried beside the one before (RFC 8305, section 5, says 250 ms for
/// the whole Internet).
const STAGGER: Duration = Duration::from_millis(100);

/// How long the handshake and the hello may take, at both ends; where this room dials, each of the two.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);

/// A connection that is ready to be used.
pub(super) struct Link {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) address: SocketAddr,
    pub(super) agreed: Agreed,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Problem {
    /// There is no candidate.
    Nobody,
    /// Nor is there one in the file, which may have some later.
    NotYet { file: PathBuf },
    /// The file of candidates cannot be read.
    File { file: PathBuf, error: io::Error },
    /// A line of it is no candidate; what a screen must not see is escaped.
    Line { file: PathBuf, number: usize, text: String },
    /// A name leads nowhere.
    Name { name: String, error: io::Error },
    /// An address does not answer.
    Unreachable { address: SocketAddr, error: io::Error },
    /// The handshake came to no end.
    Handshake { address: SocketAddr, error: io::Error },
    /// The rooms do not fit.
    Refused { address: SocketAddr, refusal: Refusal },
    /// The peer thinks so.
    RefusedThere { address: SocketAddr, sentence: String },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Nobody => f.write_str("no address of the other room is known"),
            Problem::NotYet { file } => {
                write!(f, "no address of the other room is known yet ({})", file.display())
            }
            Problem::File { file, error } => write!(f, "cannot read {}: {error}", file.display()),
            Problem::Line { file, number, text } => {
                write!(f, "{}, line {number}: `{text}` is no https://host:port", file.display())
            }
            Problem::Name { name, error } => write!(f, "{name}: {error}"),
            Problem::Unreachable { address, error } => write!(f, "{address}: {error}"),
            Problem::Handshake { address, error } => {
                write!(f, "{address}: the handshake failed: {error}")
            }
            Problem::Refused { address, refusal } => write!(f, "{address}: {refusal}"),
            Problem::RefusedThere { address, sentence } => {
                write!(f, "{address}: the other room refuses: {sentence}")
            }
        }
    }
}

/// Makes one connection to the other room: all candidates are looked up anew, and tried one shortly
/// after the other; the first that fits is used.
pub(super) async fn dial(shared: &Shared, purpose: Purpose) -> Result<Link, Vec<Problem>> {
    let (mut addresses, mut problems) = {
        let config = &shared.config;
        addresses(&config.peers, config.peers_file.as_deref()).await
    };
    // Where it was met before, it is found again most likely.
    let met = shared.met();
    addresses.sort_by_key(|address| Some(*address) != met);
    let mut tries: FuturesUnordered<_> = addresses
        .into_iter()
        .zip(0..)
        .map(|(address, place)| async move {
            sleep(STAGGER * place).await;
            (address, reach(shared, purpose, address).await)
        })
        .collect();
    while let Some((address, reached)) = tries.next().await {
        let made = match reached {
            Err(problem) => Err(problem),
            // Only one of them is greeted at a time: the peer would give up one for the other. None is
            // greeted before it has shown its certificate: a stranger who keeps still holds up nobody else.
            Ok(stream) => in_time(address, agree(shared, purpose, address, stream)).await,
        };
        match made {
            Ok(link) => return Ok(link),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        problems.push(Problem::Nobody);
    }
    Err(problems)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer in 1 s");
    let stream = timeout(CONNECT, TcpStream::connect(address)).await.map_err(late)??;
    tune(&stream)?;
    Ok(stream)
}

/// A connection on which the other room's certificate was seen.
async fn reach(
    shared: &Shared,
    purpose: Purpose,
    address: SocketAddr,
) -> Result<TlsStream<TcpStream>, Problem> {
    let stream = connect(address).await;
    let stream = stream.map_err(|error| Problem::Unreachable { address, error })?;
    in_time(address, secure(shared, purpose, address, stream)).await
}

/// The handshake or the hello, which may take [`HANDSHAKE`].
async fn in_time<T>(
    address: SocketAddr,
    step: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    timeout(HANDSHAKE, step).await.unwrap_or_else(|_| {
        let error = io::Error::new(io::ErrorKind::TimedOut, "no answer in 5 s");
        Err(Problem::Handshake { address, error })
    })
}

async fn secure(
    shared: &Shared,
    purpose: Purpose,
    address: SocketAddr,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Problem> {
    let expected = name(shared.config.room.other(), &shared.config.site);
    let failed = |error| failed(shared, address, error);
    tune_for(&stream, purpose).map_err(failed)?;
    let server = ServerName::try_from(expected).map_err(io::Error::other);
    let connector = TlsConnector::from(shared.identity.current().client);
    let connected = connector.connect(server.map_err(failed)?, stream).await;
    let stream = connected.map_err(failed)?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(failed(io::Error::other("no store answers there, but another program")));
    }
    Ok(stream.into())
}

async fn agree(
    shared: &Shared,
    purpose: Purpose,
    address: SocketAddr,
    mut stream: TlsStream<TcpStream>,
) -> Result<Link, Problem> {
    let own = shared.hello(Some(purpose));
    let agreed = greet(&mut stream, &own, None).await.map_err(|why| match why {
        Failed::Here(refusal) => Problem::Refused { address, refusal },
        Failed::There(sentence) => Problem::RefusedThere { address, sentence },
        Failed::Broke(error) => failed(shared, address, error),
    })?;
    Ok(Link { stream, address, agreed })
}

/// What a connection that broke means.
fn failed(shared: &Shared, address: SocketAddr, error: io::Error) -> Problem {
    let room = shared.config.room;
    let expected = name(room.other(), &shared.config.site);
    match Refusal::of_handshake(&error, room, &expected) {
        Some(refusal) => Problem::Refused { address, refusal },
        None => Problem::Handshake { address, error },
    }
}

/// How long to wait before the next try.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The shortest pause.
    pub(super) const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(2);

    /// The next pause: twice the one before, less up to a quarter by `chance`, so that two rooms that
    /// lost each other do not always try at one moment.
    pub(super) fn next(&mut self, chance: u8) -> Duration {
        let full = (Backoff::FIRST * 2_u32.pow(self.tries.min(10))).min(Backoff::LONGEST);
        self.tries = self.tries.saturating_add(1);
        full - full / 4 * u32::from(chance) / 255
    }
}

/// A number by chance.
pub(super) fn chance() -> u8 {
    let mut byte = [0];
    SystemRandom::new().fill(&mut byte).expect("the kernel gives random numbers");
    byte[0]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pauses_double_up_to_two_seconds() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..7).map(|_| backoff.next(0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(backoff.next(255).as_millis(), 1500);
        for _ in 0..100 {
            assert!(backoff.next(0) <= Backoff::LONGEST);
        }
    }
}
