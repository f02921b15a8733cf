//! The cluster under test: a store, apiservers and controllers on this computer's loopback. Start at
//! [`Cluster::start`]. Two apiservers may run at once, as the two rooms of a site will have it.
//!
//! There is no kubelet and no scheduler: nothing here runs a container.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tests::local_rooms::{LocalRooms, Setup};
use tests::programs::{kept, plain};
use tests::run::{Said, run};

use crate::api::Api;
use crate::certs::Certs;
use crate::process::{Program, wait_for};
use crate::store::{Below, Door, Store, free_port};

/// An apiserver needs ten seconds of one idle processor.
const STARTING: Duration = Duration::from_secs(120);

/// How long an event of Kubernetes lives here; an hour by default. From 20 s on, the apiserver lets
/// the events of one second share a lease.
pub(crate) const EVENT_TTL: Duration = Duration::from_secs(25);

/// Between two compactions; five minutes by default.
pub(crate) const COMPACTION: Duration = Duration::from_secs(4);

/// Words of an apiserver's log that tell of a store which does not do what etcd does.
const BAD_WORDS: [&str; 7] = [
    "Unimplemented",
    "panic",
    "consistency check failed",
    "non-create event",
    "nil prevKv",
    "RequestWatchProgress feature is not supported",
    "required revision is a future revision",
];

/// All programs of the cluster. What it started ends with it.
#[derive(Debug)]
pub(crate) struct Cluster {
    peers: PathBuf,
    folder: PathBuf,
    certs: Certs,
    apiservers: Vec<Apiserver>,
    controllers: Option<Program>,
    /// Last, so that it outlives those who use it.
    pub(crate) store: Below,
}

#[derive(Debug)]
struct Apiserver {
    name: &'static str,
    program: Program,
}

impl Cluster {
    /// Starts on one store. `peers` holds the programs of Kubernetes.
    pub(crate) fn start(peers: PathBuf) -> Cluster {
        Cluster::on(peers, "kube", |folder, certs| {
            Below::One(Box::new(Store::start(folder, certs)))
        })
    }

    /// Starts on a store in two rooms; who grants is named as `--authority` has it.
    pub(crate) fn start_in_two_rooms(peers: PathBuf, grants: &str) -> Cluster {
        let name = format!("kube-{}", grants.replace(':', "-"));
        Cluster::on(peers, &name, |folder, _| {
            let setup = Setup::new(folder.join("rooms")).granted_by(grants);
            Below::Two(Box::new(LocalRooms::start(setup)))
        })
    }

    fn on(peers: PathBuf, name: &str, store: impl FnOnce(&Path, &Certs) -> Below) -> Cluster {
        let folder = kept(name);
        // The logs of the run before go with everything else.
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir_all(folder.join("certs")).unwrap();
        let certs = Certs::make(&folder.join("certs"));
        let store = store(&folder, &certs);
        Cluster { peers, folder, certs, apiservers: Vec::new(), controllers: None, store }
    }

    /// Starts an apiserver that reaches the store through `door`, and waits until it is ready. Its
    /// name is a letter: it also becomes the last part of the address that it tells others.
    pub(crate) fn start_apiserver(&mut self, name: &'static str, door: Door) -> Api {
        let port = free_port();
        let log = self.folder.join(format!("apiserver-{name}.log"));
        let mut command = plain(self.peers.join("kube-apiserver"));
        command
            .args(self.apiserver_flags(name, port))
            .args(self.store.reached_through(door, &self.certs));
        let program = Program::start(&format!("kube-apiserver {name}"), &command, &log);
        self.apiservers.push(Apiserver { name, program });
        self.write_kubeconfig(name, port);

        let api = Api::new(&self.certs, port);
        wait_for("an apiserver is ready", STARTING, || {
            self.must_run();
            let answer = api.send("GET", "/readyz", None);
            answer.ok().filter(|answer| answer.is_good())
        });
        api
    }

