//! `duetd kubernetes watch`: how Kubernetes is on this machine, for its screen and its page. Start at
//! [`Watch::run`]; [`phase`] decides.
//!
//! k3s keeps its certificates for root alone, and its API tells nobody without one how it is. So this small
//! service looks, and leaves what everybody may know in a file. It uses the scheduler's certificate: the least
//! of k3s' own that may list the machines.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agent::Files;
use agent::ask::Question;
use agent::kubernetes::{AGENT_CONFIG, Member, Phase, SERVER_CONFIG, STATE, State, api};
use clap::Args;
use http::StatusCode;
use rustix::time::{ClockId, clock_gettime};

use super::Unwritten;
use crate::root::Root;
use crate::service::{SystemError, Systemd, told_to_end};
use crate::systemd::{self, Shown};
use crate::{bounded, durable, journal};

/// How often is looked: often while people wait for it, and else so that what is shown is hardly old.
const SOON: Duration = Duration::from_secs(3);
const SELDOM: Duration = Duration::from_secs(10);

/// How long the API server may take; one under emulation takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// More machines than two rooms have are not shown.
const MOST_MACHINES: usize = 64;

/// A machine is described in some ten kilobytes.
const LONGEST: usize = 4 << 20;

/// Why it is no further is shown in one line.
const LONGEST_WHY: usize = 160;

/// Where a k3s server keeps its certificates.
const AUTHORITY: &str = "/var/lib/rancher/k3s/server/tls/server-ca.crt";
const CERTIFICATE: &str = "/var/lib/rancher/k3s/server/tls/client-scheduler.crt";
const KEY: &str = "/var/lib/rancher/k3s/server/tls/client-scheduler.key";

/// Where a k3s server writes the token of the cluster: `K10`, the SHA-256 of the authority's certificate,
/// `::`, and the secret.
const TOKEN: &str = "/var/lib/rancher/k3s/server/token";

#[derive(Debug, Args)]
pub(super) struct Watch {}

/// What the API server said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Api {
    /// It is ready, and knows these machines.
    Ready(Vec<Member>),
    /// It answers, and is not ready.
    Unready,
    /// It does not answer.
    Silent(String),
}

impl Watch {
    pub(super) fn run(self, root: &Root) -> Result<ExitCode, miette::Report> {
        let Watch {} = self;
        journal::begin(journal::Loudness::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| SystemError { action: "start a thread", source })?;
        runtime.block_on(async {
            let systemd = Systemd::new()?;
            let end = told_to_end()?;
            systemd.say("READY=1");
            tokio::select! {
                () = end => Ok(ExitCode::SUCCESS),
                error = look_on(root) => Err(error.into()),
            }
        })
    }
}

/// Looks for as long as the outcome can be left.
async fn look_on(root: &Root) -> Unwritten {
    let mut last = None;
    loop {
        let state = look(root).await;
        if last != Some(state.phase) {
            let why = state.why.as_deref().unwrap_or_default();
            tracing::info!("Kubernetes: {:?} {why}", state.phase);
            last = Some(state.phase);
        }
        let pause = if state.phase == Phase::Ready { SELDOM } else { SOON };
        let left = serde_json::to_string_pretty(&state)
            .map_err(std::io::Error::other)
            .and_then(|text| durable::write(&root.path(STATE), text.as_bytes(), 0o644));
        if let Err(source) = left {
            return Unwritten { path: STATE, source };
        }
        tokio::time::sleep(pause).await;
    }
}

/// Looks once.
async fn look(root: &Root) -> State {
    let at_s = u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or_default();
    let serves = root.path(SERVER_CONFIG).exists();
    let unit = match (serves, root.path(AGENT_CONFIG).exists()) {
        (true, _) => "k3s.service",
        (_, true) => "k3s-agent.service",
        (false, false) => return State { at_s, ..State::default() },
    };
    let shown = match tokio::task::spawn_blocking(move || systemd::show(unit)).await {
        Ok(Ok(shown)) => shown,
        Ok(Err(error)) => {
            let why = Some(error.to_string());
            return State { phase: Phase::Unready, why, at_s, ..State::default() };
        }
        Err(_) => return State { at_s, ..State::default() },
    };
    let api = if serves && runs(&shown) { Some(ask(root).await) } else { None };
    let (phase, why) = phase(&shown, serves, api.as_ref());
    let machines = match api {
        Some(Api::Ready(machines)) => machines,
        _ => Vec::new(),
    };
    let authority = bounded::text(&root.path(TOKEN)).ok();
    let authority = authority.as_deref().and_then(authority_of).map(str::to_owned);
    let why = why.map(|why| why.chars().take(LONGEST_WHY).collect());
    State { phase, why, machines, authority, at_s }
}

