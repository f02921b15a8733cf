//! Pages of HTTP: metrics in Prometheus' text format, and whether the witness is well. Start at [`page`].

use std::convert::Infallible;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, info};

use super::closed;
use crate::count::{Counters, Histogram, KINDS, OUTCOMES};
use crate::process;

/// How long a reader may take to ask, and a connection may last.
const PATIENCE: Duration = Duration::from_secs(10);

const PLAIN: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves pages until `closing` is true.
pub(crate) async fn accept(
    listener: TcpListener,
    counters: Arc<Counters>,
    readers: Arc<Semaphore>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    if let Ok(address) = listener.local_addr() {
        info!(%address, "listening for readers of metrics");
    }
    loop {
        let next = async {
            let reader = readers.clone().acquire_owned().await.ok()?;
            let (socket, _) = listener.accept().await.ok()?;
            Some((socket, reader))
        };
        let accepted = tokio::select! {
            biased;
            () = closed(&mut closing) => break,
            Some(_) = connections.join_next() => continue,
            accepted = next => accepted,
        };
        let Some((socket, reader)) = accepted else {
            tokio::time::sleep(super::BREATH).await;
            continue;
        };
        let counters = counters.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let response = page(&counters, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
            let serving = http.serve_connection(TokioIo::new(socket), service);
            if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, serving).await {
                debug!(%error, "a reader of metrics went away");
            }
            drop(reader);
        });
    }
    connections.shutdown().await;
}

fn page<B>(counters: &Counters, request: &Request<B>) -> Response<Full<Bytes>> {
    let answer = |status, kind, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    };
    let path = request.uri().path();
    if !["/metrics", "/health"].contains(&path) {
        return answer(StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /health\n".into());
    }
    if request.method() != Method::GET {
        let text = "only GET is understood\n".to_owned();
        let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    if path == "/metrics" {
        return answer(StatusCode::OK, METRICS, metrics(counters));
    }
    // Damaged sites are no reason to start anew: the others are served.
    let text = match counters.damaged.get() {
        0 => "ok\n".to_owned(),
        damaged => format!("ok; damaged sites: {damaged}, see `duetd witness site list`\n"),
    };
    answer(StatusCode::OK, PLAIN, text)
}

/// The page of metrics as it is now.
fn metrics(counters: &Counters) -> String {
    let mut page = Page(String::with_capacity(4 << 10));
    let (sites, bytes) = (counters.sites.get(), counters.disk_bytes.get());
    page.gauge("sites", "Sites.", sites);
    page.gauge(
        "sites_damaged",
        "Sites that are refused, since a file of theirs is damaged.",
        counters.damaged.get(),
    );
    page.gauge("disk_bytes", "Bytes of the sites' files.", bytes);
    page.gauge("disk_bytes_per_site", "Bytes of a site's files on average.", bytes / sites.max(1));
    page.head("answers_total", "counter", "Questions by their kind and what became of them.");
    for (kind, kind_name) in KINDS.iter().enumerate() {
        for (outcome, outcome_name) in OUTCOMES.iter().enumerate() {
            let count = counters.answers(kind, outcome);
            if count > 0 {
                let labels = format!("{{kind=\"{kind_name}\",outcome=\"{outcome_name}\"}}");
                page.line("answers_total", &labels, count);
            }
        }
    }
    page.gauge("connections", "Connections of rooms.", counters.connections.get());
    page.counter("connections_total", "Connections that were let in.", counters.accepted.get());
    page.counter(
        "connections_replaced_total",
        "Connections that a newer one of the same room ended.",
        counters.replaced.get(),
    );
    page.counter("connections_refused_total", "Handshakes that failed.", counters.strangers.get());
    page.counter("groups_total", "Groups of changes that were written.", counters.groups.get());
    page.counter(
        "changes_total",
        "Changes of registers that were written.",
        counters.records.get(),
    );
    page.histogram(
        "write_duration_seconds",
        "How long a group took until it was on the disk.",
        &counters.sync(),
    );
    page.process("process_resident_memory_bytes", "Memory in use.", process::resident_bytes());
    page.process("process_open_fds", "Open file descriptors.", process::open_files());
    page.0
}

/// Metrics, written one after the other; all but the process' begin with `duet_witness_`.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text does not fail.
        let _ = writeln!(
            self.0,
            "# HELP duet_witness_{name} {help}\n# TYPE duet_witness_{name} {kind}"
        );
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "duet_witness_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, "", value);
    }

    fn histogram(&mut self, name: &str, help: &str, seconds: &Histogram) {
        self.head(name, "histogram", help);
        let mut below = 0;
        for (bound, count) in Histogram::BOUNDS.iter().zip(seconds.buckets) {
            below += count;
            self.line(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), below);
        }
        self.line(&format!("{name}_bucket"), "{le=\"+Inf\"}", seconds.count);
        self.line(&format!("{name}_sum"), "", seconds.sum);
        self.line(&format!("{name}_count"), "", seconds.count);
    }

    fn process(&mut self, name: &str, help: &str, value: u64) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    }
}
