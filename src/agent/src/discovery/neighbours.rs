//! [`Neighbours`]: what was heard on the wire, and what follows from it. Start at [`Neighbours::tick`].
//!
//! A value: time and announcements go in, a [`Report`] comes out when it changed. Reads no clock, opens no
//! socket, and believes nothing: what was heard only leads to a bounded number of dials, and the store's
//! certificates decide.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use site::{Label, Role, Room};

use super::announcement::{Address, Announcement, Id, Malformed};
use super::candidates::{self, Host};
use super::report::{Kind, Level, Neighbour, Problem, Report};

/// How many machines are remembered: two rooms and their neighbours' many times over. Each takes some hundred
/// bytes.
pub const MOST: usize = 256;

/// A machine that was not heard for so long is gone: three times as long as the wire is asked anew.
pub const SILENT: Duration = Duration::from_secs(200);

/// For so long one that is gone, or an address that is not said any more, is still a candidate: announcements
/// get lost, and a goodbye may be forged. Longer than until the wire is asked anew.
pub const KEPT: Duration = Duration::from_secs(90);

/// Where the other room was met, that is a candidate for so long whatever is heard.
pub const CONFIRMED: Duration = Duration::from_secs(3600);

/// How many such places there are: one for each way between two machines.
const MOST_CONFIRMED: usize = 4;

/// For how long a flood or a malformed announcement is told.
const TOLD: Duration = Duration::from_secs(300);

/// Who this machine is.
#[derive(Clone, Debug)]
pub struct Own {
    /// This boot of it.
    pub id: Id,
    /// Its site.
    pub site: Label,
    /// Its room.
    pub room: Room,
    /// What it is for.
    pub role: Role,
}

/// A machine that was heard.
struct Heard {
    said: Announcement,
    first: Instant,
    last: Instant,
    /// When it said goodbye, if it did.
    left: Option<Instant>,
    /// Addresses that it said before and does not say now, and when it said them last.
    former: Vec<(Address, Instant)>,
}

impl Heard {
    fn new(now: Instant, said: Announcement) -> Heard {
        Heard { said, first: now, last: now, left: None, former: Vec::new() }
    }

    /// When it was gone, if it is.
    fn gone(&self, now: Instant) -> Option<Instant> {
        let silent = self.last + SILENT;
        self.left.or((silent <= now).then_some(silent))
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        self.gone(now).is_some_and(|gone| gone + KEPT <= now)
    }

    fn has(&self, place: SocketAddr) -> bool {
        let mut addresses = self.said.addresses.iter();
        self.said.store_port == place.port() && addresses.any(|own| own.ip() == place.ip())
    }

    /// Takes what is said now; what was said before and is not now is kept for a while.
    fn hear(&mut self, now: Instant, said: Announcement) {
        let before = std::mem::replace(&mut self.said, said);
        let last = std::mem::replace(&mut self.last, now);
        self.left = None;
        // Elsewhere is another port, too: what was there before is nothing to go by.
        if before.store_port != self.said.store_port {
            self.former.clear();
            return;
        }
        let dropped = before.addresses.into_iter().map(|address| (address, last));
        self.former.splice(0..0, dropped);
        let said = &self.said.addresses;
        let mut seen = BTreeSet::new();
        self.former.retain(|(address, last)| {
            !said.contains(address) && *last + KEPT > now && seen.insert(address.clone())
        });
        self.former.truncate(super::announcement::ADDRESSES);
    }
}

/// How many were passed over, and the last time.
#[derive(Clone, Default)]
struct Count {
    number: u64,
    last: Option<Instant>,
    /// One of them, for a person to begin with.
    sample: String,
}

impl Count {
    fn add(&mut self, now: Instant, sample: impl FnOnce() -> String) {
        if !self.is_told(now) {
            *self = Count { sample: sample(), ..Count::default() };
        }
        self.number = self.number.saturating_add(1);
        self.last = Some(now);
    }

    fn is_told(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| last + TOLD > now)
    }
}

/// What was heard on the wire.
pub struct Neighbours {
    own: Option<Own>,
    /// What was set, as URLs.
    set: Vec<String>,
    began: Instant,
    heard: BTreeMap<Id, Heard>,
    /// Where the other room's store was met, the last first.
    confirmed: Vec<(SocketAddr, Instant)>,
    malformed: Count,
    flood: Count,
    deaf: Option<String>,
    reported: Option<Report>,
}

