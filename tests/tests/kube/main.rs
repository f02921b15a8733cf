//! A real Kubernetes on the store: kube-apiserver, kube-controller-manager and kubectl, as they are
//! built from their sources, do what a cluster does, while the store is compacted every few seconds,
//! and killed.
//!
//! Start at [`kubernetes_lives_on_the_store`]: one run in named steps, since a cluster takes long to
//! start and each step makes the next one harder. [`kubernetes_lives_in_two_rooms`] has a store and an
//! apiserver in each room, and loses one of them. The logs of all programs stay in the target
//! folder under `tests/kube`. With `DUET_KUBE_STORE=etcd` the same runs on etcd, to judge the judge.

#![allow(clippy::unwrap_used)]

mod api;
mod certs;
mod cluster;
mod controllers;
mod crash;
mod crds;
mod expiry;
mod history;
mod objects;
mod place;
mod process;
mod rooms;
mod store;
mod watch;

use std::time::Instant;

use pair::Room;
use tests::programs::{checkout, hold, peers, say};

use api::Api;
use cluster::{COMPACTION, Cluster};
use expiry::Mortals;
use history::none;
use objects::OldPage;
use store::Door;

/// How often the store is killed.
const KILLS: usize = 4;

#[test]
fn kubernetes_lives_on_the_store() {
    let Some(peers) = peers("kubernetes") else { return };
    let _alone = hold("kube");
    let mut cluster = Cluster::start(peers);
    let (a, pages) = one_apiserver(&mut cluster);
    let b = two_apiservers(&mut cluster, &a);
    controllers(&mut cluster, &b);
    a_store_that_dies(&mut cluster, &b, &pages);
    cluster.must_run();
    none("the apiservers' logs", &step("all ends in good order", || cluster.stop()));
}

#[test]
fn kubernetes_lives_in_two_rooms() {
    live_in_two_rooms("preferred:b");
}

#[test]
fn kubernetes_lives_in_two_rooms_with_a_witness() {
    live_in_two_rooms("witness");
}

fn live_in_two_rooms(grants: &str) {
    let Some(peers) = peers("kubernetes") else { return };
    let _alone = hold("kube");
    let mut cluster = step(&format!("two rooms are in sync, with {grants}"), || {
        let mut cluster = Cluster::start_in_two_rooms(peers, grants);
        // The room that will be lost is the one that leads.
        let two = cluster.store.two();
        if two.until_in_sync() != Room::A {
            let _ = two.hand_over();
        }
        cluster
    });
    rooms::share(&mut cluster);
    none("the apiservers' logs", &step("all ends in good order", || cluster.stop()));
}

/// What one client after the other does to one apiserver, reached with mutual TLS.
fn one_apiserver(cluster: &mut Cluster) -> (Api, Vec<OldPage>) {
    let a =
        step("an apiserver starts on an empty store", || cluster.start_apiserver("a", Door::Tls));
    let version = cluster.kubectl("a", &["version", "--output=json"]);
    assert_eq!(version.out.matches(&pinned()).count(), 2, "{version}");

    let mut mortals = Mortals::create(&a, "mortals");
    step("thousands of objects are created and watched", || objects::create_and_watch(&a));
    mortals.renew(&a);
    let pages = step("they are read page by page", || objects::page(&a));
    step("kubectl reads the same pages", || objects::page_with_kubectl(cluster, &a));
    step("a watch begins with a list", || objects::watch_with_list(&a));
    step("reads from the cache are consistent", || objects::read_consistently(&a));
    step("an object is changed by many at once", || objects::change_at_once(&a));
    step("a kind is defined and used", || crds::learn(cluster, &a));
    step("large objects are held, too large ones refused", || crds::hold_large_ones(&a));
    step("thousands of objects are deleted", || objects::delete(cluster, &a));
    step("objects are counted", || objects::count(&a));
    step("events die in time", || mortals.must_die_in_time(&a));
    (a, pages)
}

/// A second apiserver, reached through the socket, takes over from the first.
fn two_apiservers(cluster: &mut Cluster, a: &Api) -> Api {
    let b = step("a second apiserver starts", || cluster.start_apiserver("b", Door::Socket));
    step("both show the same", || crash::same_everywhere(a, &b));
    step("each shows what the other wrote", || crash::read_at_the_other(a, &b, "both"));
    step("a lease has one holder", || controllers::hold_a_lease(a, &b));
    crash::must_know_apiservers(&b, &["192.0.2.1", "192.0.2.2"]);
    step("an apiserver dies under load", || crash::hand_over(cluster, ("a", a), &b));
    b
}

/// Kubernetes' own controllers.
fn controllers(cluster: &mut Cluster, b: &Api) {
    step("the controllers have a leader", || controllers::lead(cluster, b, "b"));
    step("a quota is kept", || controllers::keep_a_quota(b));
    step("garbage is collected", || controllers::collect_garbage(b));
    step("a namespace is deleted", || controllers::delete_a_namespace(cluster, b, "b"));
    step("a dead apiserver is forgotten", || crash::must_know_apiservers(b, &["192.0.2.2"]));
}

/// The store is killed, and an apiserver begins on what it had kept.
fn a_store_that_dies(cluster: &mut Cluster, b: &Api, pages: &[OldPage]) {
    let mortals = Mortals::create(b, "survivors");
    let started =
        step("the store is killed under load", || crash::kill_the_store(cluster, b, KILLS));
    let c = step("an apiserver starts on a full store", || cluster.start_apiserver("c", Door::Tls));
    step("caches kept by watching are right", || crash::same_everywhere(b, &c));
    step("a kind is forgotten", || crds::forget(cluster, &c, "c"));
    step("events die whose store was killed", || mortals.must_die_after(&c, started));
    step("old revisions are gone", || {
        objects::old_revisions_are_gone(&c, pages, 3 * COMPACTION);
    });
}

/// The version of Kubernetes that is pinned.
fn pinned() -> String {
    let module = checkout().join("tests/peers/kubernetes/go.mod");
    let text = std::fs::read_to_string(module).unwrap();
    let version =
        text.split("k8s.io/kubernetes v").nth(1).and_then(|rest| rest.split_whitespace().next());
    format!("\"v{}\"", version.unwrap())
}

/// Runs a step, and says how long it took, or that it failed.
fn step<T>(name: &str, work: impl FnOnce() -> T) -> T {
    struct Told<'a>(&'a str, Instant);
    impl Drop for Told<'_> {
        fn drop(&mut self) {
            let took = self.1.elapsed().as_secs_f64();
            let end = if std::thread::panicking() { "FAILED after" } else { "took" };
            say(&format!("kube: {}: {end} {took:.1} s\n", self.0));
        }
    }
    let _told = Told(name, Instant::now());
    work()
}
