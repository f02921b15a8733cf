//! The store under Kubernetes: `duetd store`, or etcd itself to judge these tests. Start at
//! [`Store::start`]. It listens at a TCP port with mutual TLS and at a unix socket, as a site's does. Where
//! it is two rooms, each apiserver reaches its own room's by the socket ([`Below`]).

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pair::Room;
use tests::local_rooms::LocalRooms;
use tests::programs::plain;
use tests::server::{duetd, tool};

use crate::certs::Certs;
use crate::process::Program;

/// A way to the store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    /// TCP with mutual TLS.
    Tls,
    /// A unix socket.
    Socket,
    /// The unix socket of a room.
    Of(Room),
}

/// What is under the apiservers.
#[derive(Debug)]
pub(crate) enum Below {
    One(Box<Store>),
    Two(Box<LocalRooms>),
}

impl Below {
    /// The one store.
    pub(crate) fn one(&mut self) -> &mut Store {
        match self {
            Below::One(store) => store,
            Below::Two(_) => panic!("the cluster has a store in each room"),
        }
    }

    /// The two rooms' stores.
    pub(crate) fn two(&mut self) -> &mut LocalRooms {
        match self {
            Below::One(_) => panic!("the cluster has one store"),
            Below::Two(two) => two,
        }
    }

    /// The flags of an apiserver that reaches the store so.
    pub(crate) fn reached_through(&self, door: Door, certs: &Certs) -> Vec<String> {
        match (self, door) {
            (Below::One(store), door) => store.reached_through(door, certs),
            (Below::Two(two), Door::Of(room)) => reached_at(&two.socket(room)),
            (Below::Two(_), door) => panic!("a room's store has no {door:?}"),
        }
    }

    /// Panics if the store has ended by itself.
    pub(crate) fn must_run(&mut self) {
        // Rooms are waited for where it matters; they may be away.
        if let Below::One(store) = self {
            store.must_run();
        }
    }

    /// Asks it to end.
    pub(crate) fn stop(self) {
        match self {
            Below::One(store) => store.stop(),
            Below::Two(mut two) => {
                [Room::A, Room::B].map(|room| two.stop(room)).into_iter().collect()
            }
        }
    }
}

fn reached_at(socket: &Path) -> Vec<String> {
    vec![format!("--etcd-servers=unix://{}", socket.display())]
}

/// A store and its folder, which outlives a kill.
#[derive(Debug)]
pub(crate) struct Store {
    command: Command,
    log: PathBuf,
    port: u16,
    socket: PathBuf,
    program: Program,
    /// How it ends when it is asked to.
    good_end: Option<i32>,
}

impl Store {
    /// Starts one in a new folder below `folder`.
    pub(crate) fn start(folder: &Path, certs: &Certs) -> Store {
        let etcd = std::env::var("DUET_KUBE_STORE").is_ok_and(|store| store == "etcd");
        let mut command = if etcd { tool("usr/bin/etcd") } else { plain(duetd()) };
        let port = free_port();
        // A socket's path has at most 107 bytes, and the folder of the tests may be a deep one.
        let folder_of_socket = tempfile::Builder::new().prefix("duet-kube-").tempdir().unwrap();
        let socket = folder_of_socket.keep().join("store");
        let listen = format!("https://127.0.0.1:{port},unix://{}", socket.display());
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        if !etcd {
            command.arg("store");
        }
        command
            .arg("--log-level=warn")
            .arg(flag("data-dir", &folder.join("store")))
            .arg(format!("--listen-client-urls={listen}"))
            .arg(flag("cert-file", &certs.store.cert))
            .arg(flag("key-file", &certs.store.key))
            .arg(flag("trusted-ca-file", &certs.authority))
            .arg("--client-cert-auth");
        if etcd {
            let peer = format!("http://127.0.0.1:{}", free_port());
            command
                .arg(format!("--advertise-client-urls=https://127.0.0.1:{port}"))
                .arg(format!("--listen-peer-urls={peer}"))
                .arg(format!("--initial-advertise-peer-urls={peer}"))
                .arg(format!("--initial-cluster=default={peer}"));
        }
        let log = folder.join("store.log");
        let program = Program::start("store", &command, &log);
        Store { command, log, port, socket, program, good_end: (!etcd).then_some(0) }
    }

    fn reached_through(&self, door: Door, certs: &Certs) -> Vec<String> {
        match door {
            Door::Tls => vec![
                format!("--etcd-servers=https://127.0.0.1:{}", self.port),
                format!("--etcd-cafile={}", certs.authority.display()),
                format!("--etcd-certfile={}", certs.store_client.cert.display()),
                format!("--etcd-keyfile={}", certs.store_client.key.display()),
            ],
            Door::Socket => reached_at(&self.socket),
            Door::Of(room) => panic!("one store has no room {room}"),
        }
    }

    /// Ends it as a power cut would, and starts it again on what it had written.
    pub(crate) fn kill_and_start(&mut self) {
        self.program.kill();
        self.program = Program::start("store", &self.command, &self.log);
    }

    fn must_run(&mut self) {
        self.program.must_run();
    }

    fn stop(mut self) {
        let end = self.program.terminate(Duration::from_secs(30));
        assert_eq!(end, self.good_end, "{}", self.log.display());
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(folder) = self.socket.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// A port of the loopback that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
