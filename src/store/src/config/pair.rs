//! What makes a store one of two. Start at [`PairConfig`]; without `room` and `site` a store is a single
//! one, and etcd's flags for peers mean nothing to it.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pair::{Authority, Room, Timing};

use super::error::Problem;
use super::raw::{List, Raw, Text};
use super::{duration, keep, span};

/// A sync that takes longer means that the disk sticks, if nothing is set.
const DEFAULT_STUCK: Duration = Duration::from_secs(10);

/// A store that is one of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairConfig {
    /// The site's name.
    pub site: String,
    /// Which of its rooms this is.
    pub room: Room,
    /// Where the other room is listened for; at least one.
    pub listen_peer: Vec<SocketAddr>,
    /// Where the other room listens, as `host:port`; at least one, or a file of them.
    pub peers: Vec<String>,
    /// A file of further ones.
    pub peers_file: Option<PathBuf>,
    /// This room's certificate chain (PEM).
    pub cert_file: PathBuf,
    /// Its key (PEM).
    pub key_file: PathBuf,
    /// The site's authority (PEM).
    pub ca_file: PathBuf,
    /// Who grants.
    pub authority: Authority,
    /// Where the witness is; there if it grants.
    pub witness: Option<WitnessConfig>,
    /// What switches the other room off; there if its power switch grants.
    pub power_command: Option<PathBuf>,
    /// How long to wait for what.
    pub timing: Timing,
    /// A sync that takes longer means that the disk sticks.
    pub stuck_after: Duration,
    /// Begin a site with the data that is here.
    pub found: bool,
}

/// Where the witness is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessConfig {
    /// `host:port`; several of the one witness.
    pub addresses: Vec<String>,
    /// The name in its certificate.
    pub name: String,
    /// Its authority (PEM).
    pub ca_file: PathBuf,
}

/// The name that a witness has if nothing is set.
const WITNESS_NAME: &str = "witness.duet.internal";

fn missing(setting: &'static str, why: &str) -> Problem {
    Problem::new(setting, format!("is missing; {why}"))
}

