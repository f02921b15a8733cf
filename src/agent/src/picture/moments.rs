//! What happened, in words. Start at [`of`]. The stores' events of both rooms, put together by time.

use serde_json::Value;
use site::Room;

use super::Known;
use super::words::{clean, room as named, room_first, seen_from_outside, sentence};

/// How many are shown.
const MOST: usize = 60;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// When: seconds since 1970, by the clock of the room.
    pub time: f64,
    /// Where.
    pub room: Room,
    /// The newest decision that the room knew then.
    pub decision: u64,
    /// A person may have to do something.
    pub warns: bool,
    /// What, as a sentence.
    pub text: String,
}

pub(super) fn of(known: &Known<'_>) -> Vec<Moment> {
    let nodes = Room::ALL.into_iter().filter_map(|room| known.node(room));
    let events = nodes.flat_map(|(node, _)| node.pair_events.as_array().into_iter().flatten());
    let mut moments: Vec<Moment> = events.filter_map(moment).collect();
    moments.sort_by(|one, other| other.time.total_cmp(&one.time));
    moments.dedup();
    moments.truncate(MOST);
    moments
}

fn moment(event: &Value) -> Option<Moment> {
    let room: Room = event["room"].as_str()?.parse().ok()?;
    let message = clean(event["message"].as_str()?);
    Some(Moment {
        time: event["time"].as_f64().filter(|time| (0.0..1e11).contains(time))?,
        room,
        decision: event["epoch"].as_u64().unwrap_or(0),
        warns: event["type"].as_str() == Some("Warning"),
        text: tell(room, event["reason"].as_str().unwrap_or_default(), &message),
    })
}

/// The message with its subject: a room's own word for itself is none.
fn tell(room: Room, reason: &str, message: &str) -> String {
    let (own, other) = (room_first(room), named(room.other()));
    match reason {
        "PeerSilent" => format!("{own} no longer hears {other}."),
        "PeerBack" => {
            format!("{own} hears {other} again; what the authority was asked no longer matters.")
        }
        "Witnessed" => format!("The witness knows this decision of {}.", named(room)),
        "PeerLeft" => {
            seen_from_outside(&format!("{other} asked {} to be left out", named(room)), room)
        }
        "DiskStuck" => {
            format!("The disk of {} is stuck, so {other} is asked to go on.", named(room))
        }
        "Refused" => {
            let why = message.strip_prefix("no: ").unwrap_or(message);
            format!("{own} does not go on: {}", lower(&seen_from_outside(why, room)))
        }
        // Whatever a later release may tell.
        _ => sentence(&format!("{own} {}", lower(&seen_from_outside(message, room)))),
    }
}

/// What follows a colon or a subject begins small, unless it is a name.
fn lower(text: &str) -> String {
    if text.starts_with("Room A") || text.starts_with("Room B") {
        return format!("r{}", &text[1..]);
    }
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}
