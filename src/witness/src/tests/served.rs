//! A running witness, asked by real clients over real sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pair::witness::{Refusal, Reply, Request};
use pair::{GrantedBy, Register, Room};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::certificates::{Authority, But, config};
use super::{generation, name, room};
use crate::client::{AskError, Client, Config};
use crate::disk::{RealDisk, Use};
use crate::edit;
use crate::keeper::Keeper;
use crate::registers::tests::both;
use crate::serve::{Rate, ServeError, Server, Settings};
use crate::wire::Refused;

/// A witness in a folder of its own, with sites; `stop` it at the end.
pub(crate) struct Running {
    pub(crate) folder: TempDir,
    pub(crate) keeper: Keeper,
    pub(crate) address: SocketAddr,
    metrics: SocketAddr,
    authorities: Vec<(String, Authority)>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// Starts one that has these sites, of generation 3.
    pub(crate) async fn start(sites: &[&str], change: impl FnOnce(&mut Settings)) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let witness = Authority::new("witness");
        std::fs::write(folder.path().join("witness-ca.crt"), &witness.pem).unwrap();
        let files = witness.sign(folder.path(), &[crate::DEFAULT_SERVER_NAME], But::Nothing);
        let disk = RealDisk::open(folder.path().join("data"), Use::Serve).unwrap();
        let mut authorities = Vec::new();
        for site in sites {
            let authority = Authority::new(site);
            edit::add(&disk, &name(site), &authority.pem, generation(3)).unwrap();
            authorities.push(((*site).to_owned(), authority));
        }
        let keeper = Keeper::start(Arc::new(disk)).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut settings = Settings::new(vec![any], files.0, files.1);
        settings.metrics = vec![any];
        change(&mut settings);
        let server = Server::bind(settings, keeper.clone()).await.unwrap();
        let (address, metrics) = (server.addresses()[0], server.metrics_addresses()[0]);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async { drop(stopped.await) }));
        Running { folder, keeper, address, metrics, authorities, stop, task }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn authority(&self, site: &str) -> &Authority {
        &self.authorities.iter().find(|(name, _)| name == site).unwrap().1
    }

    pub(crate) fn config(&self, site: &str, letter: &str) -> Config {
        let dns = format!("room-{letter}.{site}.duet.internal");
        let files = self.authority(site).sign(self.path(), &[&dns], But::Nothing);
        config(self.path(), &self.address.to_string(), files)
    }

    pub(crate) fn client(&self, site: &str, letter: &str) -> Client {
        Client::new(self.config(site, letter))
    }

    async fn page(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(self.metrics).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut page = String::new();
        socket.read_to_string(&mut page).await.unwrap();
        page
    }

    /// Ends it; its folder stays until what is given is dropped.
    pub(crate) async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        self.folder
    }
}

pub(crate) fn asks(letter: &str, base: Register) -> Request {
    Request::Grant { room: room(letter), incarnation: 1, base }
}

