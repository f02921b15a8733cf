//! How this room's store stands with the other room's: asked of the store's page, judged and put into
//! words. Start at [`ask`]; [`findings`] and what follows are pure.

use std::time::Duration;

use ::store::client;
use serde_json::Value;
use site::Room;

use super::{Finding, Interface, judge, network};
use crate::store::endpoint;

/// Where the store of a control machine answers on this machine (overlays/control/etc/duet/store.toml).
pub(crate) const STORE: &str = "http://127.0.0.1:2381";

/// How long the store may take: a screen waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after the start, in seconds, the rooms may take to find each other.
const FINDING_PATIENCE_S: u64 = 180;

/// What the store says, its page `/duet/pair`; or why it does not say.
pub(crate) type Answer = Result<Value, String>;

/// The page of this machine's store.
pub(crate) fn ask() -> Answer {
    let answer = endpoint::within(async {
        let page = client::page(STORE, None, http::Method::GET, "/duet/pair");
        let late = |_| miette::miette!("no answer in {} s", PATIENCE.as_secs());
        Ok(tokio::time::timeout(PATIENCE, page).await.map_err(late)??)
    });
    let (_, text) = answer.map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|_| format!("{STORE} answers something else"))
}

/// What a person should know of it.
pub(super) fn findings(
    page: &Answer,
    uptime_s: u64,
    cards: &[Interface],
    found: &mut Vec<Finding>,
) {
    let page = match page {
        Ok(page) => page,
        Err(_) if uptime_s < judge::START_PATIENCE_S => return,
        Err(why) => {
            let what = format!("The state store of this room does not say how it is: {why}.");
            let cure = "`journalctl -b -u duet-store` tells why.";
            found.push(judge::bad("store.silent", what, cure));
            return;
        }
    };
    let other = other(page);
    let link = page["link"]["why_not"].as_str().map_or_else(String::new, |why| format!(" ({why})"));
    if page["disk_stuck"] == true {
        let what = "The disk of the state store does not keep what it is given: a write sticks.";
        found.push(judge::bad("store.disk", what, "Look at the disk: `dmesg`, `smartctl`."));
    }
    if !is_formed(page) {
        // Rooms that reach each other and do not fit need not be waited for.
        if uptime_s >= FINDING_PATIENCE_S || page["link"]["refused"].is_string() {
            let what =
                format!("The rooms have not become one: room {other} was not met yet{link}.");
            let cure = cure_of_refusal(page).unwrap_or_else(|| {
                let unplugged = network::unplugged(cards);
                let unplugged =
                    unplugged.map(|cards| format!(" There is none at {cards}.")).unwrap_or_default();
                format!(
                    "Is room {other} switched on, and the cable between the rooms connected?{unplugged} Over \
                     a router, write its address into the site file: `hosts` of [room.{}].",
                    other.to_lowercase()
                )
            });
            found.push(judge::bad("pair.unmet", what, cure));
        }
    } else if !serves(page) {
        let unheard = format!("it has not heard room {other} yet");
        let why = page["refusal"].as_str().unwrap_or(&unheard);
        let what = format!("This room does not serve: {why}{link}.");
        let refused = cure_of_refusal(page).map(|cure| cure + " ").unwrap_or_default();
        let cure = format!(
            "{refused}It goes on by itself once it hears room {other} or is let to. If room {other} is off and \
             stays off: `duetd store go-on-alone`."
        );
        found.push(judge::bad("pair.waits", what, cure));
    } else if page["survival"]["redundant"] != true {
        let lacking = if leader(page) == other { own(page) } else { other.clone() };
        // What the witness has not taken, it refuses for a reason.
        let unwitnessed = page["authority"]["witnessed"] == false && is_connected(page);
        let refused = page["refusal"].as_str().filter(|_| unwitnessed);
        let why = refused.map_or_else(|| link.clone(), |why| format!(" ({why})"));
        let what =
            format!("Room {} serves alone: room {lacking} is not in sync{why}.", leader(page));
        let back = cure_of_refusal(page).unwrap_or_else(|| {
            match (is_connected(page), page["authority"]["trouble"].is_string()) {
                // Rule 7 of docs/protocol.md.
                (true, true) => {
                    "The rooms hear each other, but the authority has to know first that both \
                                 are in sync: see that it answers."
                        .to_owned()
                }
                (true, false) if refused.is_some() => {
                    "A site that was begun anew is removed at its witness, and added again."
                        .to_owned()
                }
                (true, false) => format!("Room {lacking} is being sent what it lacks."),
                (false, _) if lacking == other => format!("Bring room {lacking} back."),
                (false, _) => format!("Mend the link to room {other}."),
            }
        });
        let cure = format!(
            "{back} It catches up by itself. Until it has, losing the one that serves stops the site."
        );
        found.push(judge::warning("pair.alone", what, cure));
    }
    if let Some(trouble) = page["authority"]["trouble"].as_str() {
        let kind = page["authority"]["kind"].as_str().unwrap_or("authority");
        let what = format!("The {kind} does not answer: {trouble}.");
        let cure = "Until it does, a room that loses the other one waits.";
        found.push(judge::warning("pair.authority", what, cure));
    }
}