/// Whether k3s itself runs, and not only what comes before it.
fn runs(shown: &Shown) -> bool {
    match shown.active.as_str() {
        "active" | "reloading" => true,
        "activating" => shown.sub == "start",
        _ => false,
    }
}

/// How far it is, and why it is no further. A server is ready when its API is, whatever systemd still waits
/// for; a worker when systemd has heard that it is.
fn phase(shown: &Shown, serves: bool, api: Option<&Api>) -> (Phase, Option<String>) {
    match (shown.active.as_str(), api) {
        (_, Some(Api::Ready(_))) => (Phase::Ready, None),
        ("active", None) if !serves => (Phase::Ready, None),
        ("active", Some(Api::Unready)) => {
            (Phase::Unready, Some("its API server answers and is not ready".to_owned()))
        }
        ("active", Some(Api::Silent(why))) => {
            (Phase::Unready, Some(format!("its API server does not answer: {why}")))
        }
        ("activating", _) if shown.sub == "start-pre" => (Phase::Waits, shown.says.clone()),
        ("activating", _) if shown.sub.starts_with("auto-restart") => {
            let times = if shown.restarts == 1 { "once" } else { "time and again" };
            (Phase::Failed, Some(format!("it ended {times}")))
        }
        ("activating" | "reloading", _) => (Phase::Starts, None),
        ("failed", _) => (Phase::Failed, None),
        _ => (Phase::Off, None),
    }
}

/// The hash in a token of k3s; nothing of its secret part.
fn authority_of(token: &str) -> Option<&str> {
    let (hash, _) = token.trim().strip_prefix("K10")?.split_once("::")?;
    (hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

async fn ask(root: &Root) -> Api {
    let file = |path: &str| -> std::path::PathBuf { root.path(path) };
    let files =
        Files { certificate: file(CERTIFICATE), key: file(KEY), authority: file(AUTHORITY) };
    if !Path::new(&files.certificate).exists() {
        return Api::Silent("it has no certificates yet".to_owned());
    }
    let question = |path| Question { path, longest: LONGEST, patience: PATIENCE };
    match api::get(&files, question("/readyz")).await {
        Ok((StatusCode::OK, _)) => {}
        Ok(_) => return Api::Unready,
        Err(error) => return Api::Silent(error.to_string()),
    }
    let list = match api::get(&files, question("/api/v1/nodes?limit=64")).await {
        Ok((StatusCode::OK, body)) => serde_json::from_slice(&body).unwrap_or_default(),
        // It is ready all the same; who else is there is not known.
        _ => serde_json::Value::Null,
    };
    Api::Ready(api::members(&list, MOST_MACHINES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(active: &str, sub: &str) -> Shown {
        Shown { active: active.into(), sub: sub.into(), ..Shown::default() }
    }

    #[test]
    fn a_server_is_ready_when_its_api_is() {
        let ready = Api::Ready(Vec::new());
        let silent = Api::Silent("connection refused".into());
        let phase = |active, sub, api| phase(&shown(active, sub), true, api).0;
        assert_eq!(phase("activating", "start", Some(&ready)), Phase::Ready);
        assert_eq!(phase("activating", "start", Some(&silent)), Phase::Starts);
        assert_eq!(phase("active", "running", Some(&Api::Unready)), Phase::Unready);
        assert_eq!(phase("active", "running", Some(&silent)), Phase::Unready);
        assert_eq!(phase("activating", "auto-restart", None), Phase::Failed);
        assert_eq!(phase("failed", "failed", None), Phase::Failed);
        assert_eq!(phase("inactive", "dead", None), Phase::Off);
    }

    #[test]
    fn a_worker_is_ready_when_systemd_was_told() {
        assert_eq!(phase(&shown("active", "running"), false, None).0, Phase::Ready);
        assert_eq!(phase(&shown("activating", "start"), false, None).0, Phase::Starts);
    }

    #[test]
    fn what_it_waits_for_is_told() {
        let says = Some("it has its reason".to_owned());
        let waits = Shown { says: says.clone(), ..shown("activating", "start-pre") };
        assert_eq!(phase(&waits, true, None), (Phase::Waits, says));
        assert!(!runs(&waits), "nobody is asked before there is somebody");
    }

    #[test]
    fn nothing_of_a_tokens_secret_is_taken() {
        let hash = "0123456789abcdef".repeat(4);
        let token = format!("K10{hash}::server:secret\n");
        assert_eq!(authority_of(&token), Some(hash.as_str()));
        assert_eq!(authority_of("secret"), None);
        assert_eq!(authority_of("K10secret::server:x"), None);
    }
}
