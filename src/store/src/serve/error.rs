//! Why clients cannot be served.

use std::io;
use std::path::PathBuf;

use crate::engine::Failure;

/// Serving could not begin, or cannot go on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ServeError {
    /// A place to listen on cannot be had.
    #[error("cannot listen on {url}")]
    #[diagnostic(
        code(network::store_listen),
        help("is another store or etcd running? `ss -ltnp` and `ss -lxp` show who listens")
    )]
    Listen {
        /// The place.
        url: String,
        /// Why not.
        source: io::Error,
    },
    /// A file of certificates cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(code(input::store_tls), help("may the store's user read it?"))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of certificates holds none.
    #[error("{} holds no {what} in PEM", path.display())]
    #[diagnostic(
        code(input::store_tls),
        help("`openssl x509 -in FILE -noout -text` shows what it is")
    )]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The certificates do not fit together.
    #[error("the certificates cannot be used: {reason}")]
    #[diagnostic(
        code(input::store_tls),
        help("does the key belong to the certificate? Both have the same public key then")
    )]
    Certificate {
        /// Why not.
        reason: String,
    },
    /// The store cannot go on; the process must end.
    #[error("the store cannot go on")]
    #[diagnostic(
        code(durability::store_failed),
        help(
            "the disk failed; what was acknowledged is on it. See the kernel's log, then start again"
        )
    )]
    Failed(#[from] Failure),
}
