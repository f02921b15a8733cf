//! The whole in a sentence. Start at [`of`].

use site::Room;

use super::words::{ago, clean, entries, room as named, room_first, seen_from_outside};
use super::{Known, Tone};

/// The whole in a sentence, and the next one that explains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// How it is to be read.
    pub tone: Tone,
    /// Such as "Both rooms are in sync."
    pub text: String,
    /// Such as "Room A leads."
    pub more: String,
}

fn headline(tone: Tone, text: impl Into<String>, more: impl Into<String>) -> Headline {
    Headline { tone, text: text.into(), more: more.into() }
}

pub(super) fn of(known: &Known<'_>) -> Headline {
    if let Some((leader, pair)) = known.leader() {
        return led(known, leader, pair["granted_by"].as_str());
    }
    let here = known.here;
    let other = here.other();
    let Some(pair) = known.pair(here) else {
        // A worker has no store, and knows what the other room's control machine says.
        if let Some(there) = known.pair(other) {
            return without_own(known, other, there["role"].as_str());
        }
        let text = format!("Nothing is known of the store of {}.", named(here));
        return headline(Tone::Bad, text, "It does not answer on this machine.");
    };
    match pair["role"].as_str() {
        Some("follows") => {
            let text = format!("{} follows {}.", room_first(here), named(other));
            headline(Tone::Warning, text, unheard(known, other))
        }
        Some("joins") => {
            let text = format!("{} joins {}.", room_first(here), named(other));
            headline(Tone::Warning, text, "It is sent what it lacks.")
        }
        _ => {
            let text = "Nobody leads: writes wait.";
            let why = pair["refusal"].as_str().map(|why| seen_from_outside(why, here));
            headline(Tone::Bad, text, why.unwrap_or_else(|| unheard(known, other)))
        }
    }
}

/// Somebody leads.
fn led(known: &Known<'_>, leader: Room, by: Option<&str>) -> Headline {
    let other = leader.other();
    if known.in_sync(other) == Some(true) {
        let leads = format!("{} leads.", room_first(leader));
        return match known.pair(other) {
            Some(_) => headline(Tone::Good, "Both rooms are in sync.", leads),
            None => headline(Tone::Warning, leads, unheard(known, other)),
        };
    }
    let granted = by.map_or(String::new(), |by| format!(", by {}", clean(by)));
    let text = format!("{} goes on alone{granted}.", room_first(leader));
    let more = match (known.pair(other), known.behind()) {
        (Some(_), Some(behind)) => {
            format!("{} catches up and is {} behind.", room_first(other), entries(behind))
        }
        (Some(pair), None) => match pair["refusal"].as_str() {
            Some(why) => format!("{} waits. {}", room_first(other), seen_from_outside(why, other)),
            None => format!("{} waits.", room_first(other)),
        },
        (None, _) => unheard(known, other),
    };
    headline(Tone::Warning, text, more)
}

fn without_own(known: &Known<'_>, other: Room, role: Option<&str>) -> Headline {
    let text = format!("{} {}.", room_first(other), role.unwrap_or("is there"));
    headline(
        Tone::Warning,
        text,
        format!("Nothing is known of the store of {}.", named(known.here)),
    )
}

/// For how long a room has not been heard.
pub(super) fn unheard(known: &Known<'_>, room: Room) -> String {
    match known.node(room) {
        Some((_, age)) if known.fresh(room).is_none() => {
            format!("{} has not answered for {}.", room_first(room), ago(age))
        }
        Some(_) => format!("The store of {} does not answer.", named(room)),
        None => format!("{} has not been heard yet.", room_first(room)),
    }
}
