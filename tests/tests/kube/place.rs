//! Where the tests write: a resource in a namespace. Start at [`Place`]. Config maps are served from
//! the apiserver's watch cache, secrets always by the store itself: cluster.rs turns their cache off.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Answer, Api, items, name, revision};
use crate::history::{Held, Op, Outcome, Write};
use crate::watch::number;

/// A resource of one namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// `configmaps` or `secrets`.
    pub(crate) resource: &'static str,
    pub(crate) namespace: &'static str,
}

impl Place {
    pub(crate) fn config_maps(namespace: &'static str) -> Place {
        Place { resource: "configmaps", namespace }
    }

    pub(crate) fn secrets(namespace: &'static str) -> Place {
        Place { resource: "secrets", namespace }
    }

    /// The path of all of them.
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/{}", self.namespace, self.resource)
    }

    /// The path of one.
    pub(crate) fn one(&self, name: &str) -> String {
        format!("{}/{name}", self.path())
    }

    /// An object that holds a number, and text of up to a few kilobytes that depends on it.
    pub(crate) fn object(&self, name: &str, number: u64) -> Value {
        let (kind, data) = match self.resource {
            "configmaps" => ("ConfigMap", "data"),
            _ => ("Secret", "stringData"),
        };
        let text = "store ".repeat(usize::try_from(number * 37 % 400).unwrap());
        json!({
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {
                "name": name,
                "labels": { "third": (number % 3).to_string() },
                "annotations": { "duet.test/number": number.to_string() },
            },
            data: { "text": text },
        })
    }

    /// Creates one.
    #[track_caller]
    pub(crate) fn create(&self, api: &Api, name: &str, number: u64) -> Write {
        let created = api.post(&self.path(), &self.object(name, number)).with(201);
        let outcome = Outcome::Done(Some(revision(&created)));
        Write { name: name.to_owned(), op: Op::Create, number, outcome }
    }

    /// All of them, as the apiserver lists them by default: consistently.
    #[track_caller]
    pub(crate) fn list(&self, api: &Api) -> Value {
        api.get(&self.path()).good()
    }

    /// Writes objects under names that begin with `prefix` until it is told to stop, at the first
    /// apiserver that answers. Each is created and changed; every third is deleted again.
    pub(crate) fn keep_writing(&self, apis: &[Api], prefix: &str, stop: &AtomicBool) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut server = 0;
        for object in 0.. {
            let object_name = format!("{prefix}-{object:05}");
            for (op, number) in [(Op::Create, 1), (Op::Update, 2), (Op::Delete, 2)] {
                if stop.load(Ordering::Relaxed) {
                    return writes;
                }
                if op == Op::Delete && object % 3 != 0 {
                    continue;
                }
                let sent = self.write(&apis[server], &object_name, op, number);
                let unclear = sent.is_err();
                let outcome = sent.unwrap_or(Outcome::Unknown);
                writes.push(Write { name: object_name.clone(), op, number, outcome });
                if unclear {
                    server = (server + 1) % apis.len();
                    thread::sleep(Duration::from_millis(50));
                    break;
                }
            }
        }
        writes
    }

    /// One write; an error if it may or may not have been done.
    fn write(&self, api: &Api, name: &str, op: Op, number: u64) -> Result<Outcome, String> {
        // The apiserver gives up before this test does, so that no write is still under way later.
        let give_up = "timeout=10s";
        let answer = match op {
            Op::Create => {
                let path = format!("{}?{give_up}", self.path());
                api.send("POST", &path, Some(&self.object(name, number)))
            }
            Op::Update => {
                let path = format!("{}?{give_up}", self.one(name));
                api.send("PUT", &path, Some(&self.object(name, number)))
            }
            Op::Delete => api.send("DELETE", &format!("{}?{give_up}", self.one(name)), None),
        }?;
        match answer {
            Answer { status: 200..=201, body } if op == Op::Delete => {
                assert!(body["status"] != "Failure", "{body}");
                Ok(Outcome::Done(None))
            }
            Answer { status: 200..=201, body } => Ok(Outcome::Done(Some(revision(&body)))),
            Answer { status: 429 | 500.., body } => Err(body.to_string()),
            Answer { status, body } => panic!("{op:?} {name} was refused: {status} {body}"),
        }
    }
}

/// Makes a namespace.
#[track_caller]
pub(crate) fn make_namespace(api: &Api, name: &str) {
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    api.post("/api/v1/namespaces", &namespace).with(201);
}

/// What a list holds, by name.
pub(crate) fn held(list: &Value) -> BTreeMap<String, Held> {
    let held = |object| Held { number: number(object), revision: revision(object) };
    items(list).iter().map(|object| (name(object), held(object))).collect()
}
