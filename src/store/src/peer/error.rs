//! Why the link cannot begin, and why a call has no answer.

use std::io;
use std::net::SocketAddr;

use crate::serve::ServeError;

/// The link cannot begin.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PeerError {
    /// An address to listen on cannot be had.
    #[error("cannot listen on {address} for the other room")]
    #[diagnostic(
        code(network::store_peer_listen),
        help(
            "`ss -ltnp` shows who listens there; `ip address` shows the addresses of this machine"
        )
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("the certificates for the link between the rooms cannot be used")]
    #[diagnostic(
        code(input::store_peer_tls),
        help("docs/store.md says which files there are and how they are made")
    )]
    Certificates(#[source] ServeError),
    /// The site has a name that no certificate can have.
    #[error("`{site}` is no name of a site")]
    #[diagnostic(
        code(input::store_peer_site),
        help("a name has 1 to 63 of: a-z, 0-9 and `-`, and does not begin or end with `-`")
    )]
    Site {
        /// What was given.
        site: String,
    },
}

/// A call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing of it was sent.
    #[error("there is no connection to the other room")]
    NoConnection,
    /// The time is over. The peer may have done it, or may still do it.
    #[error("the other room did not answer in time")]
    TimedOut,
    /// The connection broke, or the peer could not finish. Whether it was done is not known.
    #[error("the connection to the other room broke before the answer")]
    BrokeOff,
    /// Too many wait for answers, or too many bytes. Nothing of it was sent.
    #[error("too many requests wait for the other room")]
    TooManyWaiting,
    /// The request is longer than a message may be. Nothing of it was sent.
    #[error("the request is too large for the other room")]
    TooLarge,
}
