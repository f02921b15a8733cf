//! A store and an apiserver in each of two rooms. Start at [`share`]: what is written in one room is seen in
//! the other; the room that leads is lost under load, and comes back.

use std::thread;
use std::time::{Duration, Instant};

use pair::Room;

use crate::api::{Api, at_once, revision};
use crate::cluster::Cluster;
use crate::controllers;
use crate::crash::{read_at_the_other, same_everywhere, under_load};
use crate::history::{none, untold};
use crate::place::{Place, make_namespace};
use crate::process::wait_for;
use crate::store::Door;
use crate::watch::Watch;
use crate::{say, step};

const LIMIT: Duration = Duration::from_secs(90);

/// How long is written before something happens, and after it.
const LOAD: Duration = Duration::from_millis(1500);

/// Objects that are created in each room.
const OBJECTS: u64 = 600;

/// Kubernetes' own: 15 s for the lease, 10 s to renew it, a try every 2 s.
const ELECTION: [u8; 3] = [15, 10, 2];

/// A store that is away for as long costs the controllers their leadership.
const LONGEST: Duration = Duration::from_secs(10);

/// Room `a` leads, and room `b` may go on without it.
pub(crate) fn share(cluster: &mut Cluster) {
    let start = |cluster: &mut Cluster, room: Room| {
        let name = if room == Room::A { "a" } else { "b" };
        step(&format!("an apiserver starts in room {room}"), || {
            cluster.start_apiserver(name, Door::Of(room))
        })
    };
    let a = start(cluster, Room::A);
    let b = start(cluster, Room::B);
    step("each room is told what the other one writes", || tell_each_other(&a, &b));
    step("each room reads what the other one wrote", || read_at_the_other(&a, &b, "both"));
    step("leadership changes hands under load", || hand_over(cluster, &a, &b));
    cluster.start_controllers("b", ELECTION);
    step("the room that leads is lost under load", || {
        controllers::keep_the_lease(&b, ELECTION, || lose_a(cluster, &a, &b));
    });
    step("it comes back", || cluster.store.two().return_room(Room::A));
    let a = start(cluster, Room::A);
    step("both rooms show the same", || same_everywhere(&a, &b));
    step("and each reads what the other one wrote", || read_at_the_other(&b, &a, "again"));
    cluster.must_run();
}

/// A watch in each room tells what is created in the other.
fn tell_each_other(a: &Api, b: &Api) {
    for (here, there, place) in
        [(a, b, Place::config_maps("from-a")), (b, a, Place::secrets("from-b"))]
    {
        make_namespace(here, place.namespace);
        let mut watch = Watch::open(there, &place.path(), revision(&place.list(there)));
        let numbers: Vec<u64> = (0..OBJECTS).collect();
        let create = |number: &u64| place.create(here, &format!("told-{number:04}"), *number);
        let writes = at_once(8, &numbers, create);
        watch.until(LIMIT, |watch| watch.changes.len() >= writes.len());
        none("the watch in the other room", &untold(&writes, &watch.changes));
        assert_eq!(watch.resumed, 0, "the watch broke with nothing broken");
    }
}

/// The rooms hand over to each other and back, and nobody is told that anything went wrong.
fn hand_over(cluster: &mut Cluster, a: &Api, b: &Api) {
    make_namespace(a, "handed");
    let two = cluster.store.two();
    let load = under_load("handed", &[a.clone(), b.clone()], || {
        for _ in 0..2 {
            thread::sleep(LOAD);
            let _ = two.hand_over();
        }
        thread::sleep(LOAD);
    });
    assert_eq!((load.broken, load.broken_at_last, load.unknown), (0, 0, 0));
}

/// The leading room's store and apiserver die at once; the other room's serve on.
fn lose_a(cluster: &mut Cluster, a: &Api, b: &Api) {
    make_namespace(b, "lost");
    let load = under_load("lost", &[a.clone(), b.clone()], || {
        thread::sleep(LOAD);
        assert_eq!(cluster.store.two().until_in_sync(), Room::A);
        cluster.store.two().until_it_would_survive(Room::B);
        cluster.store.two().kill(Room::A);
        cluster.kill_apiserver("a");
        let lost = Instant::now();
        let place = Place::config_maps("default");
        let mut tries = 0;
        wait_for("room b takes writes", LIMIT, || {
            tries += 1;
            let probe = place.object(&format!("probe-{tries}"), 1);
            let answer = b.send("POST", &format!("{}?timeout=5s", place.path()), Some(&probe));
            answer.ok().filter(crate::api::Answer::is_good)
        });
        let away = lost.elapsed();
        say(&format!("kube:   room b takes writes after {away:?}, in try {tries}\n"));
        assert!(away < LONGEST, "{away:?}");
        thread::sleep(LOAD);
    });
    assert!(load.broken > 0 && load.unknown > 0, "nothing broke, so nothing was tested: {load:?}");
    assert_eq!(load.broken_at_last, 0, "watches in room b had no reason to break");
}
