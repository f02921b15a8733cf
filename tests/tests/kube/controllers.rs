//! What Kubernetes' own controllers make of the store: a leader that holds a lease, quotas, garbage
//! collection, and namespaces that go with all they hold. Start at [`lead`].

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, at_once, items, revision};
use crate::cluster::Cluster;
use crate::crds::{widget, widgets};
use crate::history::Op;
use crate::place::{Place, make_namespace};
use crate::process::wait_for;
use crate::say;
use crate::watch::Watch;

/// A controller that found nothing to do looks again after up to half a minute.
const LIMIT: Duration = Duration::from_secs(90);

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";

/// The controllers elect a leader, and it renews its lease and keeps it.
pub(crate) fn lead(cluster: &mut Cluster, api: &Api, apiserver: &str) {
    let mut watch = Watch::open(api, LEASES, revision(&api.get(LEASES).good()));
    cluster.start_controllers(apiserver, [8, 6, 1]);
    watch.until(LIMIT, |watch| of_leader(watch).len() >= 4);
    let told = of_leader(&watch);
    let holders: BTreeSet<&str> =
        told.iter().filter_map(|spec| spec["holderIdentity"].as_str()).collect();
    let times: BTreeSet<&str> = told.iter().filter_map(|spec| spec["renewTime"].as_str()).collect();
    assert_eq!(holders.len(), 1, "{told:?}");
    assert_eq!(times.len(), told.len(), "a renewal was told twice: {told:?}");
    cluster.must_run();
}

/// The controllers hold their leader's lease through whatever happens `meanwhile`: renewed by the same one,
/// and never so late that it would give up. `election` is how they elect ([`Cluster::start_controllers`]).
pub(crate) fn keep_the_lease<T>(
    api: &Api,
    [_, tries, every]: [u8; 3],
    meanwhile: impl FnOnce() -> T,
) -> T {
    let mut watch = Watch::open(api, LEASES, revision(&api.get(LEASES).good()));
    watch.until(LIMIT, |watch| of_leader(watch).len() >= 2);
    let done = meanwhile();
    let settled = of_leader(&watch).len();
    // What was told meanwhile has not been read yet, so at most a few of these are of before.
    let after = usize::from(tries / every) + 2;
    watch.until(LIMIT, |watch| of_leader(watch).len() >= settled + after);
    let told = of_leader(&watch);
    let holders: BTreeSet<&str> =
        told.iter().filter_map(|spec| spec["holderIdentity"].as_str()).collect();
    assert_eq!(holders.len(), 1, "{told:?}");
    let leaders = watch.changes.iter().zip(&watch.times);
    let times: Vec<_> = leaders
        .filter(|(change, _)| change.name == "kube-controller-manager")
        .map(|(_, time)| *time)
        .collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    say(&format!("kube:   the leader's lease was renewed after {longest:?} at the latest\n"));
    assert!(longest < Duration::from_secs(tries.into()), "{longest:?}");
    done
}

/// What a watch of the leases has told of the leader's.
fn of_leader(watch: &Watch) -> Vec<Value> {
    let all = watch.changes.iter().zip(&watch.objects);
    let mine = all.filter(|(change, _)| change.name == "kube-controller-manager");
    mine.map(|(_, object)| object["spec"].clone()).collect()
}

/// Of two who renew a lease from the same version at the same time, one wins, every time.
pub(crate) fn hold_a_lease(one: &Api, other: &Api) {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": "contested" },
        "spec": { "holderIdentity": "nobody", "leaseDurationSeconds": 5, "leaseTransitions": 0 },
    });
    one.post(LEASES, &lease).with(201);
    let path = format!("{LEASES}/contested");
    for round in 1..=30 {
        let seen = one.get(&path).good();
        let answers = at_once(2, &[(one, "one"), (other, "other")], |(api, holder)| {
            let mut mine = seen.clone();
            mine["spec"]["holderIdentity"] = json!(holder);
            mine["spec"]["leaseTransitions"] = json!(round);
            (api.put(&path, &mine).status, *holder)
        });
        let winners: Vec<&str> = answers
            .iter()
            .filter(|(status, _)| *status == 200)
            .map(|(_, holder)| *holder)
            .collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|(status, _)| [200, 409].contains(status)), "{answers:?}");
        let now = other.get(&path).good();
        assert_eq!(now["spec"]["holderIdentity"], winners[0]);
        assert_eq!(now["spec"]["leaseTransitions"], round);
    }
}

