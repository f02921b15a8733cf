//! Judges what both rooms say. Start at [`Goal::met`] and [`contradiction`]. Pure.

use site::Room;

use super::seen::{Pair, Role, Seen};

/// What each room said last, if that is recent: room a first.
pub(super) type Sights = [Option<Seen>; 2];

/// What a machine says when another site is on its wire.
const OTHER_SITE: &str = "neighbour.other-site";

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The rooms speak with each other.
    Connected,
    /// One leads, the other follows, and both know each other to be in sync.
    InSync,
    /// This room would go on if the other one were lost now.
    WouldGoOn(Room),
    /// This room leads without the other one.
    Alone(Room),
    /// This room acknowledges nothing, and says why.
    Waits(Room),
    /// One room leads, this one if one is named; the other one says why not.
    One(Option<Room>),
    /// No room acknowledges anything, and both say why.
    Nobody,
    /// Both rooms say that somebody of another site is on the wire.
    StrangerReported,
    /// This room's machine finds this wrong.
    Says(Room, &'static str),
    /// It answers, and does not.
    SaysNothingOf(Room, &'static str),
}

impl Goal {
    /// Whether it is so; else what is missing, in words.
    pub(super) fn met(self, sights: &Sights) -> Result<(), String> {
        match self {
            Goal::Connected => each(sights, |_, pair| {
                wanted(pair.connected(), || "does not speak with the other one".to_owned())
            }),
            Goal::InSync => {
                let [a, b] = [pair(sights, Room::A)?, pair(sights, Room::B)?];
                let roles = [a.role, b.role];
                let fit =
                    roles == [Role::Leads, Role::Follows] || roles == [Role::Follows, Role::Leads];
                wanted(fit, || format!("room a {} and room b {}", word(a.role), word(b.role)))?;
                each(sights, |_, pair| {
                    wanted(pair.set() == [Room::A, Room::B], || {
                        format!("knows {} to be in sync", rooms(pair.set()))
                    })
                })
            }
            Goal::WouldGoOn(room) => {
                let pair = pair(sights, room)?;
                wanted(pair.survival.goes_on, || {
                    format!("room {room} would not go on: {}", pair.survival.because)
                })
            }
            Goal::Alone(room) => {
                let pair = pair(sights, room)?;
                let alone = pair.role == Role::Leads && pair.set() == [room];
                wanted(alone, || {
                    let set = rooms(pair.set());
                    format!("room {room} {}, in sync {set}{}", word(pair.role), because(pair))
                })
            }
            Goal::Waits(room) => waits(sights, room),
            Goal::One(named) => {
                let leads = leading(sights);
                match (leads.as_slice(), named) {
                    ([one], None) => waits(sights, one.other()),
                    ([one], Some(named)) if *one == named => waits(sights, one.other()),
                    ([_, _], _) => Err("both lead".to_owned()),
                    (leads, _) => Err(format!("{} leads", rooms(leads))),
                }
            }
            Goal::Nobody => waits(sights, Room::A).and(waits(sights, Room::B)),
            Goal::StrangerReported => [Room::A, Room::B].into_iter().try_for_each(|room| {
                let seen = seen(sights, room)?;
                let turned = seen.pair.as_ref().is_some_and(|pair| pair.link.turned_away.is_some());
                let reported = turned || seen.codes.iter().any(|code| code == OTHER_SITE);
                wanted(reported, || format!("room {room} says nothing of a stranger"))
            }),
            Goal::Says(room, code) => wanted(says(seen(sights, room)?, code), || {
                format!("room {room} says nothing of {code}")
            }),
            Goal::SaysNothingOf(room, code) => {
                wanted(!says(seen(sights, room)?, code), || format!("room {room} says {code}"))
            }
        }
    }
}

/// Whether what the rooms say can never be true together.
pub(super) fn contradiction(sights: &Sights) -> Option<String> {
    let [Some(a), Some(b)] = sights else { return None };
    let (a, b) = (a.pair.as_ref()?, b.pair.as_ref()?);
    let both = a.role == Role::Leads && b.role == Role::Leads;
    // Not seen at the same moment, so one after the other may lead: but never by one decision.
    (both && a.epoch == b.epoch)
        .then(|| format!("both rooms lead by decision {}", a.epoch.unwrap_or_default()))
}

/// Whether the seeds of both rooms give their machines an address in common.
pub(super) fn addresses(sights: &Sights) -> bool {
    let [Some(a), Some(b)] = sights else { return false };
    a.addresses.iter().any(|address| b.addresses.contains(address))
}

/// The rooms whose machine finds this wrong.
pub(super) fn saying(sights: &Sights, code: &str) -> Vec<Room> {
    let says = |room: &Room| seen(sights, *room).is_ok_and(|seen| says(seen, code));
    [Room::A, Room::B].into_iter().filter(says).collect()
}

fn says(seen: &Seen, code: &str) -> bool {
    seen.codes.iter().any(|one| one == code)
}

/// Who says that it leads, and may.
pub(super) fn leading(sights: &Sights) -> Vec<Room> {
    let leads = |room: &Room| pair(sights, *room).is_ok_and(Pair::goes_on);
    [Room::A, Room::B].into_iter().filter(leads).collect()
}

pub(super) fn pair(sights: &Sights, room: Room) -> Result<&Pair, String> {
    let pair = seen(sights, room)?.pair.as_ref();
    pair.ok_or_else(|| format!("room {room} says nothing of a pair"))
}

fn seen(sights: &Sights, room: Room) -> Result<&Seen, String> {
    let seen = sights[usize::from(room == Room::B)].as_ref();
    seen.ok_or_else(|| format!("room {room} does not answer"))
}

fn waits(sights: &Sights, room: Room) -> Result<(), String> {
    let pair = pair(sights, room)?;
    wanted(!pair.goes_on(), || format!("room {room} leads"))?;
    wanted(pair.why_not().is_some(), || format!("room {room} does not say why it waits"))
}

fn each(sights: &Sights, judge: impl Fn(Room, &Pair) -> Result<(), String>) -> Result<(), String> {
    [Room::A, Room::B].into_iter().try_for_each(|room| {
        judge(room, pair(sights, room)?).map_err(|why| format!("room {room} {why}"))
    })
}

fn wanted(is: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if is { Ok(()) } else { Err(why()) }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Leads => "leads",
        Role::Follows => "follows",
        Role::Joins => "joins",
        Role::Waits => "waits",
    }
}

