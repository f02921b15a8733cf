//! Thousands of objects: created, watched, paged through, read consistently, changed by many at once
//! and deleted. Start at [`create_and_watch`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::{Api, at_once, items, name, revision};
use crate::cluster::Cluster;
use crate::history::{Op, Outcome, Write, none, untold};
use crate::place::{Place, held, make_namespace};
use crate::process::wait_for;
use crate::watch::{Watch, number};

/// Threads that write at once.
const WRITERS: usize = 8;

/// For what takes a second on a quiet computer.
const SOON: Duration = Duration::from_secs(60);

/// Where thousands of objects lie: in the apiserver's cache, and not.
pub(crate) const BULK: [(Place, u64); 2] = [
    (Place { resource: "configmaps", namespace: "bulk" }, 2000),
    (Place { resource: "secrets", namespace: "bulk" }, 600),
];

/// A page that a client began to read, and did not go on with.
#[derive(Debug)]
pub(crate) struct OldPage {
    pub(crate) place: Place,
    pub(crate) token: String,
    pub(crate) revision: u64,
    pub(crate) at: Instant,
}

/// What is created is told once and in order to who watched before, and then listed.
pub(crate) fn create_and_watch(api: &Api) {
    make_namespace(api, "bulk");
    for (place, count) in BULK {
        let before = revision(&place.list(api));
        let mut watch = Watch::open(api, &place.path(), before);
        let numbers: Vec<u64> = (0..count).collect();
        let create = |number: &u64| place.create(api, &format!("bulk-{number:05}"), *number);
        let writes = at_once(WRITERS, &numbers, create);
        watch.until(SOON, |watch| watch.changes.len() >= numbers.len());
        none("the watch of what was created", &untold(&writes, &watch.changes));
        assert_eq!(watch.resumed, 0, "the watch broke with nothing broken");

        let list = place.list(api);
        let listed: Vec<String> = items(&list).iter().map(name).collect();
        let created: Vec<String> = writes.iter().map(|write| write.name.clone()).collect();
        assert_eq!(listed, created, "the list is sorted and whole");
        assert!(revision(&list) >= watch.changes.last().unwrap().revision);
    }
}

/// All pages show the moment of the first, whatever is written meanwhile, and count what is left.
pub(crate) fn page(api: &Api) -> Vec<OldPage> {
    let mut old = Vec::new();
    for (place, _) in BULK {
        // Each page pins a revision, and compaction goes on: a computer that stalls may be too late.
        let tries = 3;
        let read = (0..tries).find_map(|attempt| read_pages(api, place, attempt));
        old.push(
            read.unwrap_or_else(|| panic!("{place:?} expired while it was read, {tries} times")),
        );
    }
    old
}

fn read_pages(api: &Api, place: Place, attempt: usize) -> Option<OldPage> {
    const LIMIT: usize = 97;
    let before = place.list(api);
    let expected: Vec<String> = items(&before).iter().map(name).collect();
    let first = api.get(&format!("{}?limit={LIMIT}", place.path())).good();
    let token = |page: &Value| page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
    let begun =
        OldPage { place, token: token(&first), revision: revision(&first), at: Instant::now() };

    // What comes after the first page changes; the pages must not.
    for number in 0..10 {
        api.delete(&place.one(&expected[expected.len() - 1 - number])).good();
        place.create(api, &format!("later-{attempt}-{number}"), 7);
    }

    let mut read: Vec<String> = Vec::new();
    let mut page = first;
    loop {
        read.extend(items(&page).iter().map(name));
        assert_eq!(revision(&page), begun.revision, "a page of another moment");
        let left = page["metadata"]["remainingItemCount"].as_u64().unwrap_or(0);
        assert_eq!(left, (expected.len() - read.len()) as u64, "of {place:?}");
        let next = token(&page);
        if next.is_empty() {
            break;
        }
        let answer = api.get(&format!("{}?limit={LIMIT}&continue={next}", place.path()));
        if answer.status == 410 {
            return None;
        }
        page = answer.good();
    }
    assert_eq!(read, expected, "the pages of {place:?}");
    Some(begun)
}

