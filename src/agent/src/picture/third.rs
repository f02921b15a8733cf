//! What joins the rooms, and who decides when it does not. Start at [`link`] and [`of`].

use serde_json::Value;
use site::Room;

use super::words::{ago, round_trip, seen_from_outside, sentence, text};
use super::{Known, Tone};

/// The link between the rooms' stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// How it is to be read.
    pub tone: Tone,
    /// Such as "up" or "cut".
    pub word: String,
    /// Such as "under 1 ms there and back", or why there is none.
    pub more: Option<String>,
}

/// Who decides which room goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Third {
    /// Who it is.
    pub name: String,
    /// What it does, and whether it knows the newest decision.
    pub words: String,
    /// Whether room A and room B reach it; none where it is nothing that is reached.
    pub reach: [Option<Reach>; 2],
}

/// Whether a room reaches the third party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// How it is to be read.
    pub tone: Tone,
    /// Such as "reaches it".
    pub words: &'static str,
    /// Why it does not.
    pub trouble: Option<String>,
}

pub(super) fn link(known: &Known<'_>) -> Link {
    let pages = [known.here, known.here.other()].map(|room| (room, known.pair(room)));
    let Some((room, link)) = pages
        .into_iter()
        .find_map(|(room, pair)| Some((room, pair?.get("link").filter(|link| link.is_object())?)))
    else {
        return Link { tone: Tone::Quiet, word: "not known".to_owned(), more: None };
    };
    let turned_away = text(&link["turned_away"]).map(|why| seen_from_outside(&why, room));
    if link["outward"].is_string() && link["inward"].is_string() {
        let trip = link["round_trip_ms"].as_f64();
        let more = trip.map(|trip| format!("{} there and back", round_trip(trip)));
        return Link { tone: Tone::Good, word: "up".to_owned(), more };
    }
    let why = text(&link["why_not"]).map(|why| seen_from_outside(&why, room)).or(turned_away);
    let heard = link["heard_seconds_ago"].as_f64().map(|heard| {
        // As ages go: a negative or endless one is none.
        sentence(&format!("last heard {} ago", ago(heard.clamp(0.0, 1e9) as u64)))
    });
    // What was never up cannot have been cut.
    let (tone, word) =
        if heard.is_some() { (Tone::Bad, "cut") } else { (Tone::Warning, "not up yet") };
    let more = [why, heard].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Link { tone, word: word.to_owned(), more: Some(more).filter(|more| !more.is_empty()) }
}

pub(super) fn of(known: &Known<'_>) -> Third {
    let pages = [known.here, known.here.other()].map(|room| known.pair(room));
    let kind = pages.iter().flatten().find_map(|pair| text(&pair["authority"]["kind"]));
    let third =
        |name: &str, words: String| Third { name: name.to_owned(), words, reach: [None, None] };
    match kind.as_deref() {
        Some("witness") => Third {
            reach: Room::ALL.map(|room| Some(reach(known, room))),
            ..third("Witness", witness(known))
        },
        Some("power") => {
            third("Power switch", "A room goes on once the other one is switched off.".to_owned())
        }
        Some("preferred:a") => preferred("A", "B"),
        Some("preferred:b") => preferred("B", "A"),
        Some("operator") => third("A person", "No room goes on alone by itself.".to_owned()),
        _ => third("Not known", "No store says who decides.".to_owned()),
    }
}

fn preferred(first: &str, second: &str) -> Third {
    Third {
        name: format!("Room {first} is preferred"),
        words: format!("It goes on alone. Room {second} waits for it, or for a person."),
        reach: [None, None],
    }
}

/// What the witness knows, by the page of who leads.
fn witness(known: &Known<'_>) -> String {
    let page = known.leader().map(|(_, pair)| pair).or(known.pair(known.here));
    let authority = page.map_or(&Value::Null, |pair| &pair["authority"]);
    if authority["asking"].as_bool() == Some(true) {
        return "It is being asked.".to_owned();
    }
    let epoch = page.and_then(|pair| pair["epoch"].as_u64());
    match (authority["witnessed"].as_bool(), epoch) {
        (Some(true), Some(epoch)) => format!("It knows decision {epoch}, the newest."),
        (Some(false), _) => "It does not know the newest decision yet.".to_owned(),
        _ => "It decides which room goes on.".to_owned(),
    }
}

pub(super) fn reach(known: &Known<'_>, room: Room) -> Reach {
    let reach = |tone, words| Reach { tone, words, trouble: None };
    let Some(pair) = known.pair(room) else { return reach(Tone::Quiet, "not known") };
    let authority = &pair["authority"];
    match (text(&authority["trouble"]), authority["answered"].is_number()) {
        (Some(trouble), _) => {
            Reach { trouble: Some(trouble), ..reach(Tone::Bad, "does not reach it") }
        }
        (None, true) => reach(Tone::Good, "reaches it"),
        (None, false) => reach(Tone::Quiet, "has not asked it yet"),
    }
}
