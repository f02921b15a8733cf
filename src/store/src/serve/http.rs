//! Pages of HTTP: health, version, metrics; the same words as etcd's (etcd v3.5
//! `server/etcdserver/api/etcdhttp`). Start at [`client`] and [`metrics_only`].

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use mvcc::{KeyRange, RangeRequest};

use super::body::Body;
use super::metrics;
use super::server::Server;
use crate::engine::{Alarm, Standing};
use crate::refusal::Refusal;
use crate::serve::ETCD_VERSION;

/// The cluster version that goes with [`ETCD_VERSION`].
const CLUSTER_VERSION: &str = "3.5.0";

/// Answers on a client URL.
pub(super) fn client<B>(server: &Server, request: &Request<B>) -> Response<Body> {
    match request.uri().path() {
        "/version" => {
            let text = format!(
                "{{\"etcdserver\":\"{ETCD_VERSION}\",\"etcdcluster\":\"{CLUSTER_VERSION}\"}}"
            );
            get(request, || page(StatusCode::OK, JSON, text))
        }
        _ => metrics_only(server, request),
    }
}

/// Answers on a metrics URL.
pub(super) fn metrics_only<B>(server: &Server, request: &Request<B>) -> Response<Body> {
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or("");
    match path {
        "/metrics" => get(request, || {
            page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::page(server))
        }),
        "/health" => get(request, || health(server, query)),
        _ => match checks(path) {
            Some(wanted) => get(request, || probe(server, path, wanted, query)),
            None => page(StatusCode::NOT_FOUND, PLAIN, "404 page not found\n"),
        },
    }
}

pub(super) const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

fn get<B>(request: &Request<B>, answer: impl FnOnce() -> Response<Body>) -> Response<Body> {
    if request.method() == Method::GET {
        return answer();
    }
    let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "Method Not Allowed\n");
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    refused
}

pub(super) fn page(
    status: StatusCode,
    kind: &'static str,
    text: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Body::page(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The alarms that are not to count (`?exclude=NOSPACE`), and those that are wrong.
fn alarm(server: &Server, query: &str) -> Option<&'static str> {
    let excluded = query.split('&').any(|pair| pair == "exclude=NOSPACE");
    server.engine.alarms().body.first().filter(|_| !excluded).map(|alarm| match alarm {
        Alarm::NoSpace => "ALARM NOSPACE",
    })
}

/// What keeps reads that are to see everything; none if nothing does.
fn leaderless(server: &Server) -> Option<String> {
    let seat = server.engine.seat()?;
    let led = match seat.standing() {
        Standing::Leads => seat.serves(),
        Standing::Follows => true,
        Standing::Apart => false,
    };
    (!led).then(|| Refusal::NoLeader.to_string())
}

/// What keeps the store from reading; none if it reads.
fn unreadable(server: &Server) -> Option<String> {
    if let Some(broken) = &*server.broken.borrow() {
        return Some(broken.clone());
    }
    let keys = KeyRange { key: Bytes::from_static(b"health"), end: Bytes::new() };
    let request = RangeRequest { keys, limit: 1, keys_only: true, ..RangeRequest::default() };
    server.engine.range(&request).err().map(|no| no.to_string())
}

fn count(server: &Server, well: bool) {
    let counters = &server.counters;
    if well { counters.healthy.add(1) } else { counters.unhealthy.add(1) }
}

fn health(server: &Server, query: &str) -> Response<Body> {
    let wrong = alarm(server, query)
        .map(str::to_owned)
        .or_else(|| unreadable(server).map(|reason| format!("RANGE ERROR:{reason}")))
        .or_else(|| leaderless(server).map(|_| "RAFT NO LEADER".to_owned()));
    count(server, wrong.is_none());
    let told = serde_json::json!({
        "health": if wrong.is_none() { "true" } else { "false" },
        "reason": wrong.as_deref().unwrap_or(""),
    });
    match wrong {
        None => page(StatusCode::OK, PLAIN, told.to_string()),
        Some(_) => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{told}\n")),
    }
}

/// The checks of a probe's path, all or the one that is named behind it.
fn checks(path: &str) -> Option<&'static [&'static str]> {
    match path {
        "/livez" | "/livez/serializable_read" => Some(&["serializable_read"]),
        "/readyz" => Some(&["data_corruption", "serializable_read", "linearizable_read"]),
        "/readyz/data_corruption" => Some(&["data_corruption"]),
        "/readyz/serializable_read" => Some(&["serializable_read"]),
        "/readyz/linearizable_read" => Some(&["linearizable_read"]),
        _ => None,
    }
}

/// Answers as the probes of Kubernetes' programs do.
fn probe(server: &Server, path: &str, wanted: &[&str], query: &str) -> Response<Body> {
    let excluded =
        |name: &str| query.split('&').any(|pair| pair.strip_prefix("exclude=") == Some(name));
    let unreadable = unreadable(server);
    let mut lines = String::new();
    let mut well = true;
    for name in wanted.iter().filter(|name| !excluded(name)) {
        // Damage keeps a store from starting, so one that answers has none.
        let leaderless = leaderless(server).filter(|_| *name == "linearizable_read");
        let wrong = unreadable.clone().filter(|_| *name != "data_corruption").or(leaderless);
        match wrong {
            None => lines.push_str(&format!("[+]{name} ok\n")),
            Some(reason) => {
                well = false;
                lines.push_str(&format!("[-]{name} failed: {reason}\n"));
            }
        }
    }
    count(server, well);
    let name = path.trim_start_matches('/').split('/').next().unwrap_or("probe");
    if !well {
        let text = format!("{lines}{name} check failed\n");
        return page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
    }
    if query.split('&').any(|pair| pair == "verbose" || pair == "verbose=true") {
        return page(StatusCode::OK, PLAIN, format!("{lines}{name} check passed\n"));
    }
    page(StatusCode::OK, PLAIN, "ok\n")
}
