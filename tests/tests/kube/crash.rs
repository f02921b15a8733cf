//! Apiservers and stores that die while they are written to. Start at [`hand_over`] and
//! [`kill_the_store`]: what was acknowledged stands, and a watch goes on as if nothing had been.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::{Api, items, name, revision};
use crate::cluster::Cluster;
use crate::history::{Outcome, Write, none, unkept, untold};
use crate::place::{Place, held, make_namespace};
use crate::process::wait_for;
use crate::say;
use crate::watch::Watch;

const LIMIT: Duration = Duration::from_secs(90);

/// Writing goes on for so long before something dies, and after it is back.
const LOAD: Duration = Duration::from_millis(1500);

/// Threads per resource.
const WRITERS: usize = 3;

/// Both apiservers show the same objects at the same revisions: one filled its caches from lists a
/// moment ago, the other kept them by watching.
pub(crate) fn same_everywhere(one: &Api, other: &Api) {
    let mut objects = 0;
    for path in listable(one) {
        // None while a cache is filled.
        let versions = |api: &Api| -> Option<BTreeMap<String, u64>> {
            let list = api.get(&path);
            if list.status == 429 {
                return None;
            }
            let key = |object: &Value| {
                format!("{}/{}", object["metadata"]["namespace"], object["metadata"]["name"])
            };
            let list = list.good();
            Some(items(&list).iter().map(|object| (key(object), revision(object))).collect())
        };
        // Leases are renewed between the two lists, so not every pair shows the same moment.
        objects += wait_for(&format!("{path} is the same at both"), LIMIT, || {
            let (one, other) = (versions(one)?, versions(other)?);
            (one == other).then_some(one.len())
        });
    }
    assert!(objects > 1000, "only {objects} objects were compared");
}

/// The paths of everything that can be listed.
fn listable(api: &Api) -> Vec<String> {
    let groups = api.get("/apis").good();
    let preferred = groups["groups"].as_array().unwrap().iter().map(|group| {
        format!("/apis/{}", group["preferredVersion"]["groupVersion"].as_str().unwrap())
    });
    let mut paths = Vec::new();
    for group in preferred.chain(["/api/v1".to_owned()]) {
        let found = api.get(&group).good();
        for resource in found["resources"].as_array().unwrap() {
            let can_list = resource["verbs"].as_array().unwrap().iter().any(|verb| verb == "list");
            if can_list && resource["name"] != "componentstatuses" {
                paths.push(format!("{group}/{}", resource["name"].as_str().unwrap()));
            }
        }
    }
    paths
}

/// What is written at one apiserver is at once in a list of the other.
pub(crate) fn read_at_the_other(one: &Api, other: &Api, namespace: &'static str) {
    make_namespace(one, namespace);
    let place = Place::config_maps(namespace);
    for round in 0..20 {
        let (here, there) = if round % 2 == 0 { (one, other) } else { (other, one) };
        let written = format!("written-{round:02}");
        place.create(here, &written, round);
        let list = place.list(there);
        assert!(items(&list).iter().any(|object| name(object) == written), "{list}");
    }
}

/// One apiserver dies while it is written to and watched; writers and watches go on at the other.
pub(crate) fn hand_over(cluster: &mut Cluster, dying: (&str, &Api), staying: &Api) {
    make_namespace(staying, "handover");
    let apis = [dying.1.clone(), staying.clone()];
    let load = under_load("handover", &apis, || {
        thread::sleep(LOAD);
        cluster.kill_apiserver(dying.0);
        thread::sleep(LOAD);
    });
    assert!(load.broken > 0, "no watch broke, so nothing was tested");
    assert!(load.unknown > 0, "nothing died in the middle of a write, so nothing was tested");
}

