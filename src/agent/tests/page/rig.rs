//! A site's authority, its certificates, and a page that is served. Start at [`Site::new`] and
//! [`Served::start`]. What is started is stopped when it is dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent::page::bundle::Bundler;
use agent::page::{Board, Limits, Server};
use agent::{Files, View};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A site with its own authority.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Site {
    pub(crate) fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.path().join("ca.crt"), params.self_signed(&key).unwrap().pem())
            .unwrap();
        Site { folder, issuer: Issuer::new(params, key) }
    }

    /// A certificate with this name, such as `room-a.harbour.duet.internal`.
    pub(crate) fn files(&self, name: &str) -> Files {
        let path = |ending: &str| self.folder.path().join(format!("{name}.{ending}"));
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ServerAuth, ClientAuth];
        std::fs::write(path("crt"), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        let authority = self.folder.path().join("ca.crt");
        Files { certificate: path("crt"), key: path("key"), authority }
    }
}

pub(crate) const ROOM_A: &str = "room-a.harbour.duet.internal";
pub(crate) const ROOM_B: &str = "room-b.harbour.duet.internal";
pub(crate) const OPERATOR: &str = "operator.harbour.duet.internal";

/// A page that is served.
pub(crate) struct Served {
    pub(crate) board: Board,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
}

/// One of the views beside these tests.
pub(crate) fn view(name: &str) -> View {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/views/{name}.json"));
    View::read(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn nothing_to_bundle() -> Bundler {
    Bundler::new(Path::new("/nowhere"), Path::new("/nowhere"))
}

impl Served {
    pub(crate) fn start(files: Files, view: View) -> Served {
        let at = ([127, 0, 0, 1], 0).into();
        Served::start_with(files, view, at, Limits::default(), nothing_to_bundle())
    }

    pub(crate) fn start_with(
        files: Files,
        view: View,
        at: SocketAddr,
        limits: Limits,
        bundler: Bundler,
    ) -> Served {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let board = Board::new(view);
        let (stop, stopped) = oneshot::channel::<()>();
        let site = "harbour".parse().unwrap();
        let server = runtime.block_on(async { Server::bind_at(files, &site, at) }).unwrap();
        let server = server.limited(limits);
        let address = server.addresses()[0];
        let shown = board.clone();
        runtime.spawn(server.run(shown, bundler, async {
            let _ = stopped.await;
        }));
        Served { board, address, stop: Some(stop), runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(4));
        }
    }
}

/// Asks again until it is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}
