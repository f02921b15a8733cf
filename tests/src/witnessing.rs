//! The witness of two rooms: the library that `duetd witness` runs, with real sockets, certificates and
//! files. Start at [`Witness::start`].

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use witness::definition::Generation;
use witness::disk::{RealDisk, Use};
use witness::serve::{ServeError, Server, Settings};
use witness::{DEFAULT_SERVER_NAME, Keeper, edit};

use crate::certificates::Authority;

/// How long it has to end.
const ENDING: Duration = Duration::from_secs(10);

/// A witness that runs, or is about to run again.
#[derive(Debug)]
pub struct Witness {
    data: PathBuf,
    /// Where it listens, with the port that was chosen.
    address: SocketAddr,
    own: (PathBuf, PathBuf),
    ca: PathBuf,
    runtime: Runtime,
    running: Option<Running>,
}

/// What ends it, and its end.
#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Witness {
    /// Adds a site, whose authority's certificate is given, and serves it at this address.
    ///
    /// # Panics
    /// If it cannot.
    #[must_use]
    pub fn start(folder: &Path, site: &str, site_ca: &str, address: SocketAddr) -> Witness {
        let authority = Authority::new(folder, "witness");
        let own = authority.sign("witness", DEFAULT_SERVER_NAME);
        let data = folder.join("witness");
        let runtime = Runtime::new().expect("threads can be started");
        let mut witness =
            Witness { data, address, own, ca: authority.file, runtime, running: None };
        let disk = RealDisk::open(&witness.data, Use::Edit).expect("the folder can be written");
        let name = site.parse().expect("it is a label");
        let generation = Generation::new(7).expect("it is not 0");
        edit::add(&disk, &name, site_ca, generation).expect("the site is new");
        drop(disk);
        witness.go_on();
        witness
    }

    /// What the rooms' command line says of it, which reach it at these hosts.
    #[must_use]
    pub fn words(&self, hosts: &[&str]) -> Vec<String> {
        let url = |host: &&str| format!("https://{host}:{}", self.address.port());
        vec![
            "--authority=witness".to_owned(),
            format!("--witness-urls={}", hosts.iter().map(url).collect::<Vec<_>>().join(",")),
            format!("--witness-trusted-ca-file={}", self.ca.display()),
        ]
    }

    /// Ends it; what it holds stays.
    pub fn stop(&mut self) {
        let Some(Running { stop, task }) = self.running.take() else { return };
        let _ = stop.send(());
        let ended = self.runtime.block_on(async { tokio::time::timeout(ENDING, task).await });
        assert!(ended.is_ok() || std::thread::panicking(), "the witness does not end");
    }

    /// Has it run again, with what it holds.
    ///
    /// # Panics
    /// If it runs, or cannot.
    pub fn go_on(&mut self) {
        assert!(self.running.is_none(), "the witness runs already");
        let disk = RealDisk::open(&self.data, Use::Serve).expect("the folder is no other one's");
        let keeper = Keeper::start(Arc::new(disk)).expect("the folder can be read");
        let settings = Settings::new(vec![self.address], self.own.0.clone(), self.own.1.clone());
        let server = self.runtime.block_on(Server::bind(settings, keeper));
        let server = server.expect("the address is free");
        self.address = server.addresses()[0];
        let (stop, stopped) = oneshot::channel::<()>();
        let task = self.runtime.spawn(server.run(async { drop(stopped.await) }));
        self.running = Some(Running { stop, task });
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop();
    }
}
