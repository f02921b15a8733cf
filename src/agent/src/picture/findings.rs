//! What needs a person, and its cure. Start at [`of`].

use serde::Deserialize as _;
use serde_json::Value;
use site::Room;

use super::headline::unheard;
use super::words::{clean, room as named, room_first, seen_from_outside, sentence, text};
use super::{Known, Tone, third};
use crate::kubernetes::{Alike, differences};
use crate::view::OLD_AFTER_S;

/// More are counted and no longer shown.
const MOST: usize = 40;

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// [`Tone::Bad`] or [`Tone::Warning`]; [`Tone::Quiet`] for what is only to be known.
    pub tone: Tone,
    /// Where.
    pub place: String,
    /// What.
    pub what: String,
    /// What to do; it may be nothing.
    pub cure: Option<String>,
}

pub(super) fn of(known: &Known<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for room in Room::ALL {
        silent(known, room, &mut found);
        stores(known, room, &mut found);
        nodes(known, room, &mut found);
    }
    kubernetes(known, &mut found);
    wire(known, &mut found);
    found.sort_by_key(|found| std::cmp::Reverse(found.tone));
    found.truncate(MOST);
    found
}

/// A room that does not answer is the first thing to look at, whatever else is found.
fn silent(known: &Known<'_>, room: Room, found: &mut Vec<Found>) {
    if room == known.here || known.fresh(room).is_some() {
        return;
    }
    let cure = match known.node(room) {
        Some(_) => {
            "Look whether its control machine has power and its cables are whole. Once it is back it \
             comes into sync by itself."
        }
        None => "Start its control machine with the seed of that room, on the same network.",
    };
    found.push(Found {
        tone: Tone::Warning,
        place: room_first(room).to_owned(),
        what: unheard(known, room).replace(room_first(room), "It"),
        cure: Some(cure.to_owned()),
    });
}

fn stores(known: &Known<'_>, room: Room, found: &mut Vec<Found>) {
    let Some(pair) = known.pair(room) else { return };
    let place = room_first(room).to_owned();
    if let Some(trouble) = third::reach(known, room).trouble {
        found.push(Found {
            tone: Tone::Warning,
            place: place.clone(),
            what: format!("It does not reach the witness: {}", trouble + "."),
            cure: Some(format!(
                "Look at the way out of {} and whether the witness runs. Without it no room goes on \
                 when the other one is lost.",
                named(room)
            )),
        });
    }
    if pair["disk_stuck"].as_bool() == Some(true) {
        found.push(Found {
            tone: Tone::Bad,
            place: place.clone(),
            what: "The disk of the store is stuck: a sync does not end.".to_owned(),
            cure: Some(
                "`journalctl -k` tells of the disk. Replace it if it does this again.".into(),
            ),
        });
    }
    if let Some(refusal) = pair["refusal"].as_str() {
        let led = known.leader().is_some();
        let other = named(room.other());
        // Where the other room leads, to go on here would make two histories.
        let cure = if led {
            format!("Mend the link between the rooms: {} then catches up by itself.", named(room))
        } else {
            format!(
                "Bring {other} or the authority back. If {other} is gone for good and switched off, \
                 `duetd store go-on-alone` on {} has it go on.",
                named(room),
            )
        };
        found.push(Found {
            tone: if led { Tone::Warning } else { Tone::Bad },
            place,
            what: format!("It does not go on alone. {}", seen_from_outside(refusal, room)),
            cure: Some(cure),
        });
    }
}

fn nodes(known: &Known<'_>, room: Room, found: &mut Vec<Found>) {
    let Some((node, age)) = known.node(room) else { return };
    let name = text(&node.status["hostname"]).map_or(String::new(), |name| format!(", {name}"));
    let old = if age < OLD_AFTER_S { "" } else { ", when it was last heard" };
    for finding in node.status["findings"].as_array().into_iter().flatten() {
        let Some(what) = text(&finding["what"]) else { continue };
        found.push(Found {
            tone: match finding["severity"].as_str() {
                // It may be so no longer; that the room is silent matters more.
                _ if age >= OLD_AFTER_S => Tone::Quiet,
                Some("bad") => Tone::Bad,
                _ => Tone::Warning,
            },
            place: format!("{}{name}{old}", room_first(room)),
            what,
            cure: text(&finding["cure"]),
        });
    }
}

/// What k3s is told in one room and not in the other, though it must be equal.
fn kubernetes(known: &Known<'_>, found: &mut Vec<Found>) {
    let alike = |room| {
        let (node, _) = known.node(room)?;
        Alike::deserialize(&node.status["kubernetes"]["alike"]).ok()
    };
    let (Some(ours), Some(theirs)) = (alike(known.here), alike(known.here.other())) else { return };
    found.extend(differences(&ours, &theirs).into_iter().map(|difference| Found {
        tone: Tone::Bad,
        place: "Kubernetes".to_owned(),
        what: sentence(&clean(&difference)),
        cure: Some(
            "Both rooms must be told the same: build both rooms' images from the same site file and the \
             same release, and write them anew, one room after the other."
                .to_owned(),
        ),
    }));
}

/// What was heard on the wire and is none of this site's.
fn wire(known: &Known<'_>, found: &mut Vec<Found>) {
    let neighbours = &known.view.neighbours;
    let list = |key: &str| neighbours[key].as_array().into_iter().flatten();
    for problem in list("problems") {
        let Some(what) = text(&problem["what"]) else { continue };
        // Another site is only to be known; it does no harm.
        let quiet = problem["level"].as_str() == Some("notice");
        let tone = if quiet { Tone::Quiet } else { Tone::Warning };
        found.push(Found { tone, place: "On the wire".into(), what, cure: text(&problem["cure"]) });
    }
    let mut others: Vec<String> = list("rooms")
        .filter(|one| one["kind"].as_str() == Some("other-site"))
        .filter_map(|one| text(&one["site"]))
        .filter(|site| list("problems").all(|known| !mentions(known, site)))
        .collect();
    others.sort();
    others.dedup();
    found.extend(others.into_iter().map(|site| Found {
        tone: Tone::Quiet,
        place: "On the wire".to_owned(),
        what: sentence(&format!("another site, {}, is here too; it is left aside", clean(&site))),
        cure: None,
    }));
}

fn mentions(problem: &Value, site: &str) -> bool {
    problem["what"].as_str().is_some_and(|what| what.contains(site))
}
