//! Connections that this room makes. Start at [`dial`], which makes one, and [`Backoff`], which says when
//! to try again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsConnector, TlsStream};

use super::greet::{Agreed, Failed, greet};
use super::hello::Purpose;
use super::refusal::Refusal;
use super::shared::Shared;
use super::socket::{tune, tune_for};
use super::tls::{ALPN, name};

/// How long a name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(2);

/// How long an address may take to answer at all.
const CONNECT: Duration = Duration::from_secs(1);

/// How much later the next address is tried beside the one before (RFC 8305, section 5, says 250 ms for
/// the whole Internet).
const STAGGER: Duration = Duration::from_millis(100);

/// How long the handshake and the hello may take, at both ends.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);

/// The most addresses of all candidates that are tried.
const ADDRESSES: usize = 16;

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
    let (mut addresses, mut problems) = addresses(&shared.config.peers).await;
    // Where it was met before, it is found again most likely.
    let met = shared.met();
    addresses.sort_by_key(|address| Some(*address) != met);
    let mut tries: FuturesUnordered<_> = addresses
        .into_iter()
        .zip(0..)
        .map(|(address, place)| async move {
            sleep(STAGGER * place).await;
            (address, connect(address).await)
        })
        .collect();
    while let Some((address, connected)) = tries.next().await {
        let made = match connected {
            Err(error) => Err(Problem::Unreachable { address, error }),
            // Only one of them is greeted at a time: the peer would give up one for the other.
            Ok(stream) => match timeout(HANDSHAKE, open(shared, purpose, address, stream)).await {
                Ok(opened) => opened,
                Err(_) => {
                    let error = io::Error::new(io::ErrorKind::TimedOut, "no answer in 5 s");
                    Err(Problem::Handshake { address, error })
                }
            },
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

async fn open(
    shared: &Shared,
    purpose: Purpose,
    address: SocketAddr,
    stream: TcpStream,
) -> Result<Link, Problem> {
    let room = shared.config.room;
    let expected = name(room.other(), &shared.config.site);
    let failed = |error: io::Error| match Refusal::of_handshake(&error, room, &expected) {
        Some(refusal) => Problem::Refused { address, refusal },
        None => Problem::Handshake { address, error },
    };
    tune_for(&stream, purpose).map_err(failed)?;
    let server = ServerName::try_from(expected.clone()).map_err(io::Error::other);
    let connector = TlsConnector::from(shared.identity.current().client);
    let connected = connector.connect(server.map_err(failed)?, stream).await;
    let mut stream = connected.map_err(failed)?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(failed(io::Error::other("no store answers there, but another program")));
    }
    let own = shared.hello(Some(purpose));
    let agreed = greet(&mut stream, &own, None).await.map_err(|why| match why {
        Failed::Here(refusal) => Problem::Refused { address, refusal },
        Failed::There(sentence) => Problem::RefusedThere { address, sentence },
        Failed::Broke(error) => failed(error),
    })?;
    Ok(Link { stream: stream.into(), address, agreed })
}

/// What the candidates mean now, without repetition, and which names mean nothing.
async fn addresses(candidates: &[String]) -> (Vec<SocketAddr>, Vec<Problem>) {
    let lookups = candidates.iter().map(|name| async move {
        if let Ok(address) = name.parse::<SocketAddr>() {
            return Ok(vec![address]);
        }
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the name in 2 s");
        let found = timeout(LOOKUP, lookup_host(name)).await.map_err(late).and_then(|found| found);
        found
            .map(Iterator::collect::<Vec<_>>)
            .map_err(|error| Problem::Name { name: name.clone(), error })
    });
    let (mut addresses, mut problems) = (Vec::new(), Vec::new());
    for found in futures_util::future::join_all(lookups).await {
        match found {
            Err(problem) => problems.push(problem),
            Ok(found) => {
                for address in found {
                    if !addresses.contains(&address) && addresses.len() < ADDRESSES {
                        addresses.push(address);
                    }
                }
            }
        }
    }
    (addresses, problems)
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

    #[tokio::test]
    async fn candidates_are_addresses_and_names() {
        let names = ["[::1]:7", "127.0.0.1:7", "localhost:7", "127.0.0.1:7", "nowhere.invalid:7"];
        let names: Vec<String> = names.map(str::to_owned).to_vec();
        let (found, problems) = addresses(&names).await;
        let mut texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        texts.sort();
        assert_eq!(texts, ["127.0.0.1:7", "[::1]:7"], "each once");
        assert!(
            matches!(&problems[..], [Problem::Name { name, .. }] if name == "nowhere.invalid:7"),
            "{problems:?}"
        );
    }
}
