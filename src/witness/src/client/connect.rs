//! Making a connection: all addresses, one shortly after the other, until one answers as a witness should.
//! Start at [`connect`].

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Config;
use super::error::{AskError, Trouble};
use crate::count::lock;
use crate::tls::{Identity, TlsError, authorities, unfit};
use crate::wire::{self, Answer, Hello, Question, WireError};

/// How long an address has until the next one is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// A connection on which hellos were exchanged.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) address: String,
    /// Which of the settings' addresses it is.
    pub(crate) index: usize,
    socket: TlsStream<TcpStream>,
}

impl Line {
    /// Asks, and waits for the answer. Not to be used again if this was dropped half-way or failed.
    pub(crate) async fn exchange(
        &mut self,
        number: u64,
        question: &Question,
    ) -> Result<Answer, WireError> {
        wire::send(&mut self.socket, &wire::encode(number, question)).await?;
        let bytes = wire::receive(&mut self.socket).await?;
        match wire::decode(&bytes) {
            Ok((same, answer)) if same == number => Ok(answer),
            Ok((other, _)) => {
                Err(WireError::Malformed(format!("it answers {other}, and {number} was asked")))
            }
            Err((_, error)) => Err(error),
        }
    }
}

/// Connects to the address that answered last, or to another one.
///
/// # Errors
/// What an address said that answered; else why each cannot be reached.
pub(crate) async fn connect(
    config: &Config,
    good: usize,
    doing: &Mutex<String>,
) -> Result<Line, AskError> {
    if config.addresses.is_empty() {
        return Err(AskError::NoAddress);
    }
    let name = ServerName::try_from(config.server_name.clone())
        .map_err(|_| AskError::Name(config.server_name.clone()))?;
    let connector = TlsConnector::from(Arc::new(tls(config)?));
    let count = config.addresses.len();
    let mut waiting = (0..count).map(|step| (good + step) % count);
    let mut trials = JoinSet::new();
    let mut gone: Vec<String> = Vec::new();
    let mut said = None;
    *lock(doing) = format!("connecting to {}", config.addresses.join(", "));
    loop {
        if let Some(index) = waiting.next() {
            let (address, connector, name) =
                (config.addresses[index].clone(), connector.clone(), name.clone());
            trials.spawn(async move {
                let result = greet(&connector, &address, name).await;
                (address, index, result)
            });
        }
        let ended = match waiting.len() {
            0 => trials.join_next().await,
            _ => match tokio::time::timeout(STAGGER, trials.join_next()).await {
                Ok(ended) => ended,
                // The next one is tried beside it.
                Err(_) => continue,
            },
        };
        let Some(ended) = ended else { break };
        let Ok((address, index, result)) = ended else { continue };
        match result {
            Ok(socket) => return Ok(Line { address, index, socket }),
            Err(error) => match Trouble::of(&address, &config.server_name, error) {
                Trouble::Gone(reason) => gone.push(format!("{address}: {reason}")),
                Trouble::Final(error) => said = said.or(Some(error)),
            },
        }
        if trials.is_empty() && waiting.len() == 0 {
            break;
        }
    }
    Err(said.unwrap_or_else(|| AskError::Unreachable(gone.join("; "))))
}

async fn greet(
    connector: &TlsConnector,
    address: &str,
    name: ServerName<'static>,
) -> Result<TlsStream<TcpStream>, WireError> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut socket = connector.connect(name, socket).await?;
    Hello::decode(&wire::receive(&mut socket).await?)?;
    wire::send(&mut socket, &Hello::ours().encode()).await?;
    Ok(socket)
}

fn tls(config: &Config) -> Result<ClientConfig, TlsError> {
    let Identity { chain, key } = Identity::load(&config.cert_file, &config.key_file)?;
    let roots = authorities(&config.ca_file)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unfit)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(unfit)?;
    tls.resumption = Resumption::disabled();
    Ok(tls)
}
