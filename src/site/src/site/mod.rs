//! A site: two rooms, the machines in them and who may log in. Start at [`Site::parse`];
//! [`Site::template`] writes the file that people fill in.

mod template;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::disks::Disks;
use crate::document::{Document, Found, Table};
use crate::keys::Certificate;
use crate::kubernetes::{Kubernetes, check_addresses};
use crate::network::{Addressing, Claims, Interface};
use crate::problem::InputErrors;
use crate::seed::{self, Seed};
use crate::{Host, Label, Naming, Network, Pair, Role, Room, SshKey, Timestamp};

/// What a `site.toml` says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The site's name, from which host names are made.
    pub name: Label,
    /// Room a, then room b; see [`Site::room`].
    pub rooms: [RoomPlan; 2],
    /// Where machines get the time; at least one.
    pub time_servers: Vec<Host>,
    /// Who may log in to every machine; nobody if empty.
    pub ssh_keys: Vec<SshKey>,
    /// How the rooms are one service.
    pub pair: Pair,
    /// What the site says of its Kubernetes.
    pub kubernetes: Kubernetes,
}

/// One room and its machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPlan {
    /// What people call the room.
    pub title: String,
    /// The machine with the control plane.
    pub control: Node,
    /// The worker, where the file describes it or it can be like the control machine.
    pub worker: Option<Node>,
    /// Where the other room finds the control machine, beside what it hears on the wire.
    pub hosts: Vec<Host>,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, or what its name begins with.
    pub hostname: Label,
    /// Where the name comes from.
    pub naming: Naming,
    /// Its network.
    pub network: Network,
    /// Which of its disks hold volumes.
    pub disks: Disks,
}

/// The site file does not say how a worker is joined to the network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("the site file describes no worker in room {0}")]
#[diagnostic(
    code(input::no_worker),
    help(
        "the control machine's network is its own: add [room.{0}.worker.network] to the site file"
    )
)]
pub struct NoWorker(pub Room);

/// The longest title that fits a line of the status screen.
const LONGEST_TITLE: usize = 60;

/// The longest site name: it is part of names in certificates, which have 64 characters in all.
const LONGEST_NAME: usize = 40;

/// The longest beginning of names that leaves room for `-` and six digits in a label.
const LONGEST_PREFIX: usize = 56;

/// The most hosts of one room that are written down.
const MOST_HOSTS: usize = 8;

/// The pool that Debian's own chrony uses.
const DEFAULT_TIME_SERVER: &str = "2.debian.pool.ntp.org";

/// The most time servers: chrony needs four to outvote a liar, more only add traffic.
const MOST_TIME_SERVERS: usize = 8;

impl Site {
    /// Reads a site file. `file` is only named in errors.
    pub fn parse(text: &str, file: &Path) -> Result<Site, InputErrors> {
        Document::read(text, file, "input::site", read_site)
    }

    /// What the file says of a room.
    pub fn room(&self, room: Room) -> &RoomPlan {
        match room {
            Room::A => &self.rooms[0],
            Room::B => &self.rooms[1],
        }
    }

    /// What the file says of a machine.
    pub fn node(&self, room: Room, role: Role) -> Result<&Node, NoWorker> {
        let plan = self.room(room);
        match role {
            Role::Control => Ok(&plan.control),
            Role::Worker => plan.worker.as_ref().ok_or(NoWorker(room)),
        }
    }

