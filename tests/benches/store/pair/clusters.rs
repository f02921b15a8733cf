//! The clusters that are compared. Start at [`Clusters::start`].

use std::path::Path;

use pair::Room;
use tests::certificates::Authority;
use tests::local_rooms::{LocalRooms, Setup};
use tests::server::{Make, Plan, Server};
use tests::wire::etcdserverpb as pb;
use tokio::runtime::Runtime;

use pb::maintenance_client::MaintenanceClient;

use crate::channel::Channel;
use crate::load::Whom;

/// All of them; they run until this is dropped.
pub(super) struct Clusters {
    two: Cluster,
    three: Cluster,
    duet: Cluster,
}

impl Clusters {
    pub(super) fn start(folder: &Path, runtime: &Runtime) -> Clusters {
        let etcd = |name: &'static str, count| {
            let mut members = start_etcd(&folder.join(name), count);
            // The leader comes first.
            let at = runtime.block_on(leader(&members));
            members.swap(0, at);
            Cluster { name, members: Members::Etcd(members) }
        };
        let two = etcd("etcd-2", 2);
        let three = etcd("etcd-3", 3);
        let rooms = LocalRooms::start(Setup::new(folder.join("duet")));
        assert_eq!(rooms.until_in_sync(), Room::A);
        Clusters {
            two,
            three,
            duet: Cluster { name: "duet", members: Members::Rooms(Box::new(rooms)) },
        }
    }

    pub(super) fn each(&self) -> [&Cluster; 3] {
        [&self.two, &self.three, &self.duet]
    }
}

/// One of them.
pub(super) struct Cluster {
    name: &'static str,
    members: Members,
}

/// Whoever leads comes first.
enum Members {
    Etcd(Vec<Server>),
    Rooms(Box<LocalRooms>),
}

impl Cluster {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn leader(&self) -> Whom {
        self.only(0)
    }

    pub(super) fn follower(&self) -> Whom {
        self.only(1)
    }

    /// All members; what one is asked, the others work on, too.
    pub(super) fn all(&self) -> Whom {
        let servers = self.servers();
        let endpoints = servers.iter().map(|server| server.endpoint()).collect();
        let processes = servers.iter().map(|server| server.process()).collect();
        Whom { endpoints, processes }
    }

    fn only(&self, at: usize) -> Whom {
        let all = self.all();
        Whom { endpoints: vec![all.endpoints[at].clone()], ..all }
    }

    fn servers(&self) -> Vec<&Server> {
        match &self.members {
            Members::Etcd(members) => members.iter().collect(),
            Members::Rooms(two) => [Room::A, Room::B].map(|room| two.room(room)).to_vec(),
        }
    }
}

/// An etcd of so many members, with TLS between them.
fn start_etcd(folder: &Path, count: usize) -> Vec<Server> {
    let file = |name: &str| folder.join(name);
    let authority = Authority::new(folder, "peers");
    let (cert, key) = authority.sign("peer", "127.0.0.1");

    Server::start_together(|| {
        let url = |port| format!("https://127.0.0.1:{port}");
        let urls: Vec<String> = lab::free_ports(count).unwrap().into_iter().map(url).collect();
        let named = |(at, url): (usize, &String)| format!("member{at}={url}");
        let all: Vec<String> = urls.iter().enumerate().map(named).collect();
        let member = |(at, url): (usize, &String)| {
            // etcd takes the last of several words for the same.
            let words = [
                format!("--name=member{at}"),
                format!("--listen-peer-urls={url}"),
                format!("--initial-advertise-peer-urls={url}"),
                format!("--initial-cluster={}", all.join(",")),
                "--peer-client-cert-auth".to_owned(),
                format!("--peer-trusted-ca-file={}", authority.file.display()),
                format!("--peer-cert-file={}", cert.display()),
                format!("--peer-key-file={}", key.display()),
            ];
            let plan = Plan::new(Make::Etcd, file(&format!("member{at}")));
            words.into_iter().fold(plan, Plan::word)
        };
        urls.iter().enumerate().map(member).collect()
    })
}

/// Which of the members leads.
async fn leader(members: &[Server]) -> usize {
    for (at, member) in members.iter().enumerate() {
        let channel = Channel::connect(&member.endpoint()).await;
        let origin = channel.origin.clone();
        let mut client = MaintenanceClient::with_origin(channel, origin);
        let said = client.status(pb::StatusRequest {}).await.unwrap().into_inner();
        if said.header.is_some_and(|header| header.member_id == said.leader) {
            return at;
        }
    }
    panic!("no member of etcd leads");
}
