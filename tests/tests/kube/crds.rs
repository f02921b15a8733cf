//! Custom resources: a kind that the cluster learns, uses and forgets. Start at [`learn`].

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, at_once, items, revision};
use crate::cluster::Cluster;
use crate::history::{Op, Outcome, Write, none, untold};
use crate::process::wait_for;
use crate::watch::Watch;

const LIMIT: Duration = Duration::from_secs(60);
const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.duet.test";

/// The path of a namespace's widgets.
pub(crate) fn widgets(namespace: &str) -> String {
    format!("/apis/duet.test/v1/namespaces/{namespace}/widgets")
}

/// One of them.
pub(crate) fn widget(name: &str, number: u64) -> Value {
    json!({
        "apiVersion": "duet.test/v1",
        "kind": "Widget",
        "metadata": { "name": name, "annotations": { "duet.test/number": number.to_string() } },
        "spec": { "size": number + 1 },
    })
}

fn definition() -> Value {
    let size = json!({ "type": "integer", "minimum": 1 });
    let object = |properties| json!({ "type": "object", "properties": properties });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.duet.test" },
        "spec": {
            "group": "duet.test",
            "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget" },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": object(json!({
                    "spec": object(json!({ "size": size, "text": { "type": "string" } })),
                    "status": object(json!({ "seen": { "type": "integer" } })),
                })) },
                "subresources": { "status": {} },
            }],
        },
    })
}

/// The kind is defined with kubectl, and its objects are stored, watched, checked and changed.
pub(crate) fn learn(cluster: &Cluster, api: &Api) {
    let file = cluster.file("widgets.json", &definition().to_string());
    cluster.kubectl("a", &["apply", "--filename", &file]);
    let established =
        ["wait", "--for=condition=Established", "crd/widgets.duet.test", "--timeout=60s"];
    cluster.kubectl("a", &established);

    let path = widgets("default");
    let list = wait_for("the new kind is served", LIMIT, || {
        let answer = api.get(&path);
        answer.is_good().then(|| answer.good())
    });
    let mut watch = Watch::open(api, &path, revision(&list));
    let numbers: Vec<u64> = (0..60).collect();
    let mut writes = at_once(4, &numbers, |number| {
        let name = format!("widget-{number:03}");
        let created = api.post(&path, &widget(&name, *number)).with(201);
        Write {
            name,
            op: Op::Create,
            number: *number,
            outcome: Outcome::Done(Some(revision(&created))),
        }
    });
    let mut refused = widget("refused", 0);
    refused["spec"]["size"] = json!(0);
    api.post(&path, &refused).with(422);

    let seen = json!({ "status": { "seen": 3 } });
    let changed = api.patch(&format!("{path}/widget-000/status"), &seen).good();
    assert_eq!((&changed["status"]["seen"], &changed["spec"]["size"]), (&json!(3), &json!(1)));
    writes.push(Write {
        name: "widget-000".to_owned(),
        op: Op::Update,
        number: 0,
        outcome: Outcome::Done(Some(revision(&changed))),
    });
    watch.until(LIMIT, |watch| watch.changes.len() >= writes.len());
    none("the watch of custom resources", &untold(&writes, &watch.changes));
    let get = ["get", "widgets", "--output=name"];
    assert_eq!(cluster.kubectl("a", &get).out.lines().count(), numbers.len());
}

/// Kubernetes bounds the size of its own kinds; of others, only the store does: 1.5 MiB.
pub(crate) fn hold_large_ones(api: &Api) {
    let path = widgets("default");
    let large = |name: &str, bytes: usize| {
        let mut object = widget(name, 1);
        object["spec"]["text"] = json!("x".repeat(bytes));
        object
    };
    api.post(&path, &large("large", 1_400_000)).with(201);
    let held = api.get(&format!("{path}/large")).good();
    assert_eq!(held["spec"]["text"].as_str().map(str::len), Some(1_400_000));
    // The apiserver hands on the store's own words.
    let refused = api.post(&path, &large("too-large", 1_600_000)).with(500);
    assert_eq!(refused["message"], "etcdserver: request is too large");
    api.get(&format!("{path}/too-large")).with(404);
    api.delete(&format!("{path}/large")).good();
}

/// With the kind go its objects, also out of the store: a kind of the same name begins empty.
pub(crate) fn forget(cluster: &Cluster, api: &Api, apiserver: &str) {
    assert!(!items(&api.get(&widgets("default")).good()).is_empty(), "there is nothing to forget");
    cluster.kubectl(apiserver, &["delete", "crd", "widgets.duet.test", "--timeout=60s"]);
    api.get(DEFINITION).with(404);
    wait_for("the kind is no longer served", LIMIT, || {
        (api.get(&widgets("default")).status == 404).then_some(())
    });

    let file = cluster.file("widgets.json", &definition().to_string());
    cluster.kubectl(apiserver, &["apply", "--filename", &file]);
    let list = wait_for("the kind is served again", LIMIT, || {
        let answer = api.get(&widgets("default"));
        answer.is_good().then(|| answer.good())
    });
    assert_eq!(items(&list).len(), 0, "{list}");
}