    fn apiserver_flags(&self, name: &str, port: u16) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let Certs { authority, apiserver, accounts, .. } = &self.certs;
        // RFC 5737: addresses that are nobody's. A loopback address would be refused.
        let letter = name.bytes().next().unwrap_or(b'a') - b'a';
        let own = self.folder.join(format!("certs-{name}"));
        [
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--advertise-address=192.0.2.{}", letter + 1),
            format!("--cert-dir={}", path(&own)),
            format!("--client-ca-file={}", path(authority)),
            format!("--tls-cert-file={}", path(&apiserver.cert)),
            format!("--tls-private-key-file={}", path(&apiserver.key)),
            "--service-account-issuer=https://kubernetes.duet.test".to_owned(),
            format!("--service-account-key-file={}", path(&accounts.cert)),
            format!("--service-account-signing-key-file={}", path(&accounts.key)),
            "--authorization-mode=RBAC".to_owned(),
            "--feature-gates=WatchList=true,ConsistentListFromCache=true".to_owned(),
            format!("--etcd-compaction-interval={}s", COMPACTION.as_secs()),
            "--etcd-count-metric-poll-period=5s".to_owned(),
            "--etcd-db-metric-poll-interval=5s".to_owned(),
            format!("--event-ttl={}s", EVENT_TTL.as_secs()),
            "--watch-cache-sizes=secrets#0".to_owned(),
            "--delete-collection-workers=8".to_owned(),
        ]
        .to_vec()
    }

    /// The controllers that these tests need, at one apiserver. `election` is how they elect their leader:
    /// how long its lease lasts, how long it tries to renew it, and how often, in seconds.
    pub(crate) fn start_controllers(&mut self, apiserver: &str, election: [u8; 3]) {
        let [lasts, tries, every] = election;
        let mut command = plain(self.peers.join("kube-controller-manager"));
        command.arg(format!("--kubeconfig={}", self.kubeconfig(apiserver).display())).args([
            "--controllers=namespace-controller,garbage-collector-controller,resourcequota-controller",
            "--secure-port=0",
            "--kube-api-qps=400",
            "--kube-api-burst=800",
        ]);
        command
            .arg(format!("--leader-elect-lease-duration={lasts}s"))
            .arg(format!("--leader-elect-renew-deadline={tries}s"))
            .arg(format!("--leader-elect-retry-period={every}s"));
        let log = self.folder.join("controllers.log");
        self.controllers = Some(Program::start("kube-controller-manager", &command, &log));
    }

    /// Ends an apiserver as a power cut would.
    pub(crate) fn kill_apiserver(&mut self, name: &str) {
        let at = self.apiservers.iter().position(|one| one.name == name).unwrap();
        self.apiservers.remove(at).program.kill();
    }

    /// Runs kubectl at an apiserver, and it ends well.
    #[track_caller]
    pub(crate) fn kubectl(&self, apiserver: &str, args: &[&str]) -> Said {
        let mut command = plain(self.peers.join("kubectl"));
        command.env("HOME", &self.folder).env("KUBECONFIG", self.kubeconfig(apiserver)).args(args);
        run(&mut command, Duration::from_secs(120)).well()
    }

    /// Writes a file that kubectl can be given.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Panics if one of the programs has ended by itself.
    pub(crate) fn must_run(&mut self) {
        self.store.must_run();
        self.apiservers.iter_mut().for_each(|one| one.program.must_run());
        self.controllers.iter_mut().for_each(Program::must_run);
    }

    /// Ends everything in good order, and returns what an apiserver said that it should not have.
    pub(crate) fn stop(mut self) -> Vec<String> {
        drop(self.controllers.take());
        let mut complaints = Vec::new();
        for mut one in self.apiservers.drain(..) {
            one.program.kill();
            let said = one.program.said();
            let bad = said.lines().filter(|line| BAD_WORDS.iter().any(|word| line.contains(word)));
            complaints.extend(bad.map(|line| format!("apiserver {}: {line}", one.name)));
        }
        self.store.stop();
        complaints
    }

    fn kubeconfig(&self, apiserver: &str) -> PathBuf {
        self.folder.join(format!("kubeconfig-{apiserver}"))
    }

    fn write_kubeconfig(&self, name: &str, port: u16) {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "duet", "cluster": {
                "server": format!("https://127.0.0.1:{port}"),
                "certificate-authority": self.certs.authority,
            }}],
            "users": [{ "name": "admin", "user": {
                "client-certificate": self.certs.admin.cert,
                "client-key": self.certs.admin.key,
            }}],
            "contexts": [{ "name": "duet", "context": { "cluster": "duet", "user": "admin" } }],
            "current-context": "duet",
        });
        fs::write(self.kubeconfig(name), config.to_string()).unwrap();
    }
}
