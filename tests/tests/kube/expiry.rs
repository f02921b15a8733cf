//! Events of Kubernetes, which live as long as their lease. Start at [`Mortals::create`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::{Api, items, revision};
use crate::cluster::EVENT_TTL;
use crate::history::Op;
use crate::place::make_namespace;
use crate::process::wait_for;
use crate::watch::Watch;

/// The apiserver grants 5 % more, so that events share leases; the store may look every second, on a
/// computer that is busy with other things.
const LATE: Duration = Duration::from_secs(12);

/// Clocks are read before the request and after the event.
const EARLY: Duration = Duration::from_secs(1);

/// Events that will die. They are alone in their namespace: Kubernetes writes events of its own.
#[derive(Debug)]
pub(crate) struct Mortals {
    path: String,
    /// When each was last written.
    born: BTreeMap<String, Instant>,
    watch: Watch,
}

impl Mortals {
    /// Creates some in a new namespace, over more than a second, so that they need more than one lease.
    pub(crate) fn create(api: &Api, namespace: &str) -> Mortals {
        make_namespace(api, namespace);
        let path = format!("/api/v1/namespaces/{namespace}/events");
        let watch = Watch::open(api, &path, revision(&api.get(&path).good()));
        let mut born = BTreeMap::new();
        for number in 0..24 {
            let name = format!("event-{number:02}");
            born.insert(name.clone(), Instant::now());
            api.post(&path, &event(namespace, &name)).with(201);
            std::thread::sleep(Duration::from_millis(60));
        }
        Mortals { path, born, watch }
    }

    /// Writes some again: their time begins anew, with another lease.
    pub(crate) fn renew(&mut self, api: &Api) {
        for (name, born) in self.born.iter_mut().take(4) {
            let path = format!("{}/{name}", self.path);
            let mut object = api.get(&path).good();
            object["count"] = json!(2);
            *born = Instant::now();
            api.put(&path, &object).good();
        }
    }

    /// Each is deleted at its time, neither before nor much later, and the watch tells it once.
    pub(crate) fn must_die_in_time(mut self, api: &Api) {
        let count = self.born.len();
        let mine =
            |watch: &Watch, op| watch.changes.iter().filter(|change| change.op == op).count();
        self.watch.until(EVENT_TTL + 2 * LATE, |watch| mine(watch, Op::Delete) >= count);
        for (change, at) in self.watch.changes.iter().zip(&self.watch.times) {
            if change.op == Op::Delete {
                let born = self.born.remove(&change.name);
                let born = born.unwrap_or_else(|| panic!("{} died twice", change.name));
                let age = at.saturating_duration_since(born);
                assert!(age + EARLY >= EVENT_TTL, "{} died after {age:?}", change.name);
                assert!(age <= EVENT_TTL + LATE, "{} lived for {age:?}", change.name);
            }
        }
        assert_eq!(self.alive(api), 0);
    }

    /// Those whose store was killed die too; a store may give them their full time again.
    pub(crate) fn must_die_after(self, api: &Api, last_start: Instant) {
        let oldest = self.born.values().min().copied().unwrap();
        let alive = self.alive(api);
        // Asked in this order, a slow answer cannot make a live one look dead.
        if oldest.elapsed() + EARLY < EVENT_TTL {
            assert_eq!(alive, self.born.len(), "some died too early");
        }
        let limit = (EVENT_TTL + LATE).saturating_sub(last_start.elapsed()) + EARLY;
        wait_for("events die whose store was killed", limit, || {
            (self.alive(api) == 0).then_some(())
        });
    }

    fn alive(&self, api: &Api) -> usize {
        items(&api.get(&self.path).good()).len()
    }
}

fn event(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name },
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "name": "nobody", "namespace": namespace,
        },
        "reason": "Tested",
        "message": "written by a test",
        "type": "Normal",
        "count": 1,
    })
}
