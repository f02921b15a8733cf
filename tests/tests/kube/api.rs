//! A thin client of the Kubernetes API, for what kubectl is too slow or too kind for. Start at
//! [`Api`]. It never repeats a request: whether a write was done is what the tests want to know.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Request;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::certs::Certs;

/// Longer than an apiserver itself lets a request take, so that it is the one who gives up.
const PATIENCE: Duration = Duration::from_secs(70);

/// The largest answer that is read: lists of thousands of objects are a few megabytes.
const LARGEST: u64 = 256 << 20;

/// One apiserver, spoken to as its administrator. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    agent: Agent,
    base: String,
}

/// What was answered, whatever the status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// JSON; a text if it is none.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body, if it was done.
    #[track_caller]
    pub(crate) fn good(self) -> Value {
        assert!(self.is_good(), "{}: {}", self.status, self.body);
        self.body
    }

    /// The body, if it was answered so.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Value {
        assert!(self.status == status, "{} instead of {status}: {}", self.status, self.body);
        self.body
    }
}

impl Api {
    /// The apiserver on this port of the loopback.
    pub(crate) fn new(certs: &Certs, port: u16) -> Api {
        let pem = |path| fs::read(path).unwrap();
        let root = Certificate::from_pem(&pem(&certs.authority)).unwrap();
        let own = Certificate::from_pem(&pem(&certs.admin.cert)).unwrap();
        let key = PrivateKey::from_pem(&pem(&certs.admin.key)).unwrap();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .client_cert(Some(ClientCert::new_with_certs(&[own], key)))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .http_status_as_error(false)
            .max_idle_connections_per_host(32)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_per_read(Some(PATIENCE))
            .build()
            .new_agent();
        Api { agent, base: format!("https://127.0.0.1:{port}") }
    }

    /// Sends one request; an error is the connection's.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let mut response = self.open(method, path, body)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(LARGEST).read_to_string();
        let text = text.map_err(|error| format!("{method} {path}: {error}"))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }

    /// Sends one request and leaves its body to be read as it comes.
    pub(crate) fn open(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<ureq::http::Response<Body>, String> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let sent = match body {
            Some(body) => {
                let kind = match method {
                    "PATCH" => "application/merge-patch+json",
                    _ => "application/json",
                };
                let request = request.header("content-type", kind).body(body.to_string());
                self.agent.run(request.map_err(|error| error.to_string())?)
            }
            None => self.agent.run(request.body(()).map_err(|error| error.to_string())?),
        };
        sent.map_err(|error| format!("{method} {path}: {error}"))
    }

    #[track_caller]
    fn sure(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.send(method, path, body).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.sure("GET", path, None)
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.sure("POST", path, Some(body))
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.sure("PUT", path, Some(body))
    }

    #[track_caller]
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.sure("PATCH", path, Some(body))
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.sure("DELETE", path, None)
    }
}

/// Works on all items with so many threads at once; the results stand in the items' order.
pub(crate) fn at_once<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, item)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    items.get(at).map(|item| (at, item))
                } {
                    let result = work(item);
                    done.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The number of an object's or a list's resource version: the store's revision.
#[track_caller]
pub(crate) fn revision(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no version in {object}"))
}

/// An object's name.
#[track_caller]
pub(crate) fn name(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str();
    name.unwrap_or_else(|| panic!("no name in {object}")).to_owned()
}

/// A list's objects.
#[track_caller]
pub(crate) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().unwrap_or_else(|| panic!("no list: {list}"))
}
