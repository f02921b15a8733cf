//! What a machine says about itself, as far as scenarios judge it. Start at [`Seen::parse`]. Pure.

use serde::Deserialize;
use serde_json::Value;
use site::Room;

/// One line of [`super::observe`]: what a machine said at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// How the pair is; none if the machine's store says nothing, or is a single one.
    pub(super) pair: Option<Pair>,
    /// The fingerprint of its ssh host key: another one is another machine.
    pub(super) host_key: Option<String>,
    /// The static addresses that its seed gives it.
    pub(super) addresses: Vec<String>,
    /// Codes of what it finds wrong, with itself and on the wire.
    pub(super) codes: Vec<String>,
}

/// How the pair is as one room knows it: part of the store's page `/duet/pair`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Pair {
    pub(super) role: Role,
    pub(super) epoch: Option<u64>,
    #[serde(default)]
    pub(super) in_sync: Option<Vec<Room>>,
    pub(super) authority: Asked,
    pub(super) link: Link,
    pub(super) refusal: Option<String>,
    pub(super) survival: Survival,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Leads,
    Follows,
    Joins,
    Waits,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Asked {
    pub(super) kind: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Link {
    outward: Option<String>,
    inward: Option<String>,
    /// Why somebody else was not let in.
    pub(super) turned_away: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Survival {
    pub(super) goes_on: bool,
    pub(super) because: String,
}

impl Seen {
    /// Reads `{"status": …, "pair": …, "neighbours": …}`; none if it is none, as when a machine is starting.
    pub(super) fn parse(line: &str) -> Option<Seen> {
        let line: Value = serde_json::from_str(line).ok()?;
        let status = &line["status"];
        status.as_object()?;
        let codes = |list: &Value| {
            let codes = list.as_array().into_iter().flatten();
            codes.filter_map(|one| one["code"].as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let words = |list: &Value| {
            let words = list.as_array().into_iter().flatten();
            words.filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let mut all = codes(&status["findings"]);
        all.extend(codes(&line["neighbours"]["problems"]));
        Some(Seen {
            pair: Pair::read(&status["pair"]).or_else(|| Pair::read(&line["pair"])),
            host_key: status["ssh_host_key"].as_str().map(str::to_owned),
            addresses: words(&status["node"]["addresses"]),
            codes: all,
        })
    }
}

impl Pair {
    /// Of the store's page; none if it is null, or an error.
    pub(super) fn read(page: &Value) -> Option<Pair> {
        Pair::deserialize(page).ok()
    }

    /// Whether the rooms speak with each other, in both directions.
    pub(super) fn connected(&self) -> bool {
        self.link.outward.is_some() && self.link.inward.is_some()
    }

    /// Who is in sync, in order.
    pub(super) fn set(&self) -> &[Room] {
        self.in_sync.as_deref().unwrap_or_default()
    }

    /// Whether this room leads: one that may not acknowledge says that it waits.
    pub(super) fn goes_on(&self) -> bool {
        self.role == Role::Leads
    }

    /// Why this room does not go on, if it says so.
    pub(super) fn why_not(&self) -> Option<&str> {
        let because = (!self.survival.goes_on).then_some(self.survival.because.as_str());
        self.refusal.as_deref().or(because).filter(|why| !why.is_empty())
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Pages that real stores gave.
    pub(in crate::scenario) fn recorded(name: &str) -> Pair {
        let text = match name {
            "leads-in-sync" => include_str!("recorded/leads-in-sync.json"),
            "follows-in-sync" => include_str!("recorded/follows-in-sync.json"),
            "leads-alone" => include_str!("recorded/leads-alone.json"),
            "leader-cut-off" => include_str!("recorded/leader-cut-off.json"),
            "operator-leads" => include_str!("recorded/operator-leads.json"),
            "operator-waits" => include_str!("recorded/operator-waits.json"),
            other => panic!("{other} was not recorded"),
        };
        Pair::read(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn recorded_pages_are_understood() {
        let leads = recorded("leads-in-sync");
        assert_eq!(
            (leads.role, leads.set(), leads.connected()),
            (Role::Leads, &[Room::A, Room::B][..], true)
        );
        assert_eq!((leads.authority.kind.as_str(), leads.why_not()), ("witness", None));
        let alone = recorded("leads-alone");
        assert_eq!(
            (alone.role, alone.set(), alone.connected()),
            (Role::Leads, &[Room::B][..], false)
        );
        let waits = recorded("operator-waits");
        assert_eq!(waits.role, Role::Waits);
        assert!(waits.why_not().unwrap().contains("no automatic authority"));
    }

    #[test]
    fn a_machine_without_a_pair_says_so() {
        let line = r#"{"status": {"pair": null, "ssh_host_key": "SHA256:x", "findings":
            [{"severity": "warning", "code": "clock.unsynchronised"}]},
            "neighbours": {"problems": [{"code": "neighbour.other-site", "level": "notice"}]}}"#;
        let seen = Seen::parse(line).unwrap();
        assert_eq!(seen.pair, None);
        assert_eq!(seen.codes, ["clock.unsynchronised", "neighbour.other-site"]);
        assert_eq!(Seen::parse(r#"{"status":{},"neighbours":null}"#).unwrap().pair, None);
        assert_eq!(Seen::parse(r#"{"status":,"neighbours":null}"#), None);
        let page = include_str!("recorded/leads-alone.json");
        let beside = Seen::parse(&format!(r#"{{"status":{{}},"pair":{page}}}"#)).unwrap();
        assert_eq!(beside.pair.unwrap(), recorded("leads-alone"));
        let ending = serde_json::json!({ "error": "the store is ending" });
        assert_eq!(Pair::read(&ending), None);
    }
}
