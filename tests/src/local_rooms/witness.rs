//! The witness of two rooms: the library that `duetd witness` runs, on a port of the loopback. Start at
//! [`Witness::start`].

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;
use witness::definition::Generation;
use witness::disk::{RealDisk, Use};
use witness::serve::{Server, Settings};
use witness::{DEFAULT_SERVER_NAME, Keeper, edit};

use super::certificates::Authority;

/// A witness that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Witness {
    /// What the rooms' command lines say of it.
    pub(super) words: Vec<String>,
    _runtime: Runtime,
}

impl Witness {
    /// Begins one that knows a site.
    pub(super) fn start(folder: &Path, site: &str, authority: &Authority) -> Witness {
        let own = Authority::new(folder, "witness");
        let (cert_file, key_file) = own.sign("witness", DEFAULT_SERVER_NAME);
        let data = folder.join("witness");
        let disk = RealDisk::open(&data, Use::Edit).expect("the folder can be written");
        let name = site.parse().expect("it is a label");
        let generation = Generation::new(1).expect("it is not 0");
        edit::add(&disk, &name, &authority.pem(), generation).expect("the site is new");
        drop(disk);
        let disk = RealDisk::open(&data, Use::Serve).expect("nobody else serves the folder");
        let keeper = Keeper::start(Arc::new(disk)).expect("the folder can be read");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let runtime = Runtime::new().expect("threads can be started");
        let server = Server::bind(Settings::new(vec![any], cert_file, key_file), keeper);
        let server = runtime.block_on(server).expect("the loopback has free ports");
        let words = vec![
            "--authority=witness".to_owned(),
            format!("--witness-urls=https://{}", server.addresses()[0]),
            format!("--witness-trusted-ca-file={}", own.file.display()),
        ];
        drop(runtime.spawn(server.run(std::future::pending())));
        Witness { words, _runtime: runtime }
    }
}
