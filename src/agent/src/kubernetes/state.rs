//! [`State`]: how Kubernetes is on a machine, as `duetd kubernetes watch` saw it, and what people are told of
//! it. Judges; looks at nothing.

use serde::{Deserialize, Serialize};

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

impl State {
    /// Whether it may still be so.
    #[must_use]
    pub fn is_fresh(&self, uptime_s: u64) -> bool {
        uptime_s.saturating_sub(self.at_s) < OLD_AFTER_S
    }
}

/// What people are told of it, on a machine that is on for so many seconds.
#[must_use]
pub fn words(state: Option<&State>, uptime_s: u64) -> String {
    let Some(state) = state.filter(|state| state.is_fresh(uptime_s)) else {
        return "not known".to_owned();
    };
    let word = match state.phase {
        Phase::Off => "does not run",
        Phase::Waits => "waits",
        Phase::Starts => "starts",
        Phase::Ready => "ready",
        Phase::Unready => "not ready",
        Phase::Failed => "has failed and is tried again",
    };
    let why = state.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    let ready = state.machines.iter().filter(|machine| machine.ready).count();
    match state.machines.len() {
        0 => format!("{word}{why}"),
        all => format!("{word}{why}; machines: {ready} of {all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_is_so_now() {
        let state = |phase, why: Option<&str>| State {
            phase,
            why: why.map(str::to_owned),
            at_s: 100,
            ..State::default()
        };
        let told = |state: &State, now| words(Some(state), now);
        assert_eq!(words(None, 1), "not known");
        let waits = state(Phase::Waits, Some("the other room goes first"));
        assert_eq!(told(&waits, 101), "waits: the other room goes first");
        assert_eq!(told(&waits, 160), "not known", "nobody has looked since");
        let machine = |ready| Member { name: "n".into(), zone: Some("room-a".into()), ready };
        let ready =
            State { machines: [true, false].map(machine).into(), ..state(Phase::Ready, None) };
        assert_eq!(told(&ready, 100), "ready; machines: 1 of 2");
    }
}