/// kubectl reads the same pages.
pub(crate) fn page_with_kubectl(cluster: &Cluster, api: &Api) {
    for (place, _) in BULK {
        let expected = items(&place.list(api)).len();
        let get = ["get", place.resource, "--namespace=bulk", "--chunk-size=150", "--output=name"];
        let said = cluster.kubectl("a", &get);
        assert_eq!(said.out.lines().count(), expected, "{}", place.resource);
    }
}

/// WatchList: what is there, then that this is all, then what comes.
pub(crate) fn watch_with_list(api: &Api) {
    for (place, _) in BULK {
        let list = place.list(api);
        let mut watch = Watch::open_with_list(api, &place.path());
        watch.until(SOON, |watch| watch.initial_end.is_some());
        let told: BTreeSet<&str> = watch.changes.iter().map(|change| &*change.name).collect();
        assert_eq!((told.len(), watch.changes.len()), (items(&list).len(), items(&list).len()));
        assert!(watch.changes.iter().all(|change| change.op == Op::Create));
        assert!(watch.initial_end >= Some(revision(&list)), "the end is told too early");

        let written = place.create(api, "after-the-list", 8);
        let before = watch.changes.len();
        watch.until(SOON, |watch| watch.changes.len() > before);
        none("what comes after the list", &untold(&[written], &watch.changes[before..]));
        api.delete(&place.one("after-the-list")).good();
    }
}

/// A list that asks for no version shows every write that was acknowledged before it, though it is
/// read from the apiserver's cache: the cache asks the store for its watches' progress.
pub(crate) fn read_consistently(api: &Api) {
    make_namespace(api, "fresh");
    let place = Place::config_maps("fresh");
    let counter = |fallback: &str| {
        let labels =
            format!("fallback=\"{fallback}\",group=\"\",resource=\"configmaps\",success=\"true\"");
        metric(api, &format!("apiserver_watch_cache_consistent_read_total{{{labels}}}"))
    };
    let (from_cache, from_store) = (counter("false"), counter("true"));
    let mut longest = Duration::ZERO;
    let mut written: Vec<u64> = Vec::new();
    for number in 0..30 {
        let write = place.create(api, &format!("fresh-{number:03}"), number);
        let Outcome::Done(Some(at)) = write.outcome else { panic!("{write:?}") };
        written.push(at);
        let asked = Instant::now();
        let list = place.list(api);
        longest = longest.max(asked.elapsed());
        assert_eq!(items(&list).len(), written.len(), "the list is stale");
        assert!(revision(&list) >= at);
        // The past, as exactly as the present.
        if let [.., before, _] = written[..] {
            let past =
                format!("{}?resourceVersion={before}&resourceVersionMatch=Exact", place.path());
            let past = api.get(&past).good();
            assert_eq!((items(&past).len(), revision(&past)), (written.len() - 1, before));
        }
    }
    assert!(counter("false") >= from_cache + 30.0, "the lists were not read from the cache");
    assert_eq!(counter("true"), from_store, "the cache did not become fresh in time");
    assert!(longest < Duration::from_secs(3), "a consistent read took {longest:?}");
}

/// A number of the apiserver's metrics; 0 as long as nothing was counted.
fn metric(api: &Api, name: &str) -> f64 {
    let text = api.get("/metrics").good();
    let mut lines = text.as_str().unwrap().lines();
    let value = lines.find_map(|line| line.strip_prefix(name));
    value.map_or(0.0, |value| value.trim().parse().unwrap())
}