/// The store dies so many times while it is written to. Says when it was last started.
pub(crate) fn kill_the_store(cluster: &mut Cluster, api: &Api, times: usize) -> Instant {
    make_namespace(api, "crash");
    let mut started = Instant::now();
    let load = under_load("crash", std::slice::from_ref(api), || {
        for _ in 0..times {
            thread::sleep(LOAD);
            cluster.store.one().kill_and_start();
            started = Instant::now();
            let place = Place::config_maps("default");
            let probe = place.object("probe", 1);
            let back = || {
                cluster.must_run();
                let answer = api.send(
                    "POST",
                    &format!("{}?dryRun=All&timeout=5s", place.path()),
                    Some(&probe),
                );
                let listed = api.send(
                    "GET",
                    &format!("{}?timeout=5s", Place::secrets("crash").path()),
                    None,
                );
                let good = |answer: Result<crate::api::Answer, String>| {
                    answer.is_ok_and(|it| it.is_good())
                };
                (good(answer) && good(listed)).then_some(())
            };
            wait_for("the apiserver has found the store again", LIMIT, back);
        }
        thread::sleep(LOAD);
    });
    assert!(load.unknown > 0, "nothing died in the middle of a write, so nothing was tested");
    started
}

/// What became of watches and writes meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// How often a watch broke that began at the first apiserver.
    pub(crate) broken: usize,
    /// How often one broke at the last apiserver.
    pub(crate) broken_at_last: usize,
    /// Writes that may or may not have been done.
    pub(crate) unknown: usize,
}

/// Writes and watches both kinds of resource while `meanwhile` happens, and then judges what was
/// told and what was kept. Writers and watches begin at the first apiserver, and go to the next one when
/// theirs does not answer; further watches are at the last one.
pub(crate) fn under_load(namespace: &'static str, apis: &[Api], meanwhile: impl FnOnce()) -> Load {
    let last = apis.last().unwrap();
    let places = [Place::config_maps(namespace), Place::secrets(namespace)];
    let watches = places.map(|place| {
        let from = revision(&place.list(last));
        [Watch::open_at_any(apis, &place.path(), from), Watch::open(last, &place.path(), from)]
    });
    let stop = AtomicBool::new(false);
    let all_writes: Vec<Vec<Write>> = thread::scope(|scope| {
        let start = |place: Place| -> Vec<_> {
            let (stop, writer) = (&stop, move |number| format!("writer{number}"));
            let spawn =
                |number| scope.spawn(move || place.keep_writing(apis, &writer(number), stop));
            (0..WRITERS).map(spawn).collect()
        };
        let writers = places.map(start);
        meanwhile();
        stop.store(true, Ordering::Relaxed);
        let join = |writers: Vec<thread::ScopedJoinHandle<'_, Vec<Write>>>| {
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        };
        writers.into_iter().map(join).collect()
    });
    let mut load = Load::default();
    for ((place, mut writes), watches) in places.into_iter().zip(all_writes).zip(watches) {
        let done = writes.iter().filter(|write| write.outcome != Outcome::Unknown).count();
        assert!(done > 50, "only {done} writes were done");
        load.unknown += writes.len() - done;
        say(&format!("kube:   {}: {done} writes done, of {}\n", place.resource, writes.len()));
        writes.push(place.create(last, "the-end", 9));
        let [broken, broken_at_last] = watches.map(|mut watch| {
            let at_end =
                |watch: &Watch| watch.changes.last().is_some_and(|it| it.name == "the-end");
            watch.until(LIMIT, at_end);
            none(&format!("the watch of {place:?}"), &untold(&writes, &watch.changes));
            watch.resumed
        });
        load.broken += broken;
        load.broken_at_last += broken_at_last;
        none(&format!("the list of {place:?}"), &unkept(&writes, &held(&place.list(last))));
    }
    load
}

/// The addresses of the apiservers that Kubernetes itself believes to be alive. It keeps them in the
/// store for 15 s at a time.
pub(crate) fn must_know_apiservers(api: &Api, expected: &[&str]) {
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    wait_for(&format!("the apiservers are {expected:?}"), LIMIT, || {
        let slice = api.get(path).good();
        let endpoints = slice["endpoints"].as_array()?.iter();
        let mut addresses: Vec<&str> =
            endpoints.filter_map(|endpoint| endpoint["addresses"][0].as_str()).collect();
        addresses.sort_unstable();
        (addresses == expected).then_some(())
    });
}
