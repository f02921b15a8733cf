//! A scenario that is played on a real etcd and on the store, and has the same outcome.

use std::fmt::Debug;
use std::sync::Arc;

use tests::server::{Make, Plan, Server};
use tokio::runtime::Runtime;

use crate::client::{Client, Identity};
use crate::differential::judged;
use crate::scratch;

/// A server and a client of it.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) identity: Arc<Identity>,
}

impl Stage {
    /// A new connection.
    pub(crate) async fn client(&self) -> Client {
        let client = Client::connect(&self.server.endpoint(), Arc::clone(&self.identity)).await;
        client.unwrap_or_else(|error| panic!("{}: {error}", self.server.make().name()))
    }
}

/// Plays `scenario` on both at the same time, each started with `words`, and compares what came out.
///
/// # Panics
/// If that differs.
#[track_caller]
pub(crate) fn same<T: PartialEq + Debug>(words: &[&str], scenario: impl AsyncFn(&Stage) -> T) -> T {
    let folder = scratch("etcd-scenario");
    let stage = |make: Make, name| {
        let plan = Plan::new(make, folder.path().join(name)).hasty();
        let plan = words.iter().fold(plan, |plan, word| plan.word(word));
        Stage { server: Server::start(plan), identity: Arc::default() }
    };
    let (left, right) = (stage(Make::Etcd, "left"), stage(judged(), "right"));
    let both = async { tokio::join!(scenario(&left), scenario(&right)) };
    let (left, right) = Runtime::new().unwrap().block_on(both);
    assert_eq!(left, right, "etcd (left) and the store (right) differ");
    left
}
