//! Which addresses the store is to dial, of all that may be the other room. Start at [`choose`].
//!
//! Three rules: what was set and what was confirmed always stays; of the rest, a bounded number is tried at a
//! time; and where more was heard than that, all get their turn. So a forger costs some dials and some time,
//! and cannot keep the true one out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use site::Label;

use super::announcement::{Address, Id};

/// All candidates: as many as the store tries at once.
pub(super) const MOST: usize = 16;

/// How many of them were only heard.
pub(super) const MOST_HEARD: usize = 8;

/// How many of these are one machine's.
pub(super) const MOST_OF_ONE: usize = 4;

/// How long a set of those that were only heard is tried before the next one, where there are more than fit:
/// the store tries all of its candidates within seconds.
pub(super) const TURN: Duration = Duration::from_secs(15);

/// A machine that says to be the other room's.
pub(super) struct Host<'a> {
    pub(super) node: &'a Label,
    pub(super) port: u16,
    /// Since when it is known: who came first is first.
    pub(super) first: (Instant, Id),
    /// Its addresses, best first, and whether each is a former one.
    pub(super) addresses: Vec<(&'a Address, bool)>,
}

/// The candidates in their order, each with the reason for which it is there.
pub(super) fn choose(
    set: &[String],
    confirmed: &[(SocketAddr, Instant)],
    mut hosts: Vec<Host<'_>>,
    turn: u64,
) -> Vec<(String, String)> {
    let mut chosen: Vec<(String, String)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |chosen: &mut Vec<(String, String)>, url: &str, why: String| {
        if chosen.len() < MOST && seen.insert(url.to_owned()) {
            chosen.push((url.to_owned(), why));
        }
    };
    for url in set {
        add(&mut chosen, url, "set".to_owned());
    }
    for (place, _) in confirmed {
        add(&mut chosen, &url_of(*place, &hosts), "confirmed".to_owned());
    }
    hosts.sort_by_key(|host| host.first);
    for (url, why) in of_turn(&hosts, confirmed, turn) {
        add(&mut chosen, &url, why);
    }
    chosen
}

/// The confirmed place as it was heard, since a zone's name outlives its number; else as it is.
fn url_of(place: SocketAddr, hosts: &[Host<'_>]) -> String {
    let same = |host: &&Host<'_>| host.port == place.port();
    let addresses = hosts.iter().filter(same).flat_map(|host| &host.addresses);
    let heard = addresses.map(|(address, _)| *address).find(|own| own.ip() == place.ip());
    heard.map_or_else(|| format!("https://{place}"), |address| address.url(place.port()))
}

/// Those that were heard and whose turn it is: present ones first, of these the routable ones first.
fn of_turn(
    hosts: &[Host<'_>],
    confirmed: &[(SocketAddr, Instant)],
    turn: u64,
) -> Vec<(String, String)> {
    let known = |host: &Host<'_>, address: &Address| {
        confirmed.iter().any(|(place, _)| place.ip() == address.ip() && place.port() == host.port)
    };
    // The first address of each, then the second of each: many machines do not make one of them wait.
    let mut all: Vec<(bool, usize, usize, &Address)> = Vec::new();
    for (number, host) in hosts.iter().enumerate() {
        let fresh = host.addresses.iter().filter(|(address, _)| !known(host, address));
        for (place, (address, former)) in fresh.enumerate() {
            all.push((*former, place, number, address));
        }
    }
    all.sort_by_key(|(former, place, number, _)| (*former, *place, *number));
    let fits =
        all.len() <= MOST_HEARD && hosts.iter().all(|host| host.addresses.len() <= MOST_OF_ONE);
    let turns = if fits { 1 } else { all.len().div_ceil(MOST_OF_ONE).max(1) as u64 };
    let start = (turn % turns) as usize * MOST_OF_ONE;
    let mut of_each = vec![0; hosts.len()];
    let mut taken = Vec::new();
    for (former, _, number, address) in all.iter().cycle().skip(start).take(all.len()) {
        if taken.len() < MOST_HEARD && of_each[*number] < MOST_OF_ONE {
            of_each[*number] += 1;
            taken.push((*former, *number, *address));
        }
    }
    taken.sort_by_key(|(former, number, address)| (*former, address.is_link_local(), *number));
    let url = |(_, number, address): (bool, usize, &Address)| {
        let host = &hosts[number];
        (address.url(host.port), format!("heard of {}", host.node))
    };
    taken.into_iter().map(url).collect()
}
