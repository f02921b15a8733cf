//! What is in a room. Start at [`of`].

use serde::Deserialize as _;
use serde_json::Value;
use site::{Room, Slot};

use super::words::{self, entries, text};
use super::{Known, Tone};
use crate::kubernetes::{self, State};
use crate::view::NodeView;

/// More machines of one room are not shown; a room has some workers.
const MOST_NEIGHBOURS: usize = 24;

/// One room.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomPicture {
    /// Which one.
    pub room: Room,
    /// What people call it, unless that is what everybody calls it.
    pub title: Option<String>,
    /// Whether what is shown is true now.
    pub presence: Presence,
    /// What its store does.
    pub role: StoreRole,
    /// Whether it has everything.
    pub sharing: Sharing,
    /// Its control machine.
    pub control: Option<Machine>,
    /// What else stands there, as heard on the wire.
    pub others: Vec<Neighbour>,
}

/// How it is known what a room is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// The page comes from there.
    Here,
    /// It answers.
    Answers,
    /// It has not answered for so long.
    Silent(String),
    /// It never did.
    Unheard,
}

/// What a store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreRole {
    /// Writes go through it.
    Leads,
    /// It takes what the leader writes.
    Follows,
    /// It is being sent what it lacks.
    Joins,
    /// It may not go on.
    Waits,
    /// It does not say.
    NotKnown,
}

/// Whether a room has everything that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// How it is to be read.
    pub tone: Tone,
    /// Such as "in sync" or "12 entries behind".
    pub words: String,
}

/// A control machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its health.
    pub tone: Tone,
    /// Its health in words.
    pub health: String,
    /// Its two slots.
    pub slots: [SlotPicture; 2],
    /// Where it can be reached.
    pub addresses: Vec<String>,
    /// The rest: label and value.
    pub facts: Vec<(&'static str, String)>,
}

/// A place for a system on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotPicture {
    /// Which one.
    pub slot: Slot,
    /// What runs from it; none for the other one.
    pub runs: Option<String>,
    /// It has yet to prove itself.
    pub on_trial: bool,
}

/// A machine that was heard on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: String,
    /// Where it can be reached.
    pub addresses: Vec<String>,
}

impl StoreRole {
    /// In a word or two.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            StoreRole::Leads => "leads",
            StoreRole::Follows => "follows",
            StoreRole::Joins => "joins",
            StoreRole::Waits => "waits",
            StoreRole::NotKnown => "not known",
        }
    }
}

pub(super) fn of(known: &Known<'_>, room: Room) -> RoomPicture {
    let node = known.node(room);
    let presence = match node {
        _ if room == known.here => Presence::Here,
        Some(_) if known.fresh(room).is_some() => Presence::Answers,
        Some((_, age)) => Presence::Silent(words::ago(age)),
        None => Presence::Unheard,
    };
    let own = node.map(|(node, _)| node).filter(|node| node.status["node"]["role"] != "worker");
    RoomPicture {
        room,
        title: node.and_then(|(node, _)| title(room, &node.status)),
        presence,
        role: role(known.pair(room)),
        sharing: sharing(known, room),
        control: own
            .filter(|node| node.status.is_object())
            .map(|node| machine(node, known.fresh(room).is_some())),
        others: others(known, room, own),
    }
}

fn title(room: Room, status: &Value) -> Option<String> {
    // Many people call room A "Room A".
    text(&status["node"]["room_title"])
        .filter(|title| !title.eq_ignore_ascii_case(words::room(room)))
}

fn role(pair: Option<&Value>) -> StoreRole {
    match pair.and_then(|pair| pair["role"].as_str()) {
        Some("leads") => StoreRole::Leads,
        Some("follows") => StoreRole::Follows,
        Some("joins") => StoreRole::Joins,
        Some("waits") => StoreRole::Waits,
        _ => StoreRole::NotKnown,
    }
}

fn sharing(known: &Known<'_>, room: Room) -> Sharing {
    let sharing = |tone, words: &str| Sharing { tone, words: words.to_owned() };
    match (known.in_sync(room), known.pair(room)) {
        (Some(true), Some(_)) => sharing(Tone::Good, "in sync"),
        (Some(true), None) => sharing(Tone::Warning, "in sync when it was last heard"),
        (Some(false), Some(_)) if known.leader().is_some_and(|(leader, _)| leader != room) => {
            match known.behind() {
                Some(behind) => sharing(Tone::Warning, &format!("{} behind", entries(behind))),
                None => sharing(Tone::Bad, "not in sync"),
            }
        }
        (Some(false), _) => sharing(Tone::Bad, "not in sync"),
        (None, _) => sharing(Tone::Quiet, "not known"),
    }
}