/// What helps where the rooms reach each other and do not fit (src/store/src/peer/refusal.rs).
fn cure_of_refusal(page: &Value) -> Option<String> {
    let cure = match page["link"]["refused"].as_str()? {
        "clocks" | "validity" => {
            "Set the clock that is wrong: by a time server that both rooms reach (`chronyc -n sources`), or \
             by hand with `date --utc --set '2026-11-29 12:00'`."
        }
        "versions" => "Upgrade the room that is named.",
        "terms" => "Write the seeds of both rooms again, from one site file.",
        "site" | "room" | "name" | "authority" => {
            "Write to each machine the seed of its own room, from one site file."
        }
        _ => return None,
    };
    Some(cure.to_owned())
}

/// Whether this room answers its clients. A refusal alone says nothing: it may be the answer to a person.
fn serves(page: &Value) -> bool {
    page["role"] != "waits"
}

/// Whether the two rooms have ever become one.
pub(super) fn is_formed(page: &Value) -> bool {
    page["epoch"].as_u64().is_some_and(|epoch| epoch > 0)
}

/// Whether the rooms may still be finding each other after the start.
pub(super) fn is_forming(page: &Answer, uptime_s: u64) -> bool {
    let formed = page.as_ref().is_ok_and(is_formed);
    !formed && uptime_s < FINDING_PATIENCE_S
}

/// This room, and the other one, in upper case.
fn own(page: &Value) -> String {
    room(page).to_string().to_uppercase()
}

fn other(page: &Value) -> String {
    room(page).other().to_string().to_uppercase()
}

fn room(page: &Value) -> Room {
    page["room"].as_str().and_then(|room| room.parse().ok()).unwrap_or(Room::A)
}

/// Whether the rooms hear each other, in both directions.
fn is_connected(page: &Value) -> bool {
    !page["link"]["outward"].is_null() && !page["link"]["inward"].is_null()
}

fn leader(page: &Value) -> String {
    page["leader"].as_str().unwrap_or("?").to_uppercase()
}

/// Who leads and who is in sync, in a line.
pub(crate) fn rooms(page: &Value) -> String {
    if !is_formed(page) {
        return format!("looking for room {}", other(page));
    }
    let behind = page["follower"]["behind"].as_u64().or(page["behind"].as_u64()).unwrap_or(0);
    let epoch = &page["epoch"];
    let lag = if behind == 0 { String::new() } else { format!(", {behind} entries behind") };
    let leader = leader(page);
    match (serves(page), page["survival"]["redundant"] == true) {
        (false, _) => {
            format!("this one waits; the last decision, {epoch}, was for {leader}")
        }
        (true, true) => format!("{leader} leads, both in sync{lag} (decision {epoch})"),
        (true, false) => format!("{leader} leads alone (decision {epoch})"),
    }
}

