//! A running server, asked by a real client over real sockets.
#![allow(clippy::unwrap_used)]

mod framing;
mod keys;
mod leases;
mod limits;
mod members;
mod pages;
mod places;
mod raw;
mod watches;

use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use super::{Listeners, ServeError};
use crate::client::Client;
use crate::config::{Config, Raw};
use crate::disk::RealDisk;
use crate::engine::{Engine, Options};
use crate::recover::Ids;
use crate::wire::proto;

pub(super) const CLUSTER: u64 = 7;
pub(super) const MEMBER: u64 = 9;

/// A server in a folder of its own; `stop` it at the end.
pub(super) struct Server {
    pub(super) engine: Engine,
    pub(super) urls: Vec<String>,
    pub(super) metrics: Vec<String>,
    pub(super) folder: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

/// Starts one on a port of its own, with these settings besides.
pub(super) async fn start(settings: &[(&str, &str)]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    start_in(folder, settings).await
}

pub(super) async fn start_in(folder: TempDir, settings: &[(&str, &str)]) -> Server {
    let mut raw = Raw::default();
    raw.set("name", "a").unwrap();
    raw.set("listen-client-urls", "http://127.0.0.1:0").unwrap();
    for (name, text) in settings {
        raw.set(name, text).unwrap();
    }
    let config = Config::try_from(raw).unwrap();
    let mut options = Options::new(Ids { cluster_id: CLUSTER, member_id: MEMBER });
    options.name = config.name.clone();
    options.quota = config.quota_backend_bytes;
    // Small, so that a test does not write zeros for the most of its time.
    options.segment_bytes = 1 << 20;
    let disk = Arc::new(RealDisk::open(folder.path().join("data")).unwrap());
    let engine = Engine::open(disk, options, &|_| {}).unwrap();
    let listeners = Listeners::bind(&config).await.unwrap();
    let urls = listeners.client_urls().map(str::to_owned).collect();
    let metrics = listeners.metrics_urls().map(str::to_owned).collect();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { drop(stopped.await) };
    let task = tokio::spawn(listeners.run(engine.clone(), shutdown));
    Server { engine, urls, metrics, folder, stop, task }
}

impl Server {
    pub(super) async fn client(&self) -> Client {
        Client::connect(&self.urls[0], None).await.unwrap()
    }

    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        // No client, not even one with open streams, makes the server wait until it gives up.
        let ended = tokio::time::timeout(super::GRACE / 2, self.task).await;
        ended.expect("the server ends soon").unwrap().unwrap();
        self.engine.stop().await;
    }
}

pub(super) fn put(key: &str, value: &str) -> proto::PutRequest {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    proto::PutRequest { key, value, ..proto::PutRequest::default() }
}

pub(super) fn get(key: &str) -> proto::RangeRequest {
    proto::RangeRequest { key: key.to_owned().into(), ..proto::RangeRequest::default() }
}

/// The code and text of a refusal.
pub(super) fn refused<T: std::fmt::Debug>(
    answer: Result<tonic::Response<T>, Status>,
) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}

pub(super) fn no(code: Code, text: &str) -> (Code, String) {
    (code, text.to_owned())
}