fn machine(node: &NodeView, fresh: bool) -> Machine {
    let NodeView { status, pair, .. } = node;
    let tone = match status["health"].as_str() {
        _ if !fresh => Tone::Quiet,
        Some("good") => Tone::Good,
        Some("bad") => Tone::Bad,
        Some("degraded") => Tone::Warning,
        _ => Tone::Quiet,
    };
    Machine {
        name: text(&status["hostname"]).unwrap_or_else(|| "no name".to_owned()),
        tone,
        health: if fresh { words::health(status) } else { "As it was last heard" }.to_owned(),
        slots: Slot::ALL.map(|slot| slot_picture(slot, status)),
        addresses: words::addresses(&status["network"]),
        facts: facts(status, pair),
    }
}

fn slot_picture(slot: Slot, status: &Value) -> SlotPicture {
    let boot = &status["boot"];
    let runs = boot["slot"].as_str() == Some(&slot.to_string());
    let version = text(&status["release"]["version"]);
    SlotPicture {
        slot,
        runs: runs.then(|| version.unwrap_or_else(|| "of unknown version".to_owned())),
        on_trial: runs && boot["state"].as_str() == Some("trial"),
    }
}

fn facts(status: &Value, pair: &Value) -> Vec<(&'static str, String)> {
    let mut facts = vec![("System", system(status))];
    if let (Some(revision), Some(index)) = (pair["revision"].as_u64(), pair["index"].as_u64()) {
        facts.push(("Data", format!("revision {revision}, entry {index}")));
    }
    if let Some(epoch) = pair["epoch"].as_u64() {
        let by = text(&pair["granted_by"]).map_or(String::new(), |by| format!(", by {by}"));
        facts.push(("Decision", format!("{epoch}{by}")));
    }
    if status["kubernetes"].is_object() {
        let state: Option<State> = State::deserialize(&status["kubernetes"]["state"]).ok();
        let uptime_s = status["uptime_s"].as_u64().unwrap_or_default();
        facts.push(("Kubernetes", kubernetes::words(state.as_ref(), uptime_s)));
    }
    facts.push(("Clock", words::clock(&status["clock"])));
    facts.extend(words::storage(&status["storage"]).map(|words| ("Storage", words)));
    facts.extend(status["uptime_s"].as_u64().map(|up| ("Up", words::duration(up))));
    facts
}

/// What runs, where it came from, and whether it has proven itself.
fn system(status: &Value) -> String {
    let version = text(&status["release"]["version"]);
    let version = version.unwrap_or_else(|| "of unknown version".to_owned());
    let boot = &status["boot"];
    let place = match (text(&boot["slot"]), boot["netboot"].as_bool()) {
        (Some(slot), _) => format!(" in slot {}", slot.to_uppercase()),
        (None, Some(true)) => ", from the network".to_owned(),
        (None, _) => String::new(),
    };
    let trial = match (boot["state"].as_str(), boot["tries_left"].as_u64()) {
        (Some("trial"), None | Some(0)) => ", on trial: this is the last try".to_owned(),
        (Some("trial"), Some(1)) => ", on trial: 1 more try".to_owned(),
        (Some("trial"), Some(left)) => format!(", on trial: {left} more tries"),
        _ => String::new(),
    };
    format!("Duet {version}{place}{trial}")
}

/// Machines of this site and room that were heard, but the one that is shown already.
fn others(known: &Known<'_>, room: Room, own: Option<&NodeView>) -> Vec<Neighbour> {
    let name = own.and_then(|node| text(&node.status["hostname"]));
    let heard = known.view.neighbours["rooms"].as_array().into_iter().flatten();
    let mut others: Vec<Neighbour> = heard
        .filter(|one| one["site"].as_str() == Some(known.view.site.as_str()))
        .filter(|one| one["room"].as_str() == Some(&room.to_string()))
        .filter_map(|one| {
            let addresses = one["addresses"].as_array().into_iter().flatten().filter_map(text);
            Some(Neighbour {
                name: text(&one["node"]).filter(|node| Some(node) != name.as_ref())?,
                role: text(&one["role"]).unwrap_or_default(),
                addresses: addresses.take(2).collect(),
            })
        })
        .collect();
    // A worker that shows this page stands in its room without being heard by itself.
    let here = &known.view.here.status;
    if room == known.here && here["node"]["role"] == "worker" {
        others.extend(text(&here["hostname"]).map(|name| Neighbour {
            name,
            role: "worker".to_owned(),
            addresses: words::addresses(&here["network"]),
        }));
    }
    others.sort_by(|one, other| one.name.cmp(&other.name));
    others.dedup_by(|one, other| one.name == other.name);
    others.truncate(MOST_NEIGHBOURS);
    others
}
