//! `duetd kubernetes wait`: may this room's Kubernetes server start? Start at [`turn`], which decides.
//!
//! The first server of a site makes the cluster's certificates and keys, and leaves them in the store,
//! encrypted with the token, under `/bootstrap/` (k3s' pkg/cluster/storage.go); every other server takes
//! them from there. Two that begin at once would both want to be the first. The room that leads goes first.

use std::process::ExitCode;
use std::time::Duration;

use ::store::client::{self, Client};
use ::store::wire::proto::RangeRequest;
use agent::kubernetes::SERVER_ADDRESS;
use clap::Args;
use serde_json::Value;

use super::{NotYet, Patience, address};
use crate::console;
use crate::root::Root;
use crate::store::endpoint::{self, Store};

/// How often is looked; a start is not held up by more than this.
const LOOK: Duration = Duration::from_secs(1);

/// How long one look may take: a store without its other room answers nothing until it may go on alone.
const ANSWER: Duration = Duration::from_secs(10);

/// Where k3s leaves what the first server made.
const BOOTSTRAP: &str = "/bootstrap/";

/// One key for each token that was ever used, and hardly more than one ever is.
const MOST_KEYS: i64 = 8;

#[derive(Debug, Args)]
pub(super) struct Wait {
    #[command(flatten)]
    store: Store,

    #[command(flatten)]
    patience: Patience,
}

/// What a room's store says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is not one of two.
    Single,
    /// It leads.
    Leads,
    /// The other room leads, or nobody is known to.
    Follows,
}

/// Decides. `standing` and `bootstrapped` come from a store that has just answered a linearizable read;
/// `bootstrapped` says whether a first server has left its certificates.
fn turn(standing: Standing, bootstrapped: bool) -> Result<&'static str, NotYet> {
    match (bootstrapped, standing) {
        (true, _) => Ok("the cluster's certificates are in the store"),
        (false, Standing::Single) => Ok("this site's first server starts here"),
        (false, Standing::Leads) => Ok("this room leads, so this site's first server starts here"),
        (false, Standing::Follows) => {
            Err(NotYet("the other room starts this site's first server".to_owned()))
        }
    }
}

impl Wait {
    pub(super) fn run(self, root: &Root) -> Result<ExitCode, miette::Report> {
        let Wait { store, patience } = self;
        let cure = "`duetd store status` shows how this room and the other one are";
        let waits = patience.until("The Kubernetes server", LOOK, cure, async || {
            Ok(may_start(&store).await.and_then(|turn| addresses(root).map(|()| turn)))
        });
        let turn = endpoint::within(waits)?;
        console::note(&format!("The Kubernetes server may start: {turn}."));
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether this room's server may start now, and why.
async fn may_start(store: &Store) -> Result<&'static str, NotYet> {
    match tokio::time::timeout(ANSWER, look(store)).await {
        Ok(Ok((standing, bootstrapped))) => turn(standing, bootstrapped),
        Ok(Err(error)) => Err(NotYet(error.to_string())),
        Err(_) => {
            Err(NotYet("the store takes no reads, as `duetd store status` explains".to_owned()))
        }
    }
}

/// Has k3s know this machine's addresses; where nothing was told to k3s, as when a person runs this, there is
/// nothing to do.
fn addresses(root: &Root) -> Result<(), NotYet> {
    match address::told(root) {
        Ok(told) => address::find(root, &told, SERVER_ADDRESS),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(NotYet(format!("what k3s was told cannot be read: {error}"))),
    }
}

/// Asks the store: first the read, which only a store that is in order answers, then its standing.
async fn look(store: &Store) -> Result<(Standing, bool), miette::Report> {
    let tls = store.certificates.tls();
    let mut client = Client::connect(&store.endpoint, tls.as_ref()).await?;
    let mut end = BOOTSTRAP.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1; // every key that begins so
    }
    let request = RangeRequest {
        key: BOOTSTRAP.as_bytes().to_vec().into(),
        range_end: end.into(),
        limit: MOST_KEYS,
        ..RangeRequest::default()
    };
    let answer = client.kv.range(request).await;
    let answer =
        answer.map_err(|status| miette::miette!("the store says: {}", status.message()))?;
    // An empty value holds no certificates, whoever wrote it.
    let bootstrapped = answer.into_inner().kvs.iter().any(|pair| !pair.value.is_empty());
    let path = "/duet/pair";
    let (status, text) =
        client::page(&store.endpoint, tls.as_ref(), http::Method::GET, path).await?;
    Ok((standing(status, &text), bootstrapped))
}

/// What the page of the pair says; a single store has none.
fn standing(status: http::StatusCode, text: &str) -> Standing {
    let page: Value = serde_json::from_str(text).unwrap_or_default();
    match page["role"].as_str() {
        _ if status == http::StatusCode::NOT_FOUND => Standing::Single,
        Some("leads") => Standing::Leads,
        _ => Standing::Follows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_room_starts_first() {
        let starts = |standing, bootstrapped| turn(standing, bootstrapped).is_ok();
        assert!(starts(Standing::Single, false));
        assert!(starts(Standing::Leads, false));
        assert!(!starts(Standing::Follows, false));
        for standing in [Standing::Single, Standing::Leads, Standing::Follows] {
            assert!(starts(standing, true));
        }
    }

    #[test]
    fn only_a_page_that_says_so_means_to_lead() {
        let ok = http::StatusCode::OK;
        assert_eq!(standing(ok, r#"{"role":"leads"}"#), Standing::Leads);
        assert_eq!(standing(ok, r#"{"role":"follows"}"#), Standing::Follows);
        assert_eq!(standing(ok, "{}"), Standing::Follows);
        assert_eq!(standing(ok, "not json"), Standing::Follows);
        let none = http::StatusCode::NOT_FOUND;
        assert_eq!(standing(none, r#"{"error":"a single store"}"#), Standing::Single);
        let trouble = http::StatusCode::INTERNAL_SERVER_ERROR;
        assert_eq!(standing(trouble, ""), Standing::Follows);
    }
}
