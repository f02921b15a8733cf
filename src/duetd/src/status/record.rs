//! What the other programs of a boot left for the status: [`BootRecord`] by /init, [`Verdict`] by
//! `duetd health`.

use serde::{Deserialize, Serialize};
use site::Slot;

/// How the machine started: the part of `/run/duet/boot.json` that is shown. /init describes the
/// whole in its own `Record`; keys that are not known here are its business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct BootRecord {
    /// See [`Boot::root_hash`](super::Boot::root_hash).
    pub root_hash: Option<String>,
    /// See [`Boot::slot`](super::Boot::slot).
    pub slot: Option<Slot>,
    /// See [`Boot::netboot`](super::Boot::netboot).
    #[serde(default)]
    pub netboot: bool,
    /// The state partition.
    #[serde(default)]
    pub state: StateRecord,
    /// The ESP.
    #[serde(default)]
    pub esp: EspRecord,
    /// Sentences on what is not as it should be.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// How /var came to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct StateRecord {
    /// `formatted`, `grown`, `mounted` or `tmpfs`.
    pub action: Option<String>,
}

/// What became of the ESP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct EspRecord {
    /// Why it is not mounted, if it is not.
    pub problem: Option<String>,
}

/// What `duetd health` decided, in `/run/duet/health.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Whether this boot is good.
    pub good: bool,
    /// Why it is not.
    pub reasons: Vec<String>,
    /// Whether the machine was restarted because of that.
    pub restarting: bool,
}