/// Many who change one object lose no change: each compares the version that it read.
pub(crate) fn change_at_once(api: &Api) {
    const ROUNDS: u64 = 20;
    let place = Place::config_maps("fresh");
    let path = place.one("counter");
    let created = place.create(api, "counter", 0);
    let Outcome::Done(Some(before)) = created.outcome else { panic!("{created:?}") };
    let mut watch = Watch::open(api, &place.path(), before);

    let conflicts: Vec<u64> = at_once(WRITERS, &[ROUNDS; WRITERS], |rounds| {
        let mut conflicts = 0;
        let mut done = 0;
        while done < *rounds {
            let mut object = api.get(&path).good();
            let next = number(&object) + 1;
            object["metadata"]["annotations"]["duet.test/number"] = json!(next.to_string());
            let answer = api.put(&path, &object);
            match answer.status {
                409 => conflicts += 1,
                _ => {
                    answer.good();
                    done += 1;
                }
            }
        }
        conflicts
    });
    let total = ROUNDS * WRITERS as u64;
    assert_eq!(number(&api.get(&path).good()), total);
    assert!(conflicts.iter().sum::<u64>() > 0, "nobody was refused, so nothing was tested");
    watch.until(SOON, |watch| watch.changes.len() as u64 >= total);
    let numbers: Vec<u64> = watch.changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, (1..=total).collect::<Vec<_>>());
}

/// What is deleted is told once, with what it held, and nothing else is deleted.
pub(crate) fn delete(cluster: &Cluster, api: &Api) {
    for (place, _) in BULK {
        let list = place.list(api);
        let mut watch = Watch::open(api, &place.path(), revision(&list));
        let doomed: Vec<Write> = items(&list)
            .iter()
            .filter(|object| object["metadata"]["labels"]["third"] == "0")
            .map(|object| Write {
                name: name(object),
                op: Op::Delete,
                number: number(object),
                outcome: Outcome::Done(None),
            })
            .collect();
        api.delete(&format!("{}?labelSelector=third%3D0", place.path())).good();
        watch.until(SOON, |watch| watch.changes.len() >= doomed.len());
        none("the watch of what was deleted", &untold(&doomed, &watch.changes));
        let mut expected = held(&list);
        expected.retain(|name, _| doomed.iter().all(|write| write.name != *name));
        assert_eq!(held(&place.list(api)), expected);
    }
    let secrets = BULK[1].0;
    let namespace = format!("--namespace={}", secrets.namespace);
    // Without a wait it deletes one after the other, as fast as it allows itself.
    cluster.kubectl("a", &["delete", "secrets", &namespace, "--selector=third=1", "--wait=false"]);
    let left = secrets.list(api);
    assert!(items(&left).iter().all(|object| object["metadata"]["labels"]["third"] == "2"));
    assert!(!items(&left).is_empty());
}

/// The apiserver's own count of objects, and of bytes, come from the store too.
pub(crate) fn count(api: &Api) {
    // Of what it has in a cache it also knows the keys, and guesses the size from the store's.
    for (resource, sized) in [("configmaps", true), ("secrets", false)] {
        let listed = items(&api.get(&format!("/api/v1/{resource}")).good()).len();
        let labels = format!("{{group=\"\",resource=\"{resource}\"}}");
        wait_for(&format!("{listed} {resource} are counted"), SOON, || {
            let objects = metric(api, &format!("apiserver_resource_objects{labels}"));
            let bytes = metric(api, &format!("apiserver_resource_size_estimate_bytes{labels}"));
            (objects == listed as f64 && (bytes > objects) == sized).then_some(())
        });
    }
    let size = metric(api, "apiserver_storage_size_bytes{storage_cluster_id=\"etcd-0\"}");
    assert!(size > 1_000_000.0, "the store says that it holds {size} bytes");
}

/// What was compacted is refused as Kubernetes expects it: with 410, and a way to go on.
pub(crate) fn old_revisions_are_gone(api: &Api, pages: &[OldPage], compacted_by: Duration) {
    for page in pages {
        assert!(page.at.elapsed() > compacted_by, "called too early to say anything");
        let path = page.place.path();
        let mut watch = Watch::open(api, &path, page.revision);
        watch.until(SOON, |watch| watch.gone.is_some());
        if page.place.resource == "secrets" {
            let expired = api.get(&format!("{path}?limit=10&continue={}", page.token)).with(410);
            assert_eq!(expired["reason"], "Expired", "{expired}");
            let token = expired["metadata"]["continue"].as_str().unwrap();
            let rest = api.get(&format!("{path}?limit=10&continue={token}")).good();
            assert!(revision(&rest) > page.revision);
        }
    }
}