fn because(pair: &Pair) -> String {
    pair.why_not().map(|why| format!(": {why}")).unwrap_or_default()
}

fn rooms(rooms: &[Room]) -> String {
    match rooms {
        [] => "nobody".to_owned(),
        [one] => format!("room {one}"),
        _ => "both".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::recorded;
    use super::*;

    fn said(a: &str, b: &str) -> Sights {
        [a, b].map(|name| {
            let pair = (!name.is_empty()).then(|| recorded(name));
            pair.map(|pair| Seen {
                pair: Some(pair),
                host_key: None,
                addresses: Vec::new(),
                codes: Vec::new(),
            })
        })
    }

    fn check(goal: Goal, sights: &Sights, expected: &str) {
        let judged = goal.met(sights).err().unwrap_or_default();
        assert_eq!(judged, expected, "{goal:?}");
    }

    #[test]
    fn in_sync_is_what_both_say() {
        let good = said("leads-in-sync", "follows-in-sync");
        check(Goal::InSync, &good, "");
        check(Goal::Connected, &good, "");
        check(Goal::WouldGoOn(Room::A), &good, "");
        check(Goal::InSync, &said("follows-in-sync", "leads-in-sync"), "");
        check(Goal::InSync, &said("leads-in-sync", ""), "room b does not answer");
        let two = said("follows-in-sync", "follows-in-sync");
        check(Goal::InSync, &two, "room a follows and room b follows");
        let late = said("follows-in-sync", "leads-alone");
        check(Goal::InSync, &late, "room b knows room b to be in sync");
        let cut = said("leads-in-sync", "leads-alone");
        check(Goal::Connected, &cut, "room b does not speak with the other one");
    }

    #[test]
    fn alone_is_told_from_waiting() {
        let alone = said("", "leads-alone");
        check(Goal::Alone(Room::B), &alone, "");
        check(Goal::Waits(Room::B), &alone, "room b leads");
        let waits = said("", "operator-waits");
        check(Goal::Waits(Room::B), &waits, "");
        check(
            Goal::Alone(Room::B),
            &waits,
            "room b waits, in sync both: this site has no automatic authority: it needs the peer or an \
             operator",
        );
        let follows = said("", "follows-in-sync");
        check(Goal::Waits(Room::B), &follows, "room b does not say why it waits");
        let operator = said("operator-leads", "");
        let why = "room a would not go on: this site has no automatic authority: it needs the peer or an \
                   operator";
        check(Goal::WouldGoOn(Room::A), &operator, why);
    }

    #[test]
    fn a_cut_link_leaves_one_or_nobody() {
        let one = said("operator-waits", "leads-alone");
        check(Goal::One(None), &one, "");
        check(Goal::One(Some(Room::B)), &one, "");
        check(Goal::One(Some(Room::A)), &one, "room b leads");
        check(Goal::Nobody, &one, "room b leads");
        let nobody = said("operator-waits", "operator-waits");
        check(Goal::Nobody, &nobody, "");
        check(Goal::One(None), &nobody, "nobody leads");
        let both = said("leads-in-sync", "leads-alone");
        check(Goal::One(None), &both, "both lead");
        // It led when it was cut off from the other room and the witness.
        let late = said("leader-cut-off", "leads-alone");
        check(Goal::One(Some(Room::B)), &late, "");
        check(Goal::Waits(Room::A), &late, "");
        check(
            Goal::Alone(Room::A),
            &late,
            "room a waits, in sync both: the authority does not answer: it \
            needs that, the peer, or an operator",
        );
    }

    #[test]
    fn two_leaders_of_one_decision_are_a_contradiction() {
        // One after the other is possible: these are of different decisions.
        assert_eq!(contradiction(&said("leads-in-sync", "leads-alone")), None);
        let both = said("leads-alone", "leads-alone");
        assert_eq!(contradiction(&both).as_deref(), Some("both rooms lead by decision 5"));
    }

    #[test]
    fn a_stranger_is_reported_by_both() {
        let mut sights = said("leads-in-sync", "follows-in-sync");
        check(Goal::StrangerReported, &sights, "room a says nothing of a stranger");
        for seen in sights.iter_mut().flatten() {
            seen.codes.push("neighbour.other-site".into());
        }
        check(Goal::StrangerReported, &sights, "");
    }

    #[test]
    fn what_a_machine_finds_wrong_is_seen() {
        let mut sights = said("leads-in-sync", "follows-in-sync");
        check(Goal::SaysNothingOf(Room::A, "x"), &sights, "");
        check(Goal::Says(Room::A, "x"), &sights, "room a says nothing of x");
        for seen in sights.iter_mut().flatten() {
            seen.addresses.push("192.0.2.10/24".to_owned());
        }
        assert!(addresses(&sights));
        if let Some(a) = &mut sights[0] {
            a.codes.push("x".to_owned());
            a.addresses.clear();
        }
        check(Goal::Says(Room::A, "x"), &sights, "");
        check(Goal::SaysNothingOf(Room::A, "x"), &sights, "room a says x");
        assert_eq!((saying(&sights, "x"), addresses(&sights)), (vec![Room::A], false));
        // Who does not answer says nothing, and that is no good sign.
        sights[0] = None;
        check(Goal::SaysNothingOf(Room::A, "x"), &sights, "room a does not answer");
    }
}
