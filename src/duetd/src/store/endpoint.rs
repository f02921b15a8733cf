//! Where another store is and how to come in: the flags are etcdctl's. Start at [`Certificates`] and
//! [`within`].

use std::path::PathBuf;

use ::store::client::{Client, ClientError, ClientTls};
use clap::Args;

use super::ENDPOINT;

/// The certificates for an endpoint that begins with `https` or `unixs`.
#[derive(Debug, Default, Args)]
pub(crate) struct Certificates {
    /// Authorities that the server's certificate must come from, PEM
    #[arg(long, value_name = "FILE", env = "ETCDCTL_CACERT")]
    cacert: Option<PathBuf>,

    /// The certificate to show to the server, PEM
    #[arg(long, value_name = "FILE", requires = "key", env = "ETCDCTL_CERT")]
    cert: Option<PathBuf>,

    /// The key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert", env = "ETCDCTL_KEY")]
    key: Option<PathBuf>,
}

/// The store that a command asks.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The store
    #[arg(long, value_name = "URL", alias = "endpoints", default_value = ENDPOINT)]
    pub(crate) endpoint: String,

    #[command(flatten)]
    pub(crate) certificates: Certificates,
}

impl Certificates {
    /// What they are to a connection; none if there are none.
    pub(crate) fn tls(&self) -> Option<ClientTls> {
        let own = self.cert.clone().zip(self.key.clone());
        self.cacert.clone().map(|cacert| ClientTls { cacert, own })
    }

    /// Connects to the store at `endpoint`.
    pub(crate) async fn connect(self, endpoint: &str) -> Result<Client, ClientError> {
        Client::connect(endpoint, self.tls().as_ref()).await
    }
}

/// Carries out something that waits for the network.
pub(crate) fn within<T>(
    work: impl Future<Output = Result<T, miette::Report>>,
) -> Result<T, miette::Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| miette::miette!("cannot wait for the network: {error}"))?;
    runtime.block_on(work)
}