impl PairConfig {
    /// The pair's settings, where there are some.
    pub(super) fn check(raw: &Raw, problems: &mut Vec<Problem>) -> Option<PairConfig> {
        let (room, site) = match (&raw.room, &raw.site) {
            (Some(room), Some(site)) => (room, site.to_string()),
            (None, None) => {
                let set = raw.peer_urls.is_some() || raw.peer_urls_file.is_some();
                if raw.authority.is_some() || set {
                    problems.push(missing("room", "and so is site: whose room is it?"));
                }
                return None;
            }
            (Some(_), None) => {
                problems.push(missing("site", "room is set: of which site?"));
                return None;
            }
            (None, Some(_)) => {
                problems.push(missing("room", "site is set: which of its rooms, a or b?"));
                return None;
            }
        };
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if site.is_empty() || site.len() > 40 || !site.chars().all(label) || site.starts_with('-') {
            let reason = format!("`{site}` is no name of a site: a to z, 0 to 9 and -, at most 40");
            problems.push(Problem::new("site", reason));
        }
        let room = keep(parse_room("room", room), Room::A, problems);
        let listen =
            raw.listen_peer_urls.clone().unwrap_or_else(|| List::one("https://0.0.0.0:2380"));
        let listen = listen.0.iter().map(|url| listen_peer(url)).collect::<Result<Vec<_>, _>>();
        let listen_peer = keep(listen, Vec::new(), problems).into_iter().flatten().collect();
        let peers = keep(check_peers(raw), Vec::new(), problems);
        let mut file = |setting: &'static str, file: &Option<PathBuf>| {
            let why = "the rooms know each other by certificates of the site's authority";
            keep(file.clone().ok_or_else(|| missing(setting, why)), PathBuf::new(), problems)
        };
        let cert_file = file("peer-cert-file", &raw.peer_cert_file);
        let key_file = file("peer-key-file", &raw.peer_key_file);
        let ca_file = file("peer-trusted-ca-file", &raw.peer_trusted_ca_file);
        let authority = raw.authority.as_ref().map_or(
            Err(missing(
                "authority",
                "who grants: witness, power, preferred:a, preferred:b or operator?",
            )),
            parse_authority,
        );
        let authority = keep(authority, Authority::Operator, problems);
        let witness = WitnessConfig::check(raw, authority, problems);
        let power_command = match (authority, &raw.power_off_command) {
            (Authority::Power, None) => {
                problems.push(missing("power-off-command", "what switches the other room off?"));
                None
            }
            (_, command) => command.clone(),
        };
        let timing = check_timing(raw, problems);
        let second = Duration::from_secs(1);
        let stuck = span("disk-stuck-after", raw.disk_stuck_after.as_ref(), DEFAULT_STUCK, second);
        Some(PairConfig {
            site,
            room,
            listen_peer,
            peers,
            peers_file: raw.peer_urls_file.clone(),
            cert_file,
            key_file,
            ca_file,
            authority,
            witness,
            power_command,
            timing,
            stuck_after: keep(stuck, DEFAULT_STUCK, problems),
            found: raw.found_with_data.unwrap_or(false),
        })
    }

    /// What both rooms must have set alike, in words: who grants, and what leases rest on.
    #[must_use]
    pub fn terms(&self) -> String {
        let Timing { heartbeat, silent, lease, drift_percent, .. } = self.timing;
        let [heartbeat, silent, lease] = [heartbeat, silent, lease].map(duration::text);
        format!(
            "{}, heartbeat {heartbeat}, silent {silent}, lease {lease}, drift {drift_percent} %",
            authority(self.authority)
        )
    }

    /// The settings as they would be written in full.
    pub(super) fn write(&self, raw: &mut Raw) {
        let text = |value: &dyn fmt::Display| Some(Text(value.to_string()));
        raw.site = Some(Text(self.site.clone()));
        raw.room = text(&self.room);
        let url = |at: &dyn fmt::Display| format!("https://{at}");
        raw.listen_peer_urls =
            Some(List(self.listen_peer.iter().map(|address| url(address)).collect()));
        raw.peer_urls = Some(List(self.peers.iter().map(|peer| url(peer)).collect()));
        raw.peer_urls_file = self.peers_file.clone();
        raw.peer_cert_file = Some(self.cert_file.clone());
        raw.peer_key_file = Some(self.key_file.clone());
        raw.peer_trusted_ca_file = Some(self.ca_file.clone());
        raw.authority = Some(Text(authority(self.authority)));
        if let Some(witness) = &self.witness {
            raw.witness_urls =
                Some(List(witness.addresses.iter().map(|address| url(address)).collect()));
            raw.witness_server_name = Some(Text(witness.name.clone()));
            raw.witness_trusted_ca_file = Some(witness.ca_file.clone());
        }
        raw.power_off_command = self.power_command.clone();
        let span = |span: Duration| Some(duration::text(span));
        raw.pair_heartbeat = span(self.timing.heartbeat);
        raw.pair_silent_after = span(self.timing.silent);
        raw.pair_lease = span(self.timing.lease);
        raw.pair_drift_percent = Some(self.timing.drift_percent.into());
        raw.pair_power_delay = span(self.timing.power_delay);
        raw.pair_retry = span(self.timing.retry);
        raw.disk_stuck_after = span(self.stuck_after);
        raw.found_with_data = Some(self.found);
    }
}

impl WitnessConfig {
    fn check(
        raw: &Raw,
        authority: Authority,
        problems: &mut Vec<Problem>,
    ) -> Option<WitnessConfig> {
        if authority != Authority::Witness {
            if raw.witness_urls.is_some() {
                let reason = "is set, but authority is not witness: two could grant two rooms";
                problems.push(Problem::new("witness-urls", reason));
            }
            return None;
        }
        let why = "which authority signed the witness' certificate?";
        let ca_file = raw.witness_trusted_ca_file.clone();
        let ca_file = ca_file.ok_or_else(|| missing("witness-trusted-ca-file", why));
        Some(WitnessConfig {
            addresses: keep(hosts("witness-urls", raw.witness_urls.as_ref()), Vec::new(), problems),
            name: raw.witness_server_name.as_ref().map_or(WITNESS_NAME, |name| name).to_owned(),
            ca_file: keep(ca_file, PathBuf::new(), problems),
        })
    }
}

