//! [`Report`]: what is known of the wire, and the two files that say so. Start at [`Report::files`].

use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use site::{Label, Role, Room};

/// What a machine on the wire is to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Of this site's other room.
    Peer,
    /// Of this room.
    SameRoom,
    /// A control machine of this room where there is one already.
    Twin,
    /// Of another site.
    OtherSite,
}

/// A machine that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its site.
    pub site: Label,
    /// Its room.
    pub room: Room,
    /// What it is for.
    pub role: Role,
    /// Its name.
    pub node: Label,
    /// Its addresses, best first, with zones.
    pub addresses: Vec<String>,
    /// Where its store listens for the other room's.
    pub store_port: u16,
    /// Where its page is.
    pub page_port: u16,
    /// When it was heard last, or was still known by what had been heard.
    pub heard: Instant,
    /// What it is to this machine; none if this machine has said nothing of itself.
    pub kind: Option<Kind>,
}

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Worth knowing.
    Notice,
    /// Somebody should look.
    Warning,
}

/// What is not as it should be, in words that are safe for a screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Such as `neighbour.twin`.
    pub code: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What there is.
    pub what: String,
    /// What to do.
    pub cure: &'static str,
}

/// What is known of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Where the other room's control machine may be, best first: `https://host:port`, and why it is there.
    pub candidates: Vec<(String, String)>,
    /// Everybody.
    pub neighbours: Vec<Neighbour>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// The texts of the two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// For the store's `peer-urls-file`.
    pub peers: String,
    /// For the screen and the page: JSON.
    pub neighbours: String,
}

/// A neighbour as it is written.
#[derive(Serialize)]
struct Row<'a> {
    site: &'a str,
    room: Room,
    role: Role,
    node: &'a str,
    addresses: &'a [String],
    store_port: u16,
    page_port: u16,
    /// Seconds since 1970.
    heard_s: u64,
    kind: Option<Kind>,
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    rooms: Vec<Row<'a>>,
    problems: &'a [Problem],
}

impl Report {
    /// The texts of the files; `now` and `wall` are the same moment.
    #[must_use]
    pub fn files(&self, now: Instant, wall: SystemTime) -> Files {
        let mut peers = String::from(
            "# Where the other room's control machine may be. Written by duetd, read by the store.\n",
        );
        for (url, why) in &self.candidates {
            peers.push_str(&format!("{url} # {why}\n"));
        }
        Files { peers, neighbours: self.json(now, wall) }
    }

    /// What `/run/duet-agent/neighbours.json` says.
    #[must_use]
    pub fn json(&self, now: Instant, wall: SystemTime) -> String {
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let rooms = self.neighbours.iter().map(|neighbour| Row {
            site: neighbour.site.as_str(),
            room: neighbour.room,
            role: neighbour.role,
            node: neighbour.node.as_str(),
            addresses: &neighbour.addresses,
            store_port: neighbour.store_port,
            page_port: neighbour.page_port,
            heard_s: since.saturating_sub(now.saturating_duration_since(neighbour.heard)).as_secs(),
            kind: neighbour.kind,
        });
        let document = Document { format: 1, rooms: rooms.collect(), problems: &self.problems };
        let text = serde_json::to_string_pretty(&document);
        text.expect("texts, numbers and lists can be written as JSON") + "\n"
    }
}
