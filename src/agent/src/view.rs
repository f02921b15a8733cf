//! [`View`]: how a site is, as one of its nodes knows, in one JSON document. The page, `duet status` and the
//! status screen all show this. Start at [`View::read`]. Judges nothing; opens nothing.
//!
//! ```text
//!  {format, site,
//!   here:  {status, pair, pair_events},        this node
//!   there: {status, pair, pair_events} | null, the other room's control machine, as it was last seen
//!   there_heard_s,                             seconds since then, or null
//!   neighbours,                                who is on the wire, or null
//!   left_out: ["..."]}                         what is missing here, and why
//! ```
//!
//! `status` is what `duetd status --json` prints, `pair` and `pair_events` are the store's own pages
//! (`/duet/pair`, `/duet/pair/events`). Keys are only ever added; whatever would break a reader raises
//! [`FORMAT`]. Nothing in it is secret: who may reach a node may read it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use site::Room;

/// The version of the JSON.
pub const FORMAT: u32 = 1;

/// How many of a store's events are in a view; the newest.
pub const EVENTS: usize = 100;

/// The longest view in bytes. A status has some kilobytes, and a hundred events some twenty.
pub const LONGEST: usize = 1 << 20;

/// After so many seconds without an answer, what is known of the other room is old.
pub const OLD_AFTER_S: u64 = 10;

/// How the site is, as one node knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// [`FORMAT`].
    pub format: u32,
    /// The site's name.
    pub site: String,
    /// The node that answers.
    pub here: NodeView,
    /// The control machine of the other room, as it was last seen.
    #[serde(default)]
    pub there: Option<NodeView>,
    /// How many seconds ago that was.
    #[serde(default)]
    pub there_heard_s: Option<u64>,
    /// Who else is on the wire; null if nobody looks.
    #[serde(default)]
    pub neighbours: Value,
    /// What is missing in this view and why, as sentences.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// How one node is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// What `duetd status --json` prints.
    #[serde(default)]
    pub status: Value,
    /// The store's page `/duet/pair`; null where there is no store or it does not answer.
    #[serde(default)]
    pub pair: Value,
    /// The newest of the store's events, oldest first; null likewise.
    #[serde(default)]
    pub pair_events: Value,
}

/// Why a text is no view.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ViewError {
    /// It is something else.
    #[error("the answer is no view of a site: {0}")]
    #[diagnostic(code(network::view), help("is this the status port of a node of Duet?"))]
    Form(serde_json::Error),
    /// It was made by a later release.
    #[error("the view has format {0}, and only format {FORMAT} is known here")]
    #[diagnostic(code(network::view), help("use the `duet` of the release that the nodes run"))]
    Format(u32),
}

impl View {
    /// Reads the JSON.
    ///
    /// # Errors
    /// If it is something else, or of a format that is not known.
    pub fn read(text: &[u8]) -> Result<View, ViewError> {
        let view: View = serde_json::from_slice(text).map_err(ViewError::Form)?;
        if view.format != FORMAT {
            return Err(ViewError::Format(view.format));
        }
        Ok(view)
    }

    /// The room of the node that answers, as far as it knows.
    #[must_use]
    pub fn room(&self) -> Option<Room> {
        self.here.room()
    }

    /// The view without what is different at each look and means nothing: two views that are equal in this
    /// are shown as one.
    #[must_use]
    pub fn settled(&self) -> View {
        let mut view = self.clone();
        view.there_heard_s = view.there_heard_s.map(|age| age / OLD_AFTER_S);
        settle(&mut view.neighbours);
        for node in std::iter::once(&mut view.here).chain(view.there.as_mut()) {
            settle(&mut node.status);
            settle(&mut node.pair);
        }
        view
    }
}

impl NodeView {
    /// The room in which the node stands, by its seed or else its store.
    #[must_use]
    pub fn room(&self) -> Option<Room> {
        let seed = self.status["node"]["room"].as_str();
        seed.or(self.pair["room"].as_str())?.parse().ok()
    }

    /// The newest [`EVENTS`] of a list of events.
    #[must_use]
    pub fn newest(events: Value) -> Value {
        match events {
            Value::Array(mut list) if list.len() > EVENTS => {
                Value::Array(list.split_off(list.len() - EVENTS))
            }
            other => other,
        }
    }
}

/// Ages and measurements: they differ whenever somebody looks.
const RESTLESS: [&str; 11] = [
    "at_s",
    "uptime_s",
    "heard_s",
    "heard_seconds_ago",
    "silent_seconds",
    "follower_silent_seconds",
    "round_trip_ms",
    "answered",
    "authority_answered",
    "ahead_s",
    "used_bytes",
];

fn settle(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                if RESTLESS.contains(&key.as_str()) {
                    // Whether there is one stays.
                    *value = Value::Bool(!value.is_null());
                } else {
                    settle(value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(settle),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_view_is_read_back_and_anything_else_refused() {
        let view = View {
            format: FORMAT,
            site: "demo".into(),
            there_heard_s: Some(3),
            left_out: vec!["a part".into()],
            ..View::default()
        };
        let text = serde_json::to_vec(&view).unwrap();
        assert_eq!(View::read(&text).unwrap(), view);
        let later = json!({ "format": 2, "site": "demo", "here": {} });
        let error = View::read(later.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("the view has format 2"), "{error}");
        assert!(View::read(b"<html>").is_err());
    }

    #[test]
    fn what_only_ticks_is_no_change() {
        let view = |uptime: u64, trip: f64, revision: u64| View {
            here: NodeView {
                status: json!({ "uptime_s": uptime, "network": [{ "name": "x" }] }),
                pair: json!({ "revision": revision, "link": { "round_trip_ms": trip } }),
                pair_events: Value::Null,
            },
            ..View::default()
        };
        assert_eq!(view(1, 0.2, 7).settled(), view(2, 0.3, 7).settled());
        assert_ne!(view(1, 0.2, 7).settled(), view(1, 0.2, 8).settled());
        let mut cut = view(1, 0.2, 7);
        cut.here.pair["link"]["round_trip_ms"] = Value::Null;
        assert_ne!(cut.settled(), view(1, 0.2, 7).settled(), "that there is none is a change");
    }

    #[test]
    fn only_the_newest_events_are_kept() {
        let events: Value = (0..150).map(|time| json!({ "time": time })).collect();
        let kept = NodeView::newest(events);
        assert_eq!(kept.as_array().unwrap().len(), EVENTS);
        assert_eq!(kept[EVENTS - 1]["time"], 149);
        assert_eq!(NodeView::newest(Value::Null), Value::Null);
    }
}
