//! Where is listened, and with which certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::super::{Listeners, ServeError};
use super::{get, put, start, start_in};
use crate::client::{Client, ClientError, ClientTls};
use crate::config::{Config, Raw};

/// An authority and what it signs, in a folder.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, folder: folder.to_owned() }
    }

    fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for this machine, and its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let paths =
            (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")));
        fs::write(&paths.0, signed.pem()).unwrap();
        fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn works(client: Result<Client, ClientError>) -> bool {
    let Ok(mut client) = client else { return false };
    client.kv.range(get("a")).await.is_ok()
}

#[tokio::test]
async fn sockets_of_every_kind_are_served_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (cert, key) = authority.sign("server");
    let plain = format!("unix://{}/plain.sock", folder.path().display());
    let secret = format!("unixs://{}/secret.sock", folder.path().display());
    let urls = format!("http://127.0.0.1:0,https://127.0.0.1:0,{plain},{secret}");
    // What is left of a store that was killed is in nobody's way.
    let stale = folder.path().join("plain.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let settings = [
        ("listen-client-urls", urls.as_str()),
        ("cert-file", text(&cert)),
        ("key-file", text(&key)),
    ];
    let server = start_in(folder, &settings).await;
    let tls = ClientTls { cacert: authority.ca(), own: None };
    assert_eq!(server.urls.len(), 4);
    for url in &server.urls {
        let mut client = Client::connect(url, Some(&tls)).await.unwrap();
        client.kv.put(put("a", url)).await.unwrap();
        let found = client.kv.range(get("a")).await.unwrap().into_inner();
        assert_eq!(found.kvs[0].value, url.as_str());
    }
    let mode = fs::metadata(&stale).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let untold = Client::connect(&server.urls[1], None).await.unwrap_err();
    assert!(matches!(untold, ClientError::NoAuthority { .. }), "{untold}");
    let other = tempfile::tempdir().unwrap();
    let wrong = ClientTls { cacert: Authority::new(other.path()).ca(), own: None };
    assert!(!works(Client::connect(&server.urls[1], Some(&wrong)).await).await);
    let sockets = server.folder.path().to_owned();
    let kept = server.folder.path().join("secret.sock");
    assert!(kept.exists());
    server.stop().await;
    assert!(!sockets.join("secret.sock").exists() && !stale.exists(), "sockets go with the store");
}

#[tokio::test]
async fn a_place_that_is_taken_is_named() {
    let server = start(&[]).await;
    let mut raw = Raw::default();
    raw.set("listen-client-urls", &server.urls[0]).unwrap();
    let error = Listeners::bind(&Config::try_from(raw).unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", server.urls[0]));
    server.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let _held = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut raw = Raw::default();
    raw.set("listen-client-urls", &format!("unix://{}", path.display())).unwrap();
    let error = Listeners::bind(&Config::try_from(raw).unwrap()).await.unwrap_err();
    assert!(matches!(error, ServeError::Listen { .. }), "{error}");
    assert!(path.exists(), "another's socket stays");
}

#[tokio::test]
async fn clients_need_a_certificate_where_authorities_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (cert, key) = authority.sign("server");
    let own = authority.sign("client");
    let ca = authority.ca();
    let settings = [
        ("listen-client-urls", "https://127.0.0.1:0"),
        ("cert-file", text(&cert)),
        ("key-file", text(&key)),
        ("trusted-ca-file", text(&ca)),
        ("client-cert-auth", "true"),
    ];
    let server = start_in(folder, &settings).await;
    let with = ClientTls { cacert: ca.clone(), own: Some(own) };
    assert!(works(Client::connect(&server.urls[0], Some(&with)).await).await);
    let without = ClientTls { cacert: ca.clone(), own: None };
    assert!(!works(Client::connect(&server.urls[0], Some(&without)).await).await);
    let other = tempfile::tempdir().unwrap();
    let stranger = Authority::new(other.path()).sign("client");
    let stranger = ClientTls { cacert: ca.clone(), own: Some(stranger) };
    assert!(!works(Client::connect(&server.urls[0], Some(&stranger)).await).await);
    server.stop().await;
}

#[tokio::test]
async fn certificates_that_change_are_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = Authority::new(folder.path());
    let (cert, key) = first.sign("server");
    let settings = [
        ("listen-client-urls", "https://127.0.0.1:0"),
        ("cert-file", text(&cert)),
        ("key-file", text(&key)),
    ];
    let server = start_in(folder, &settings).await;
    let url = server.urls[0].clone();
    let old = server.folder.path().join("old.pem");
    fs::copy(first.ca(), &old).unwrap();
    let trusts_old = ClientTls { cacert: old, own: None };
    assert!(works(Client::connect(&url, Some(&trusts_old)).await).await);
    // Half a change is no change: what can be used stays in use.
    fs::write(&key, "half a key").unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(works(Client::connect(&url, Some(&trusts_old)).await).await);
    let second = Authority::new(server.folder.path());
    second.sign("server");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let trusts_new = ClientTls { cacert: second.ca(), own: None };
    assert!(works(Client::connect(&url, Some(&trusts_new)).await).await);
    assert!(!works(Client::connect(&url, Some(&trusts_old)).await).await);
    server.stop().await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (cert, key) = authority.sign("server");
    let (_, other) = authority.sign("other");
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    let bind = async |cert: &Path, key: &Path| {
        let mut raw = Raw::default();
        raw.set("listen-client-urls", "https://127.0.0.1:0").unwrap();
        raw.set("cert-file", text(cert)).unwrap();
        raw.set("key-file", text(key)).unwrap();
        Listeners::bind(&Config::try_from(raw).unwrap()).await.unwrap_err().to_string()
    };
    let missing = folder.path().join("missing");
    assert_eq!(bind(&missing, &key).await, format!("cannot read {}", missing.display()));
    let text = format!("{} holds no certificate in PEM", empty.display());
    assert_eq!(bind(&empty, &key).await, text);
    let text = format!("{} holds no private key in PEM", empty.display());
    assert_eq!(bind(&cert, &empty).await, text);
    assert!(bind(&cert, &other).await.starts_with("the certificates cannot be used: "));
}
