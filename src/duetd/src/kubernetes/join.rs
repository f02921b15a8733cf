//! `duetd kubernetes join`: the control machine that a worker joins through. Start at [`Join::run`];
//! [`candidates`] says who is asked.
//!
//! k3s takes one address to join at, and learns all control machines there; from then on its own load
//! balancer changes between them. So the choice matters at each start only, and the one that answers is
//! the right one. Whoever answers is first asked, as a machine of the site (mutual TLS), for the hash of the
//! cluster's authority: with that hash, k3s shows the site's secret to this cluster alone.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agent::ask::{Asker, Question, Target};
use agent::kubernetes::{AGENT_ADDRESS, CHOSEN, PORT, SERVERS, chosen, token};
use agent::view::LONGEST;
use agent::{Files, Settings, View};
use clap::Args;
use serde_json::Value;
use site::{Host, Room};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{NotYet, Patience, Unwritten, address};
use crate::root::{
    AGENT_SETTINGS, IDENTITY_CERTIFICATE, IDENTITY_KEY, JOIN_TOKEN, NEIGHBOURS, Root,
};
use crate::rtnetlink::is_routable;
use crate::store::endpoint;
use crate::{bounded, console, durable};

/// How long a machine may take to answer; one across a campus takes milliseconds.
const CONNECT: Duration = Duration::from_secs(3);

/// How long it may take to say how it is: one that is starting is busy.
const ANSWER: Duration = Duration::from_secs(10);

/// How long is waited before all are asked again.
const LOOK: Duration = Duration::from_secs(2);

/// Far more places than the two control machines of a site have.
const MOST_CANDIDATES: usize = 16;

/// The token with the hash; it is secret.
const HASHED_TOKEN: &str = "/run/duet/k3s/join.token";

#[derive(Debug, Args)]
pub(super) struct Join {
    #[command(flatten)]
    patience: Patience,
}

/// What `duetd boot` writes cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot read {path}: {reason}")]
#[diagnostic(
    code(input::kubernetes),
    help("`duetd boot` writes it on workers; `journalctl -u duet-boot` tells why it did not")
)]
struct Unread {
    path: &'static str,
    reason: String,
}

/// A place where a control machine may be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    host: Host,
    page_port: u16,
}