#[tokio::test]
async fn one_room_of_each_site_is_granted() {
    let running = Running::start(&["x", "y"], |_| {}).await;
    let (a, b) = (running.client("x", "a"), running.client("x", "b"));
    assert_eq!(a.status(), crate::client::Status::default());
    assert_eq!(a.ask(Request::Report(both(4, 3))).await.unwrap(), Reply::Holds(both(4, 3)));
    let granted = both(4, 3).granted(Room::B, GrantedBy::Witness);
    assert_eq!(b.ask(asks("b", both(4, 3))).await.unwrap(), Reply::Granted(granted));
    let Reply::Refused { why, held, .. } = a.ask(asks("a", both(4, 3))).await.unwrap() else {
        panic!("two rooms were granted")
    };
    assert!(matches!(why, Refusal::NotInSync { .. }) && held == Some(granted));

    // The other site has nothing of it.
    let other = running.client("y", "a");
    assert_eq!(other.site().await.unwrap().held, None);
    let site = a.site().await.unwrap();
    assert_eq!((site.generation, site.held), (3, Some(granted)));
    assert!(site.changed_ms.is_some() && (500..4096).contains(&site.disk_bytes), "{site:?}");
    let status = a.status();
    assert!(status.connected && status.last_answer.is_some() && status.last_error.is_none());
    assert_eq!(status.address, Some(running.address.to_string()));

    // What the protocol refuses is an answer, and says why.
    let elsewhere = Register { cluster: 8, ..both(9, 3) };
    let refused = a.ask(Request::Report(elsewhere)).await.unwrap();
    assert!(matches!(refused, Reply::Refused { why: Refusal::OtherCluster, .. }), "{refused:?}");

    let page = running.page("/metrics").await;
    for line in [
        "duet_witness_sites 2\n",
        "duet_witness_answers_total{kind=\"grant\",outcome=\"granted\"} 1\n",
        "duet_witness_answers_total{kind=\"report\",outcome=\"refused\"} 1\n",
        "duet_witness_connections 3\n",
        "duet_witness_changes_total 2\n",
        "duet_witness_write_duration_seconds_count 2\n",
        "process_resident_memory_bytes ",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    assert!(running.page("/health").await.ends_with("\r\n\r\nok\n"));
    assert!(running.page("/").await.starts_with("HTTP/1.1 404"));
    running.stop().await;
}

#[tokio::test]
async fn a_broken_connection_and_a_dead_address_are_got_over() {
    let running = Running::start(&["x"], |settings| {
        settings.idle = Duration::from_millis(100);
    })
    .await;
    let mut config = running.config("x", "a");
    // Nobody listens at the first address: it was bound, and is free again.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.addresses.insert(0, dead.to_string());
    let client = Client::new(config);
    for _ in 0..3 {
        client.site().await.unwrap();
        // The witness closes a connection on which nothing comes.
        while running.keeper.counters.connections.get() > 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(running.keeper.counters.accepted.get(), 3);
    let _folder = running.stop().await;
    let error = client.site().await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot reach the witness: ") && error.contains("refused"),
        "{error}"
    );
    let status = client.status();
    assert!(!status.connected && status.last_answer.is_some());
    assert_eq!(status.last_error, Some(error));
}

#[tokio::test]
async fn a_silent_address_does_not_use_up_the_time_of_the_next() {
    let running = Running::start(&["x"], |_| {}).await;
    let mut config = running.config("x", "a");
    // It takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.addresses.insert(0, silent.local_addr().unwrap().to_string());
    let client = Client::new(config.clone());
    client.site().await.unwrap();
    assert_eq!(client.status().address, Some(running.address.to_string()));

    config.addresses.truncate(1);
    config.timeout = Duration::from_millis(50);
    let error = Client::new(config).site().await.unwrap_err();
    assert!(matches!(error, AskError::Timeout { .. }));
    let text = error.to_string();
    assert!(text.contains("within 50 ms: connecting to 127.0.0.1:"), "{text}");
    running.stop().await;
}

#[tokio::test]
async fn a_site_that_floods_is_told_to_wait_and_another_is_not() {
    let rate = Rate { per_second: 0.001, burst: 4.0 };
    let running = Running::start(&["x", "y"], |settings| settings.rate = rate).await;
    let flood = running.client("x", "a");
    let mut answered = 0;
    let error = loop {
        match flood.site().await {
            Ok(_) => answered += 1,
            Err(error) => break error,
        }
        assert!(answered < 10, "nothing stops it");
    };
    assert_eq!(answered, 3, "the connection itself counts as one");
    assert!(matches!(error, AskError::Refused(Refused::Busy { .. })), "{error}");
    assert!(error.to_string().contains("asks too often"), "{error}");
    running.client("y", "a").site().await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn sites_added_while_it_runs_are_known_within_a_second() {
    let running = Running::start(&[], |_| {}).await;
    let authority = Authority::new("late");
    let disk = RealDisk::open(running.path().join("data"), Use::Edit).unwrap();
    edit::add(&disk, &name("late"), &authority.pem, generation(7)).unwrap();
    let files = authority.sign(running.path(), &["room-b.late.duet.internal"], But::Nothing);
    let client = Client::new(config(running.path(), &running.address.to_string(), files));
    let known = async {
        loop {
            match client.site().await {
                Ok(status) => break status,
                // Its certificate is accepted at once, its register a little later.
                Err(AskError::Refused(Refused::UnknownSite)) => tokio::task::yield_now().await,
                // And asking so fast is asking too often.
                Err(AskError::Refused(Refused::Busy { .. })) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(20), known).await.unwrap();
    assert_eq!(status.generation, 7);

    // The connection stands, and is no longer accepted.
    edit::remove(&disk, &name("late")).unwrap();
    let error = loop {
        match client.site().await {
            Err(AskError::Refused(Refused::Busy { .. })) => {}
            other => break other.unwrap_err().to_string(),
        }
    };
    assert!(error.contains("no longer accepts the room's certificate"), "{error}");
    assert!(error.contains("room-b.late.duet.internal: the site is not known"), "{error}");
    running.stop().await;
}