/// The link to the other room, in a line.
pub(crate) fn link(page: &Value) -> String {
    let link = &page["link"];
    match (is_connected(page), link["round_trip_ms"].as_f64(), link["why_not"].as_str()) {
        (true, Some(trip), _) => format!("up, {} there and back", milliseconds(trip)),
        (true, None, _) => "up".to_owned(),
        (false, _, Some(why)) => format!("down: {why}"),
        (false, ..) => "down".to_owned(),
    }
}

/// Coarse, so that a screen is not drawn anew for each look.
fn milliseconds(ms: f64) -> String {
    match ms {
        ..1.0 => "less than 1 ms".to_owned(),
        1.0..10.0 => "a few ms".to_owned(),
        10.0..100.0 => "some 10 ms".to_owned(),
        _ => "more than 100 ms".to_owned(),
    }
}

/// What would happen if the other room were lost now.
pub(crate) fn survival(page: &Value) -> String {
    let survival = &page["survival"];
    let goes_on = if survival["goes_on"] == true { "this room goes on" } else { "this room waits" };
    let because = survival["because"].as_str().unwrap_or("nobody knows");
    format!("{goes_on}: {because}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::node::Problem;

    fn page() -> Value {
        json!({
            "site": "demo", "room": "a", "role": "leads", "epoch": 7, "leader": "a",
            "in_sync": ["a", "b"], "behind": 0, "follower": { "behind": 0 },
            "authority": { "kind": "witness", "trouble": null },
            "link": { "outward": "10.0.0.2:2380", "inward": "10.0.0.2:5", "round_trip_ms": 0.3 },
            "survival": { "goes_on": true, "because": "it would go on by the witness",
                          "redundant": true },
        })
    }

    /// The page with some of its fields otherwise.
    fn with(changes: Value) -> Value {
        let mut page = page();
        for (name, value) in changes.as_object().unwrap() {
            page[name] = value.clone();
        }
        page
    }

    fn codes(page: Result<Value, String>, uptime_s: u64) -> Vec<String> {
        let mut found = Vec::new();
        findings(&page, uptime_s, &[], &mut found);
        found.into_iter().map(|finding| finding.problem.code).collect()
    }

    #[test]
    fn two_rooms_in_sync_need_nobody() {
        assert_eq!(codes(Ok(page()), 1000), [""; 0]);
        assert_eq!(rooms(&page()), "A leads, both in sync (decision 7)");
        assert_eq!(link(&page()), "up, less than 1 ms there and back");
        assert_eq!(survival(&page()), "this room goes on: it would go on by the witness");
    }

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let alone = with(json!({
            "survival": { "goes_on": true, "because": "alone", "redundant": false },
            "link": { "outward": null, "inward": null, "why_not": "10.0.0.2:2380: refused" },
        }));
        assert_eq!(rooms(&alone), "A leads alone (decision 7)");
        assert_eq!(link(&alone), "down: 10.0.0.2:2380: refused");
        assert_eq!(codes(Ok(alone), 1000), ["pair.alone"]);
        let waits = with(json!({ "role": "waits", "refusal": "the witness does not answer",
                                 "authority": { "kind": "witness", "trouble": "no answer" } }));
        assert_eq!(codes(Ok(waits), 10), ["pair.waits", "pair.authority"]);
        // It was to lead, and neither the other room nor the witness hears it.
        let cut = with(json!({ "role": "waits", "refusal": "the witness does not answer" }));
        assert_eq!(rooms(&cut), "this one waits; the last decision, 7, was for A");
        assert_eq!(codes(Ok(cut), 10), ["pair.waits"]);
        // A person asked for a hand-over that could not be: the room leads on.
        let asked = with(json!({ "refusal": "the other room took too long to take over" }));
        assert_eq!(rooms(&asked), "A leads, both in sync (decision 7)");
        assert_eq!(codes(Ok(asked), 1000), [""; 0]);
        let stuck = with(json!({ "disk_stuck": true }));
        assert_eq!(codes(Ok(stuck), 10), ["store.disk"]);
    }

    #[test]
    fn rooms_that_do_not_fit_are_told_what_helps() {
        let cure = |refused: &str, cards: &[Interface]| {
            let why = "[fe80::1%2]:2380: the clock of room b is 525 days ahead of room a's";
            let refused = Some(refused).filter(|refused| !refused.is_empty());
            let link = json!({ "why_not": why, "refused": refused });
            let page = json!({ "room": "a", "role": "waits", "epoch": null, "link": link });
            let mut found = Vec::new();
            findings(&Ok(page), if refused.is_some() { 10 } else { 1000 }, cards, &mut found);
            assert!(found[0].problem.what.contains("525 days ahead"));
            found.remove(0).problem.cure
        };
        assert!(cure("clocks", &[]).starts_with("Set the clock that is wrong"));
        assert_eq!(cure("versions", &[]), "Upgrade the room that is named.");
        // A word of a later release.
        assert!(cure("colours", &[]).starts_with("Is room B switched on"));
        let unplugged = Interface {
            name: "enp0s16".into(),
            mac: None,
            carrier: Some(false),
            speed_mbit: None,
            addresses: Vec::new(),
        };
        assert!(cure("", &[unplugged]).contains("connected? There is none at enp0s16."));
    }

    #[test]
    fn the_room_that_is_not_in_sync_is_named_wherever_it_is_read() {
        let told = |changes: Value| {
            let mut alone = with(json!({ "in_sync": ["a"], "survival": { "redundant": false } }));
            alone.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            let mut found = Vec::new();
            findings(&Ok(alone), 1000, &[], &mut found);
            let Problem { what, cure, .. } = found.remove(0).problem;
            (what, cure.split_inclusive(". ").next().unwrap().trim().to_owned())
        };
        let what = "Room A serves alone: room B is not in sync.".to_owned();
        let apart = json!({ "outward": null, "inward": null });
        assert_eq!(told(json!({ "link": apart })), (what.clone(), "Bring room B back.".into()));
        let here = told(json!({ "room": "b", "role": "follows", "link": apart }));
        assert_eq!(here, (what.clone(), "Mend the link to room A.".into()));
        let joins = told(json!({ "room": "b", "role": "follows" }));
        assert_eq!(joins, (what.clone(), "Room B is being sent what it lacks.".into()));
        let why = "the witness refuses: it holds the register of another cluster";
        let authority = json!({ "kind": "witness", "trouble": null, "witnessed": false });
        let (said, cure) = told(json!({ "refusal": why, "authority": authority }));
        assert_eq!(said, format!("Room A serves alone: room B is not in sync ({why})."));
        assert!(cure.starts_with("A site that was begun anew is removed at its witness"), "{cure}");
        let unheard = json!({ "kind": "witness", "trouble": "no answer" });
        for room in ["a", "b"] {
            let (said, cure) = told(json!({ "room": room, "authority": unheard }));
            assert_eq!(said, what);
            assert!(cure.contains("the authority has to know first"), "{cure}");
        }
    }

    #[test]
    fn rooms_have_a_while_to_find_each_other() {
        let unmet = json!({ "room": "b", "role": "waits", "epoch": null, "link": {} });
        assert_eq!(rooms(&unmet), "looking for room A");
        let unmet = Ok(unmet);
        assert!(is_forming(&unmet, 179) && !is_forming(&unmet, 180));
        assert_eq!(codes(unmet.clone(), 179), [""; 0]);
        assert_eq!(codes(unmet, 180), ["pair.unmet"]);
        let silent = Err("no answer in 2 s".to_owned());
        assert!(is_forming(&silent, 10));
        assert_eq!(codes(silent.clone(), 10), [""; 0]);
        assert_eq!(codes(silent, 180), ["store.silent"]);
    }
}