impl Join {
    pub(super) fn run(self, root: &Root) -> Result<ExitCode, miette::Report> {
        let list = read(root, SERVERS)?;
        let settings: Settings = toml::from_str(&read(root, AGENT_SETTINGS)?)
            .map_err(|error| Unread { path: AGENT_SETTINGS, reason: error.message().to_owned() })?;
        let files = Files {
            certificate: root.path(IDENTITY_CERTIFICATE),
            key: root.path(IDENTITY_KEY),
            authority: settings.authority_file.clone(),
        };
        let asker = Asker::new(&files, &settings.site, &Room::ALL)?;
        let cure = "are the control machines up, and does this network reach them?";
        let waits = self.patience.until("This worker", LOOK, cure, async || {
            let heard = bounded::text(&root.path(NEIGHBOURS)).unwrap_or_default();
            let heard = serde_json::from_str(&heard).unwrap_or_default();
            match first(&asker, &candidates(&list, &heard, &settings)).await {
                Ok((host, authority)) => take(root, host, &authority),
                Err(why) => Ok(Err(why)),
            }
        });
        let host = endpoint::within(waits)?;
        console::note(&format!("This worker joins through {host}."));
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes down where and with what this machine joins.
fn take(root: &Root, host: Host, authority: &str) -> Result<Result<Host, NotYet>, miette::Report> {
    let told = address::told(root)
        .map_err(|error| NotYet(format!("what k3s was told cannot be read: {error}")));
    if let Err(why) = told.and_then(|told| address::find(root, &told, AGENT_ADDRESS)) {
        return Ok(Err(why));
    }
    let secret = Zeroizing::new(read(root, JOIN_TOKEN)?);
    let token = Zeroizing::new(token(authority, secret.trim()));
    durable::write_private(&root.path(HASHED_TOKEN), token.as_bytes())
        .map_err(|source| Unwritten { path: HASHED_TOKEN, source })?;
    let text = chosen(&host, Path::new(HASHED_TOKEN));
    durable::write(&root.path(CHOSEN), text.as_bytes(), 0o600)
        .map_err(|source| Unwritten { path: CHOSEN, source })?;
    Ok(Ok(host))
}

/// The first of them that has a cluster to join, with the hash of the cluster's authority; or why none has.
async fn first(asker: &Asker, candidates: &[Candidate]) -> Result<(Host, String), NotYet> {
    let mut why = "no control machine of this site is known, or was heard on the wire".to_owned();
    for candidate in candidates {
        match ask(asker, candidate).await {
            Ok(authority) => return Ok((candidate.host.clone(), authority)),
            Err(reason) => why = reason,
        }
    }
    Err(NotYet(why))
}

/// Asks one, as a machine of the site, and then tries its door.
async fn ask(asker: &Asker, candidate: &Candidate) -> Result<String, String> {
    let host = &candidate.host;
    let target: Target = host.as_str().parse().map_err(|_| format!("{host} is no host"))?;
    let question = Question { path: "/status.json", longest: LONGEST, patience: ANSWER };
    let said = asker.get(&target.at(candidate.page_port), question).await;
    let view = View::read(&said.map_err(|error| error.to_string())?.body);
    let view = view.map_err(|error| format!("{host}: {error}"))?;
    let authority = view.here.status["kubernetes"]["state"]["authority"].as_str();
    let authority = authority.ok_or_else(|| format!("{host} has no cluster to join yet"))?;
    let door = TcpStream::connect((host.as_str(), PORT));
    match tokio::time::timeout(CONNECT, door).await {
        Ok(Ok(_)) => Ok(authority.to_owned()),
        Ok(Err(error)) => Err(format!("{host} does not answer on port {PORT}: {error}")),
        Err(_) => Err(format!("{host} does not answer on port {PORT}")),
    }
}

fn read(root: &Root, path: &'static str) -> Result<String, Unread> {
    bounded::text(&root.path(path)).map_err(|error| Unread { path, reason: error.to_string() })
}

/// Where control machines may be: those that the site file names, one a line in `list`, and then those that
/// were heard, those of the own room first. What is none is passed over.
fn candidates(list: &str, heard: &Value, own: &Settings) -> Vec<Candidate> {
    let set = list.lines().filter_map(|line| line.trim().parse().ok());
    let mut all: Vec<Candidate> =
        set.map(|host| Candidate { host, page_port: own.page_port }).collect();
    for room in [own.room, own.room.other()] {
        let rooms = heard["rooms"].as_array().into_iter().flatten();
        let control = rooms.filter(|one| {
            one["site"].as_str() == Some(own.site.as_str())
                && one["role"] == "control"
                && one["room"].as_str().and_then(|text| text.parse().ok()) == Some(room)
        });
        for machine in control {
            let page_port = machine["page_port"].as_u64().and_then(|port| port.try_into().ok());
            let addresses = machine["addresses"].as_array().into_iter().flatten();
            // k3s dials no address of one link.
            let hosts = addresses
                .filter_map(|text| text.as_str()?.parse::<IpAddr>().ok())
                .filter(|address| is_routable(*address))
                .filter_map(|address| address.to_string().parse().ok());
            all.extend(
                hosts.map(|host| Candidate { host, page_port: page_port.unwrap_or(own.page_port) }),
            );
        }
    }
    let mut seen = Vec::new();
    all.retain(|one| {
        let new = !seen.contains(&one.host);
        seen.push(one.host.clone());
        new
    });
    all.truncate(MOST_CANDIDATES);
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;
    use site::Role;

    use super::*;

    fn settings() -> Settings {
        Settings {
            site: "campus".parse().unwrap(),
            room: Room::B,
            role: Role::Worker,
            name: "campus-b2".parse().unwrap(),
            store_port: 2380,
            page_port: 8443,
            discovery: true,
            other_room: Vec::new(),
            certificate_file: "/nowhere".into(),
            key_file: "/nowhere".into(),
            authority_file: "/nowhere".into(),
        }
    }

    #[test]
    fn what_is_set_goes_before_what_is_heard_and_the_own_room_before_the_other() {
        let machine = |site: &str, room: &str, role: &str, addresses: &[&str]| {
            json!({ "site": site, "room": room, "role": role, "node": "n", "page_port": 8444,
                    "addresses": addresses })
        };
        let heard = json!({ "rooms": [
            machine("campus", "a", "control", &["10.0.0.1", "fe80::1%enp1s0", "2001:db8::1"]),
            machine("other", "b", "control", &["10.0.0.9"]),
            machine("campus", "b", "worker", &["10.0.0.8"]),
            machine("campus", "b", "control", &["10.0.0.2", "no address", "169.254.0.1"]),
            json!({}),
        ]});
        let all = candidates("b1.example.org\n\nno host\n10.0.0.1\n", &heard, &settings());
        let told: Vec<String> =
            all.iter().map(|one| format!("{}:{}", one.host, one.page_port)).collect();
        assert_eq!(
            told,
            ["b1.example.org:8443", "10.0.0.1:8443", "10.0.0.2:8444", "2001:db8::1:8444"]
        );
        assert_eq!(candidates(&"a\n".repeat(9), &Value::Null, &settings()).len(), 1);
        let many: String = (0..99).map(|number| format!("10.1.0.{number}\n")).collect();
        assert_eq!(candidates(&many, &heard, &settings()).len(), MOST_CANDIDATES);
    }

    #[test]
    fn what_boot_did_not_write_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let run = || Join { patience: Patience { seconds: Some(60) } }.run(&root);
        assert!(run().unwrap_err().to_string().starts_with(&format!("cannot read {SERVERS}: ")));
        durable::write(&root.path(SERVERS), b"", 0o644).unwrap();
        let error = run().unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read {AGENT_SETTINGS}: ")), "{error}");
    }

    #[test]
    fn the_secret_stands_in_no_file_that_others_read() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let host: Host = "10.0.0.1".parse().unwrap();
        let told = serde_json::to_string(&agent::kubernetes::Told::default()).unwrap();
        durable::write(&root.path(agent::kubernetes::TOLD), told.as_bytes(), 0o644).unwrap();
        durable::write_private(&root.path(JOIN_TOKEN), b"geheim\n").unwrap();
        take(&root, host, "abc").unwrap().unwrap();
        let token = root.path(HASHED_TOKEN);
        assert_eq!(fs::read_to_string(&token).unwrap(), "K10abc::server:geheim\n");
        assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
        let chosen = fs::read_to_string(root.path(CHOSEN)).unwrap();
        assert!(chosen.contains(&format!("server: \"https://10.0.0.1:{PORT}\"")), "{chosen}");
        assert!(!chosen.contains("geheim"));
    }
}