fn parse_room(setting: &'static str, text: &str) -> Result<Room, Problem> {
    match text {
        "a" => Ok(Room::A),
        "b" => Ok(Room::B),
        _ => Err(Problem::new(setting, format!("`{text}` is neither a nor b"))),
    }
}

/// An authority as it is written.
pub(crate) fn authority(authority: Authority) -> String {
    match authority {
        Authority::Witness => "witness".to_owned(),
        Authority::Power => "power".to_owned(),
        Authority::Preferred(room) => format!("preferred:{room}"),
        Authority::Operator => "operator".to_owned(),
    }
}

fn parse_authority(text: &Text) -> Result<Authority, Problem> {
    match &**text {
        "witness" => Ok(Authority::Witness),
        "power" => Ok(Authority::Power),
        "operator" => Ok(Authority::Operator),
        text => match text.strip_prefix("preferred:") {
            Some(room) => parse_room("authority", room).map(Authority::Preferred),
            None => Err(Problem::new(
                "authority",
                format!("`{text}` is none of witness, power, preferred:a, preferred:b, operator"),
            )),
        },
    }
}

/// The host and port of an `https` URL without a path.
pub(crate) fn host(setting: &'static str, url: &str) -> Result<String, Problem> {
    let bad = |reason: &str| Problem::new(setting, format!("`{url}` {reason}"));
    let rest = url.strip_prefix("https://");
    let rest = rest.ok_or_else(|| bad("does not begin with https://: the link is encrypted"))?;
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let port = host.rsplit_once(':').and_then(|(name, port)| {
        (!name.is_empty() && !name.contains('/')).then(|| u16::from_str(port).ok())?
    });
    port.map(|_| host.to_owned()).ok_or_else(|| bad("is no https://host:port"))
}

fn hosts(setting: &'static str, urls: Option<&List>) -> Result<Vec<String>, Problem> {
    let urls = urls.filter(|urls| !urls.0.is_empty());
    let urls = urls.ok_or_else(|| missing(setting, "https://host:port, with commas between"))?;
    urls.0.iter().map(|url| host(setting, url)).collect()
}

/// Where the other room is set to listen: nowhere, if a file says so.
fn check_peers(raw: &Raw) -> Result<Vec<String>, Problem> {
    let set = raw.peer_urls.as_ref().filter(|urls| !urls.0.is_empty());
    if set.is_none() && raw.peer_urls_file.is_some() {
        return Ok(Vec::new());
    }
    hosts("peer-urls", set)
}

/// The addresses of a URL to listen on. Only `localhost` is looked up: a name that moves is no place.
fn listen_peer(url: &str) -> Result<Vec<SocketAddr>, Problem> {
    let setting = "listen-peer-urls";
    let host = host(setting, url)?;
    if let Some(port) = host.strip_prefix("localhost:") {
        let found = ("localhost", u16::from_str(port).unwrap_or_default()).to_socket_addrs();
        return found
            .map(Iterator::collect)
            .map_err(|error| Problem::new(setting, format!("`{url}` cannot be found: {error}")));
    }
    let address = host.parse().map(|address| vec![address]);
    address.map_err(|_| Problem::new(setting, format!("`{url}` has no address to listen on")))
}

fn check_timing(raw: &Raw, problems: &mut Vec<Problem>) -> Timing {
    let default = Timing::default();
    let shortest = Duration::from_millis(1);
    let mut time = |setting: &'static str, text: &Option<Text>, otherwise: Duration| {
        keep(span(setting, text.as_ref(), otherwise, shortest), otherwise, problems)
    };
    let timing = Timing {
        heartbeat: time("pair-heartbeat", &raw.pair_heartbeat, default.heartbeat),
        silent: time("pair-silent-after", &raw.pair_silent_after, default.silent),
        lease: time("pair-lease", &raw.pair_lease, default.lease),
        power_delay: time("pair-power-delay", &raw.pair_power_delay, default.power_delay),
        retry: time("pair-retry", &raw.pair_retry, default.retry),
        drift_percent: raw
            .pair_drift_percent
            .map_or(default.drift_percent, |percent| u32::try_from(percent).unwrap_or(u32::MAX)),
    };
    let checked = timing.checked().map_err(|error| Problem::new("pair-lease", error.to_string()));
    keep(checked, default, problems)
}
