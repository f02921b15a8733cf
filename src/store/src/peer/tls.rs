//! Who this room is, and whom it believes: certificates of the site's own authority, for both ends of a
//! connection. Start at [`load`]. TLS 1.3 only, and no session is resumed: each connection shows its
//! certificates.

use std::path::PathBuf;
use std::sync::Arc;

use pair::Room;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::refusal::Refusal;
use crate::serve::ServeError;
use crate::serve::tls::{Renewed, authorities, certificates, key, unfit};

/// What both ends must ask for (RFC 7301): nothing else is spoken on this port.
pub(super) const ALPN: &[u8] = b"duet-peer/1";

/// Both ends' settings; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
}

/// The files of certificates.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ca: PathBuf,
}

/// The name in a room's certificate.
pub(super) fn name(room: Room, site: &str) -> String {
    format!("room-{room}.{site}.duet.internal")
}

/// Reads the certificates, and keeps them as they are from now on.
pub(super) fn load(files: Files) -> Result<Renewed<Ends>, ServeError> {
    let paths = vec![files.cert.clone(), files.key.clone(), files.ca.clone()];
    Renewed::load(paths, Box::new(move || ends(&files)))
}

fn ends(files: &Files) -> Result<Ends, ServeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(authorities(&files.ca)?);
    let (chain, secret) = (certificates(&files.cert)?, key(&files.key)?);

    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(unfit)?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain.clone(), secret.clone_key())
        .map_err(unfit)?;
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = Resumption::disabled();

    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(unfit)?
        .with_client_cert_verifier(verifier.build().map_err(unfit)?)
        .with_single_cert(chain, secret)
        .map_err(unfit)?;
    server.alpn_protocols = vec![ALPN.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Ends { client: Arc::new(client), server: Arc::new(server) })
}

/// Whether a client's certificate, whose chain was verified, names the other room. What a client may call
/// itself is not TLS's business, so it is asked here.
pub(super) fn check_name(
    chain: Option<&[CertificateDer<'_>]>,
    room: Room,
    expected: &ServerName<'_>,
) -> Option<Refusal> {
    let of = room.other();
    let Some(first) = chain.and_then(<[_]>::first) else {
        return Some(Refusal::Certificate { of, reason: "it has none".to_owned() });
    };
    let named = ParsedCertificate::try_from(first)
        .and_then(|parsed| rustls::client::verify_server_name(&parsed, expected));
    match named {
        Ok(()) => None,
        Err(rustls::Error::InvalidCertificate(why)) => {
            Some(Refusal::of_certificate(&why, room, &expected.to_str()))
        }
        Err(other) => Some(Refusal::Certificate { of, reason: other.to_string() }),
    }
}