    /// What a machine needs to know, ready to be signed. The secrets that go with it are `secrets`, as
    /// text.
    pub fn seed(
        &self,
        room: Room,
        role: Role,
        ca_certificate: &Certificate,
        secrets: &str,
        issued: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<Seed, NoWorker> {
        let node = self.node(room, role)?;
        Ok(Seed {
            format: seed::FORMAT,
            site: self.name.clone(),
            room,
            room_title: self.room(room).title.clone(),
            role,
            hostname: node.hostname.clone(),
            naming: node.naming,
            issued,
            expires,
            ssh_keys: self.ssh_keys.clone(),
            time_servers: self.time_servers.clone(),
            ca_certificate: ca_certificate.clone(),
            secrets_sha256: seed::secrets_digest(secrets),
            room_a_hosts: self.room(Room::A).hosts.clone(),
            room_b_hosts: self.room(Room::B).hosts.clone(),
            network: node.network.clone(),
            pair: self.pair.clone(),
            kubernetes: self.kubernetes.clone(),
            disks: node.disks.clone(),
        })
    }
}

fn read_site(file: &Table<'_>) -> Option<Site> {
    let mut claims = Claims::default();
    let name = file.parsed::<Label>("name").filter(|name| {
        let short = name.value.as_str().len() <= LONGEST_NAME;
        if !short {
            let message = format!("the name has {} characters", name.value.as_str().len());
            let hint =
                format!("at most {LONGEST_NAME}: host names are made of it, such as NAME-a1");
            file.report(name.span.clone(), message, hint);
        }
        short
    });
    let name = file.require("name", name, "write name = \"my-campus\" above the first [table]");
    let name = name.map(|found| found.value);
    let disks = file.table("disks").map(|table| Disks::read_site(&table)).unwrap_or_default();
    let rooms = read_rooms(file, name.as_ref(), &disks, &mut claims);
    let time_servers = match file.table("time") {
        Some(table) => read_time(&table),
        None => default_time_servers(),
    };
    let ssh_keys = file.table("ssh").map(|table| read_ssh(&table)).unwrap_or_default();
    let pair = match file.table("pair") {
        Some(table) => Pair::read(&table),
        None if file.has("pair") => None,
        None => Some(Pair::default()),
    };
    let kubernetes = file.table("kubernetes").map(|table| Kubernetes::read(&table));
    let kubernetes = kubernetes.unwrap_or_default();
    file.finish();
    let rooms = rooms?;
    check_addresses(file, &kubernetes, &networks(&rooms));
    Some(Site { name: name?, rooms, time_servers, ssh_keys, pair: pair?, kubernetes })
}

/// The networks of all machines.
fn networks(rooms: &[RoomPlan; 2]) -> Vec<&Network> {
    let nodes = rooms.iter().flat_map(|room| std::iter::once(&room.control).chain(&room.worker));
    nodes.map(|node| &node.network).collect()
}

fn read_rooms(
    file: &Table<'_>,
    site: Option<&Label>,
    disks: &Disks,
    claims: &mut Claims,
) -> Option<[RoomPlan; 2]> {
    let hint = "write [room.a] and [room.b], each with title = \"…\"";
    let rooms = file.require("room", file.table("room"), hint)?;
    let mut read = |key, room| {
        let hint = format!("write [room.{room}] and title = \"…\": a site has two rooms");
        let table = rooms.require(key, rooms.table(key), &hint)?;
        read_room(&table, room, site, disks, claims)
    };
    let (a, b) = (read("a", Room::A), read("b", Room::B));
    rooms.finish();
    Some([a?, b?])
}

fn read_room(
    table: &Table<'_>,
    room: Room,
    site: Option<&Label>,
    disks: &Disks,
    claims: &mut Claims,
) -> Option<RoomPlan> {
    let title = table.text("title");
    let title = table.require("title", title, "write title = \"Building 1\"");
    let title = title.filter(|title| {
        let good = !title.value.trim().is_empty()
            && title.value.chars().count() <= LONGEST_TITLE
            && !title.value.chars().any(char::is_control);
        if !good {
            let hint = format!("a title is 1 to {LONGEST_TITLE} characters on one line");
            table.report(title.span.clone(), "this cannot be the title of a room", hint);
        }
        good
    });
    let control = read_node(table, site, &format!("{room}1"), disks, claims);
    let worker = match table.table("worker") {
        Some(worker) => {
            let words = [("seed", Naming::Seed), ("machine", Naming::Machine)];
            let naming = worker.choice("naming", &words).map_or(Naming::Seed, |found| found.value);
            let suffix = if naming == Naming::Seed { format!("{room}2") } else { room.to_string() };
            let node = read_node(&worker, site, &suffix, disks, claims);
            worker.finish();
            Some(node.and_then(|node| check_naming(&worker, Node { naming, ..node })))
        }
        None => None,
    };
    let hosts = read_hosts(table);
    table.finish();
    let control = control?;
    let worker = match worker {
        Some(described) => Some(described?),
        None => like_control(&control, site, room, disks),
    };
    // What is fixed is known to the other room without being heard.
    let fixed = control.network.addresses().iter().map(|cidr| Host::from(cidr.address()));
    let mut known = hosts;
    for host in fixed {
        if !known.contains(&host) {
            known.push(host);
        }
    }
    Some(RoomPlan { title: title?.value.to_owned(), control, worker, hosts: known })
}

fn read_hosts(table: &Table<'_>) -> Vec<Host> {
    let hosts = table.one_or_more::<Host>("hosts").unwrap_or_default();
    let count = table.length("hosts");
    if count > MOST_HOSTS {
        let hint = format!("name at most {MOST_HOSTS}: they are one machine's");
        table.report(table.span(), format!("{count} hosts"), hint);
    }
    hosts.into_iter().map(|found| found.value).collect()
}

/// Whether only one machine can have this network.
fn has_own_network(network: &Network) -> bool {
    let has_mac = |card: &Interface| matches!(card, Interface::Mac(_));
    network.addressing != Addressing::Dhcp || network.interfaces().iter().any(has_mac)
}

/// A worker as the control machine is, unless that one's network is its own.
fn like_control(control: &Node, site: Option<&Label>, room: Room, disks: &Disks) -> Option<Node> {
    let own = has_own_network(&control.network);
    let hostname = format!("{}-{room}2", site?).parse().ok()?;
    let (network, disks) = (control.network.clone(), disks.clone());
    (!own).then_some(Node { hostname, naming: Naming::Seed, network, disks })
}

fn read_node(
    table: &Table<'_>,
    site: Option<&Label>,
    suffix: &str,
    disks: &Disks,
    claims: &mut Claims,
) -> Option<Node> {
    let written = table.parsed::<Label>("hostname");
    let network = match table.table("network") {
        Some(network) => Network::read(&network, claims),
        None if table.has("network") => None,
        None => Some(Network::default()),
    };
    let disks = match table.table("disks") {
        Some(own) => disks.read(&own, claims),
        None => disks.clone(),
    };
    let hostname = match written {
        Some(found) => found,
        None if table.has("hostname") => return None,
        None => {
            let value = format!("{}-{suffix}", site?).parse().ok()?;
            Found { value, span: table.span() }
        }
    };
    claims.claim(table, format!("the host name {}", hostname.value), hostname.span);
    Some(Node { hostname: hostname.value, naming: Naming::Seed, network: network?, disks })
}

/// Several machines share one seed where each is named after itself, so nothing in it may be one's own.
fn check_naming(table: &Table<'_>, node: Node) -> Option<Node> {
    if node.naming == Naming::Seed {
        return Some(node);
    }
    if has_own_network(&node.network) {
        let hint = "leave out `naming`, or let it use DHCP on any card";
        let message = "with naming = \"machine\" several machines would have this network";
        table.report(table.span(), message, hint);
    }
    if node.hostname.as_str().len() > LONGEST_PREFIX {
        let message = format!("`{}` is too long to begin names with", node.hostname);
        let hint = format!("at most {LONGEST_PREFIX} characters: `-` and six digits follow");
        table.report(table.span(), message, hint);
    }
    Some(node)
}

fn default_time_servers() -> Vec<Host> {
    DEFAULT_TIME_SERVER.parse().into_iter().collect()
}

fn read_time(table: &Table<'_>) -> Vec<Host> {
    let servers = table.parsed_list::<Host>("servers");
    table.finish();
    let Some(servers) = servers else { return default_time_servers() };
    let count = table.length("servers");
    if count == 0 || count > MOST_TIME_SERVERS {
        let message = format!("{count} time servers");
        let hint = format!("name 1 to {MOST_TIME_SERVERS}, or leave the key out for Debian's pool");
        table.report(table.span(), message, hint);
    }
    servers.into_iter().map(|found| found.value).collect()
}

fn read_ssh(table: &Table<'_>) -> Vec<SshKey> {
    let keys = table.parsed_list::<SshKey>("keys").unwrap_or_default();
    table.finish();
    for (index, key) in keys.iter().enumerate() {
        let same = keys[..index].iter().find(|other| other.value.is_same_key(&key.value));
        if let Some(first) = same {
            let hint = format!("remove this one or the one of line {}", table.line(&first.span));
            table.report(key.span.clone(), "this key is in the list twice", hint);
        }
    }
    keys.into_iter().map(|found| found.value).collect()
}