impl Neighbours {
    /// Nothing heard yet. Without `own`, nobody is a peer, and there are no candidates but those that are set:
    /// `https://host:port` each.
    #[must_use]
    pub fn new(now: Instant, own: Option<Own>, set: Vec<String>) -> Neighbours {
        Neighbours {
            own,
            set,
            began: now,
            heard: BTreeMap::new(),
            confirmed: Vec::new(),
            malformed: Count::default(),
            flood: Count::default(),
            deaf: None,
            reported: None,
        }
    }

    /// A machine announced itself, or is still known by what it announced.
    pub fn hear(&mut self, now: Instant, said: Announcement) {
        if self.own.as_ref().is_some_and(|own| own.id == said.id) {
            return;
        }
        self.heard.retain(|_, heard| !heard.is_forgotten(now));
        if let Some(heard) = self.heard.get_mut(&said.id) {
            heard.hear(now, said);
            return;
        }
        self.supersede(now, &said);
        if self.heard.len() >= MOST {
            self.flood.add(now, String::new);
            if !self.make_room(now) {
                return;
            }
        }
        self.heard.insert(said.id, Heard::new(now, said));
    }

    /// A machine said goodbye, or what it had said is no longer valid.
    pub fn gone(&mut self, now: Instant, id: Id) {
        if let Some(heard) = self.heard.get_mut(&id) {
            heard.left.get_or_insert(now);
        }
    }

    /// Something was announced that is no announcement.
    pub fn malformed(&mut self, now: Instant, malformed: &Malformed) {
        self.malformed.add(now, || malformed.to_string());
    }

    /// More was announced than the edge could hold.
    pub fn flooded(&mut self, now: Instant) {
        self.flood.add(now, String::new);
    }

    /// Whether the wire can be listened to, and if not, why.
    pub fn deaf(&mut self, why: Option<String>) {
        self.deaf = why;
    }

    /// The store is connected to the other room's there: at the address that it dialed, with that one's port.
    /// To be called again while that lasts.
    pub fn confirmed(&mut self, now: Instant, place: SocketAddr) {
        self.confirmed.retain(|(known, _)| *known != place);
        self.confirmed.insert(0, (place, now));
        self.confirmed.truncate(MOST_CONFIRMED);
    }

    /// What is known now, if that is another thing than was reported last.
    pub fn tick(&mut self, now: Instant) -> Option<Report> {
        self.heard.retain(|_, heard| !heard.is_forgotten(now));
        self.confirmed.retain(|(_, last)| *last + CONFIRMED > now);
        let report = self.report(now);
        if self.reported.as_ref() == Some(&report) {
            return None;
        }
        self.reported = Some(report.clone());
        Some(report)
    }

    /// A machine that lost its power says no goodbye, and comes back as another one. Its name and an address
    /// tell: then what it was before is gone, but no more than after a goodbye.
    fn supersede(&mut self, now: Instant, said: &Announcement) {
        for heard in self.heard.values_mut() {
            let before = &heard.said;
            let same = (&before.site, before.room, before.role, &before.node)
                == (&said.site, said.room, said.role, &said.node);
            if same && before.addresses.iter().any(|one| said.addresses.contains(one)) {
                heard.left.get_or_insert(now);
            }
        }
    }

    /// Forgets the one that matters least: gone before there, strangers before peers, and then the one that
    /// was not heard for longest. Never one whose address the store has confirmed.
    fn make_room(&mut self, now: Instant) -> bool {
        let confirmed = &self.confirmed;
        let unconfirmed = self.heard.iter().filter(|(_, heard)| {
            let place = |(place, _): &(SocketAddr, Instant)| heard.has(*place);
            !confirmed.iter().any(place)
        });
        let least = unconfirmed.min_by_key(|(id, heard)| {
            let peer = self.kind(&heard.said) == Some(Kind::Peer);
            (heard.gone(now).is_none(), peer, heard.last, **id)
        });
        let Some(id) = least.map(|(id, _)| *id) else { return false };
        self.heard.remove(&id).is_some()
    }

    fn kind(&self, said: &Announcement) -> Option<Kind> {
        let own = self.own.as_ref()?;
        Some(if said.site != own.site {
            Kind::OtherSite
        } else if said.room != own.room {
            Kind::Peer
        } else if said.role == Role::Control && own.role == Role::Control {
            Kind::Twin
        } else {
            Kind::SameRoom
        })
    }

