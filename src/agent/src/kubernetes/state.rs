//! [`State`]: how Kubernetes is on a machine, as `duetd kubernetes watch` saw it, and what people are told of
//! it. Judges; looks at nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where it is left; it holds no secret.
pub const STATE: &str = "/run/duet-kubernetes/state.json";

/// What is older than this, in seconds, is no longer said to be so: it is looked at every few seconds.
const OLD_AFTER_S: u64 = 60;

/// How Kubernetes is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How far it is.
    pub phase: Phase,
    /// Why it is no further, as part of a sentence.
    #[serde(default)]
    pub why: Option<String>,
    /// The machines of the site that Kubernetes knows; only a control machine is told.
    #[serde(default)]
    pub machines: Vec<Member>,
    /// The SHA-256 of the certificate that the cluster's authority signs with, in k3s' own way; machines
    /// that join compare it.
    #[serde(default)]
    pub authority: Option<String>,
    /// When this was so: seconds since the machine's start.
    pub at_s: u64,
}

/// How far Kubernetes is on a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It is not to run.
    #[default]
    Off,
    /// It waits for its turn.
    Waits,
    /// It is being started.
    Starts,
    /// It does its work.
    Ready,
    /// It runs and does not do its work.
    Unready,
    /// It ended, and is tried again.
    Failed,
}

/// A machine that Kubernetes knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its zone: `room-a` or `room-b`; none if it has no such label.
    pub zone: Option<String>,
    /// Whether it takes work (its condition `Ready`).
    pub ready: bool,
}

/// What people are told, of the part `kubernetes` of a status; nothing where the image has no Kubernetes.
#[must_use]
pub fn words(kubernetes: &Value, uptime_s: u64) -> Option<String> {
    if !kubernetes.is_object() {
        return None;
    }
    let state: Option<State> = serde_json::from_value(kubernetes["state"].clone()).ok();
    let Some(state) = state.filter(|state| uptime_s.saturating_sub(state.at_s) < OLD_AFTER_S)
    else {
        return Some("not known".to_owned());
    };
    let word = match state.phase {
        Phase::Off => "does not run",
        Phase::Waits => "waits",
        Phase::Starts => "starts",
        Phase::Ready => "ready",
        Phase::Unready => "not ready",
        Phase::Failed => "has failed and is tried again",
    };
    let why = state.why.map_or(String::new(), |why| format!(": {why}"));
    let ready = state.machines.iter().filter(|machine| machine.ready).count();
    Some(match state.machines.len() {
        0 => format!("{word}{why}"),
        all => format!("{word}{why}; machines: {ready} of {all}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn people_are_told_what_is_so_now() {
        let state = |phase, why: Option<&str>| State {
            phase,
            why: why.map(str::to_owned),
            at_s: 100,
            ..State::default()
        };
        let told = |state: &State, now| words(&json!({ "state": state }), now).unwrap();
        assert_eq!(words(&Value::Null, 1), None);
        assert_eq!(words(&json!({ "state": null }), 1).unwrap(), "not known");
        let waits = state(Phase::Waits, Some("the other room goes first"));
        assert_eq!(told(&waits, 101), "waits: the other room goes first");
        assert_eq!(told(&waits, 160), "not known", "nobody has looked since");
        let machine = |ready| Member { name: "n".into(), zone: Some("room-a".into()), ready };
        let ready =
            State { machines: [true, false].map(machine).into(), ..state(Phase::Ready, None) };
        assert_eq!(told(&ready, 100), "ready; machines: 1 of 2");
    }
}