/// A quota lets about as many be created as it says, however many try at once, and then counts what
/// is really there.
pub(crate) fn keep_a_quota(api: &Api) {
    const HARD: usize = 10;
    make_namespace(api, "quota");
    let quotas = "/api/v1/namespaces/quota/resourcequotas";
    let quota = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": { "name": "few" },
        "spec": { "hard": { "count/configmaps": HARD.to_string() } },
    });
    api.post(quotas, &quota).with(201);
    let counted = |count: usize| {
        wait_for(&format!("the quota counts {count}"), LIMIT, || {
            let status = api.get(&format!("{quotas}/few")).good()["status"].take();
            let used = status["used"]["count/configmaps"].as_str()?;
            (used == count.to_string()).then_some(())
        });
    };
    counted(0);
    let place = Place::config_maps("quota");
    let names: Vec<String> = (0..3 * HARD).map(|number| format!("counted-{number}")).collect();
    let statuses =
        at_once(4, &names, |name| api.post(&place.path(), &place.object(name, 1)).status);
    let created = statuses.iter().filter(|status| **status == 201).count();
    assert!(statuses.iter().all(|status| [201, 403].contains(status)), "{statuses:?}");
    // The controller may just then write a count of its own, from a cache that is behind: on etcd
    // too, one more than allowed is created now and then.
    assert!((HARD..HARD + HARD / 2).contains(&created), "{statuses:?}");
    assert_eq!(items(&place.list(api)).len(), created);
    counted(created);
}

/// What belongs to a deleted object goes too: after it, or before it where that is asked for.
pub(crate) fn collect_garbage(api: &Api) {
    make_namespace(api, "garbage");
    let place = Place::config_maps("garbage");
    for (policy, count) in [("Background", 40), ("Foreground", 40)] {
        let mut watch = Watch::open(api, &place.path(), revision(&place.list(api)));
        let owner_name = format!("owner-{}", policy.to_lowercase());
        let owner = api.post(&place.path(), &place.object(&owner_name, 1)).with(201);
        let belongs = json!([{
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner_name,
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": true,
        }]);
        let numbers: Vec<u64> = (0..count).collect();
        at_once(4, &numbers, |number| {
            let name = format!("dependent-{}-{number:02}", policy.to_lowercase());
            let mut dependent = place.object(&name, *number);
            dependent["metadata"]["ownerReferences"] = belongs.clone();
            api.post(&place.path(), &dependent).with(201);
        });
        api.delete(&format!("{}?propagationPolicy={policy}", place.one(&owner_name))).good();
        let deleted = |watch: &Watch| -> Vec<String> {
            let gone = watch.changes.iter().filter(|change| change.op == Op::Delete);
            gone.map(|change| change.name.clone()).collect()
        };
        watch.until(LIMIT, |watch| deleted(watch).len() as u64 > count);
        let order = deleted(&watch);
        let last = if policy == "Foreground" { order.last() } else { order.first() };
        assert_eq!(last, Some(&owner_name), "{policy}: {order:?}");
    }
    assert_eq!(items(&place.list(api)).len(), 0);
}

/// A namespace goes with all that it holds, and waits for what is held back.
pub(crate) fn delete_a_namespace(cluster: &Cluster, api: &Api, apiserver: &str) {
    make_namespace(api, "doomed");
    let (maps, secrets) = (Place::config_maps("doomed"), Place::secrets("doomed"));
    let numbers: Vec<u64> = (0..300).collect();
    at_once(8, &numbers, |number| {
        maps.create(api, &format!("map-{number:03}"), *number);
        if number % 5 == 0 {
            secrets.create(api, &format!("secret-{number:03}"), *number);
            api.post(&widgets("doomed"), &widget(&format!("widget-{number:03}"), 1)).with(201);
        }
    });
    let mut held = maps.object("held", 1);
    held["metadata"]["finalizers"] = json!(["duet.test/held"]);
    api.post(&maps.path(), &held).with(201);

    cluster.kubectl(apiserver, &["delete", "namespace", "doomed", "--wait=false"]);
    api.post(&maps.path(), &maps.object("too-late", 1)).with(403);
    wait_for("only what is held back is left", LIMIT, || {
        let left = items(&maps.list(api)).len();
        let others =
            items(&secrets.list(api)).len() + items(&api.get(&widgets("doomed")).good()).len();
        (left == 1 && others == 0).then_some(())
    });
    let namespace = api.get("/api/v1/namespaces/doomed").good();
    assert_eq!(namespace["status"]["phase"], "Terminating");

    api.patch(&maps.one("held"), &json!({ "metadata": { "finalizers": null } })).good();
    wait_for("the namespace is gone", LIMIT, || {
        (api.get("/api/v1/namespaces/doomed").status == 404).then_some(())
    });
    make_namespace(api, "doomed");
    for path in [maps.path(), secrets.path(), widgets("doomed")] {
        assert_eq!(items(&api.get(&path).good()).len(), 0, "{path} of a new namespace");
    }
}