    fn report(&self, now: Instant) -> Report {
        let there = self.heard.values().filter(|heard| heard.gone(now).is_none());
        let mut neighbours: Vec<Neighbour> = there
            .map(|heard| Neighbour {
                site: heard.said.site.clone(),
                room: heard.said.room,
                role: heard.said.role,
                node: heard.said.node.clone(),
                addresses: heard.said.addresses.iter().map(ToString::to_string).collect(),
                store_port: heard.said.store_port,
                page_port: heard.said.page_port,
                heard: heard.last,
                kind: self.kind(&heard.said),
            })
            .collect();
        self.name_twins(&mut neighbours);
        let order =
            |one: &Neighbour| (one.kind, one.site.clone(), one.room, one.role, one.node.clone());
        neighbours.sort_by_cached_key(order);
        let problems = self.problems(now, &neighbours);
        Report { candidates: self.candidates(now), neighbours, problems }
    }

    /// A worker sees twins where two control machines claim its room.
    fn name_twins(&self, neighbours: &mut [Neighbour]) {
        let control =
            |one: &Neighbour| one.role == Role::Control && one.kind == Some(Kind::SameRoom);
        if neighbours.iter().filter(|one| control(one)).count() > 1 {
            for one in neighbours.iter_mut().filter(|one| control(one)) {
                one.kind = Some(Kind::Twin);
            }
        }
    }

    fn candidates(&self, now: Instant) -> Vec<(String, String)> {
        let peers = self.heard.values().filter(|heard| {
            let peer = self.kind(&heard.said) == Some(Kind::Peer);
            peer && heard.said.role == Role::Control
        });
        let hosts = peers.map(|heard| {
            let gone = heard.gone(now).is_some();
            let said = heard.said.addresses.iter().map(|address| (address, gone));
            let former = heard.former.iter().filter(|(_, last)| *last + KEPT > now);
            let former = former.map(|(address, _)| (address, true));
            Host {
                node: &heard.said.node,
                port: heard.said.store_port,
                first: (heard.first, heard.said.id),
                addresses: said.chain(former).collect(),
            }
        });
        let turn = now.saturating_duration_since(self.began).as_secs() / candidates::TURN.as_secs();
        candidates::choose(&self.set, &self.confirmed, hosts.collect(), turn)
    }

    fn problems(&self, now: Instant, neighbours: &[Neighbour]) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(why) = &self.deaf {
            problems.push(Problem {
                code: "neighbour.deaf",
                level: Level::Warning,
                what: format!("The wire cannot be listened to: {why}."),
                cure: "See that UDP port 5353 is free for all programs and that a network card is up; the \
                       other room's address can also be set.",
            });
        }
        let of = |kind: Kind| neighbours.iter().filter(move |one| one.kind == Some(kind));
        if let Some(room) = of(Kind::Twin).next().map(|one| one.room) {
            problems.push(Problem {
                code: "neighbour.twin",
                level: Level::Warning,
                what: format!("Another control machine says that it is room {room}: {}.", list(of(Kind::Twin))),
                cure: "One of the two has a seed that is not its own: switch that one off, and give it the seed \
                       of its room.",
            });
        }
        if of(Kind::OtherSite).next().is_some() {
            problems.push(Problem {
                code: "neighbour.other-site",
                level: Level::Notice,
                what: format!("Another site is on this wire, and is ignored: {}.", list(of(Kind::OtherSite))),
                cure: "Nothing needs to be done; if it should be this site, its machines have a wrong seed.",
            });
        }
        if self.malformed.is_told(now) {
            let (number, sample) = (self.malformed.number, &self.malformed.sample);
            problems.push(Problem {
                code: "neighbour.malformed",
                level: Level::Notice,
                what: format!("{number} announcements could not be read, the first of {sample}."),
                cure: "A machine there runs another release, or somebody forges announcements.",
            });
        }
        if self.flood.is_told(now) {
            problems.push(Problem {
                code: "neighbour.flood",
                level: Level::Warning,
                what: format!("More than {MOST} machines announce themselves; not all are remembered."),
                cure: "Find out who sends them (tcpdump udp port 5353), or set the other room's address and turn \
                       discovery off.",
            });
        }
        problems
    }
}

/// How many machines a problem names; the list of all is beside it.
const NAMED: usize = 3;

/// The machines in one line.
fn list<'a>(neighbours: impl Iterator<Item = &'a Neighbour>) -> String {
    let all: Vec<&Neighbour> = neighbours.collect();
    let named = all.iter().take(NAMED).map(|one| {
        format!("{} of {}, room {} ({})", one.node, one.site, one.room, one.addresses.join(", "))
    });
    let named = named.collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}
