//! What a person sets for the store. Start at [`Config`]; what was written is a [`Raw`], and
//! `Config::try_from(raw)` is the only way from one to the other: it names every problem at once.
//!
//! Settings are named as etcd's flags wherever etcd has the same (etcd v3.5 `server/etcdmain/help.go`,
//! `server/embed/config.go`), so that scripts and units made for etcd fit. Nothing here opens a file or
//! reads the environment: both are given as text.

mod duration;
mod error;
mod listen;
mod pair;
mod raw;
mod retention;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use duration::parse as parse_span;
pub use error::{ConfigError, Problem};
pub use listen::{Listen, Place};
pub use pair::{PairConfig, WitnessConfig};
pub(crate) use pair::{authority, host};
pub use raw::{IGNORED, List, Raw, SETTINGS, Setting, Text};

use crate::engine::Retention;

/// The quota if none is set: etcd's (2 GiB).
pub const DEFAULT_QUOTA_BYTES: u64 = 2 << 30;

/// The largest request if nothing is set: etcd's (1.5 MiB).
pub const DEFAULT_REQUEST_BYTES: u32 = 1536 << 10;

/// The largest request that can be asked for: etcd warns above 10 MiB, and a log entry has a bound too.
const LARGEST_REQUEST_BYTES: u64 = 64 << 20;

/// Operations in one branch of a transaction if nothing is set: etcd's.
pub const DEFAULT_TXN_OPS: usize = 128;

/// More operations than this would hold up every other write for too long.
const LARGEST_TXN_OPS: u64 = 1 << 16;

/// Requests and watches at once on one connection. A Go client opens one connection for everything, so
/// this is also about how many a kube-apiserver has; etcd's own default, 2^32-1, is no bound.
const DEFAULT_STREAMS: u32 = 1 << 15;

/// Connections at once; each holds some tens of KiB with TLS.
const DEFAULT_CONNECTIONS: usize = 1 << 13;

/// How often a silent client is asked whether it is there. etcd asks every two hours; a room that lost its
/// power would leave its watches behind for as long.
const DEFAULT_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long it has for an answer: etcd's.
const DEFAULT_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a watch that wants to know hears that nothing happened: etcd's.
const DEFAULT_PROGRESS: Duration = Duration::from_secs(600);

/// etcd's shortest (`minWatchProgressInterval`).
const SHORTEST_PROGRESS: Duration = Duration::from_millis(100);

/// The store's settings, all of them sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of this store, for people.
    pub name: String,
    /// The folder that holds everything.
    pub data_dir: PathBuf,
    /// Where clients are served; at least one.
    pub listen_client_urls: Vec<Listen>,
    /// What clients are told about where they can come; at least one.
    pub advertise_client_urls: Vec<String>,
    /// Where `/metrics` and `/health` are served, besides on the client URLs.
    pub listen_metrics_urls: Vec<Listen>,
    /// The certificates; there if one of the URLs is `https` or `unixs`.
    pub tls: Option<Tls>,
    /// How large the store may grow; `u64::MAX` if there is no quota.
    pub quota_backend_bytes: u64,
    /// How large a request may be.
    pub max_request_bytes: u32,
    /// How many operations one branch of a transaction may have.
    pub max_txn_ops: usize,
    /// How many requests and watches one connection may have at once.
    pub max_concurrent_streams: u32,
    /// How many connections there may be at once.
    pub max_connections: usize,
    /// When history is forgotten without being asked.
    pub auto_compaction: Retention,
    /// How often a silent client is asked whether it is still there.
    pub grpc_keepalive_interval: Duration,
    /// How long it has to answer before its connection is closed.
    pub grpc_keepalive_timeout: Duration,
    /// How often a watch that wants to know hears that nothing happened.
    pub watch_progress_notify_interval: Duration,
    /// Where this store is one of two.
    pub pair: Option<PairConfig>,
}

/// Files of certificates; read when listening begins, and again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate chain (PEM).
    pub cert_file: PathBuf,
    /// Its key (PEM).
    pub key_file: PathBuf,
    /// The authorities that clients' certificates must come from (PEM). If it is set, a client needs one,
    /// as with etcd, whatever `client-cert-auth` says.
    pub trusted_ca_file: Option<PathBuf>,
}

impl TryFrom<Raw> for Config {
    type Error = ConfigError;

    fn try_from(raw: Raw) -> Result<Config, ConfigError> {
        let mut problems = Vec::new();
        let config = Config::check(raw, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }
}

/// Takes the good value, or notes the problem and goes on with a stand-in.
fn keep<T>(result: Result<T, Problem>, otherwise: T, problems: &mut Vec<Problem>) -> T {
    result.unwrap_or_else(|problem| {
        problems.push(problem);
        otherwise
    })
}

/// A number between 1 and the largest.
fn bounded(
    setting: &'static str,
    value: Option<u64>,
    otherwise: u64,
    largest: u64,
) -> Result<u64, Problem> {
    match value {
        None => Ok(otherwise),
        Some(value) if (1..=largest).contains(&value) => Ok(value),
        Some(value) => {
            Err(Problem::new(setting, format!("{value} is not between 1 and {largest}")))
        }
    }
}

/// A span of time, not shorter than the shortest.
fn span(
    setting: &'static str,
    value: Option<&Text>,
    otherwise: Duration,
    shortest: Duration,
) -> Result<Duration, Problem> {
    let Some(text) = value else { return Ok(otherwise) };
    let span = duration::parse(text).map_err(|reason| Problem::new(setting, reason))?;
    if span < shortest {
        return Err(Problem::new(setting, format!("{text} is shorter than {shortest:?}")));
    }
    Ok(span)
}

impl Config {
    fn check(raw: Raw, problems: &mut Vec<Problem>) -> Config {
        let pair = PairConfig::check(&raw, problems);
        let name = raw.name.map_or_else(|| "default".to_owned(), |text| text.0);
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            problems.push(Problem::new("name", "must have 1 to 255 printable characters"));
        }
        let data_dir = raw.data_dir.unwrap_or_else(|| format!("{name}.etcd").into());
        if data_dir.as_os_str().is_empty() {
            problems.push(Problem::new("data-dir", "is empty"));
        }
        let clients = raw.listen_client_urls.unwrap_or_else(|| List::one("http://localhost:2379"));
        let listen_client_urls = listen::all("listen-client-urls", &clients, problems);
        if listen_client_urls.is_empty() && clients.0.is_empty() {
            problems.push(Problem::new("listen-client-urls", "names no URL"));
        }
        let metrics = raw.listen_metrics_urls.unwrap_or_default();
        let listen_metrics_urls = listen::all("listen-metrics-urls", &metrics, problems);
        let advertise = raw.advertise_client_urls.map(|list| list.0).unwrap_or_default();
        for url in &advertise {
            keep(listen::advertised(url), (), problems);
        }
        let advertise_client_urls = if advertise.is_empty() {
            listen_client_urls.iter().map(Listen::to_string).collect()
        } else {
            advertise
        };
        let encrypted = listen_client_urls.iter().chain(&listen_metrics_urls).find(|url| url.tls);
        let files = (raw.cert_file, raw.key_file, raw.trusted_ca_file);
        let tls = check_tls(files, raw.client_cert_auth.unwrap_or(false), encrypted, problems);
        let stated = raw.max_request_bytes;
        let request = bounded(
            "max-request-bytes",
            stated,
            DEFAULT_REQUEST_BYTES.into(),
            LARGEST_REQUEST_BYTES,
        );
        let ops = bounded("max-txn-ops", raw.max_txn_ops, DEFAULT_TXN_OPS as u64, LARGEST_TXN_OPS);
        let streams = raw.max_concurrent_streams;
        let streams = bounded(
            "max-concurrent-streams",
            streams.map(|value| value.min(u32::MAX.into())),
            DEFAULT_STREAMS.into(),
            u32::MAX.into(),
        );
        let connections =
            bounded("max-connections", raw.max_connections, DEFAULT_CONNECTIONS as u64, 1 << 20);
        let interval = raw.grpc_keepalive_interval.as_ref();
        let second = Duration::from_secs(1);
        let timeout = raw.grpc_keepalive_timeout.as_ref();
        let progress = raw.experimental_watch_progress_notify_interval.as_ref();
        let retention = retention::parse(
            raw.auto_compaction_mode.as_ref(),
            raw.auto_compaction_retention.as_ref(),
        );
        Config {
            pair,
            name,
            data_dir,
            listen_client_urls,
            advertise_client_urls,
            listen_metrics_urls,
            tls,
            quota_backend_bytes: match raw.quota_backend_bytes {
                None | Some(0) => DEFAULT_QUOTA_BYTES,
                // As etcd: a negative number turns the quota off.
                Some(bytes) => u64::try_from(bytes).unwrap_or(u64::MAX),
            },
            // The bounds above fit the types below.
            max_request_bytes: keep(request, 1, problems) as u32,
            max_txn_ops: keep(ops, 1, problems) as usize,
            max_concurrent_streams: keep(streams, 1, problems) as u32,
            max_connections: keep(connections, 1, problems) as usize,
            auto_compaction: keep(retention, Retention::Forever, problems),
            grpc_keepalive_interval: keep(
                span("grpc-keepalive-interval", interval, DEFAULT_KEEPALIVE_INTERVAL, second),
                second,
                problems,
            ),
            grpc_keepalive_timeout: keep(
                span("grpc-keepalive-timeout", timeout, DEFAULT_KEEPALIVE_TIMEOUT, second),
                second,
                problems,
            ),
            watch_progress_notify_interval: keep(
                span(
                    "experimental-watch-progress-notify-interval",
                    progress,
                    DEFAULT_PROGRESS,
                    SHORTEST_PROGRESS,
                ),
                DEFAULT_PROGRESS,
                problems,
            ),
        }
    }

    /// The settings as they would be written in full.
    #[must_use]
    pub fn to_raw(&self) -> Raw {
        let (mode, kept) = retention::text(self.auto_compaction);
        let urls = |list: &[Listen]| List(list.iter().map(Listen::to_string).collect());
        let tls = self.tls.as_ref();
        let mut raw = Raw {
            name: Some(Text(self.name.clone())),
            data_dir: Some(self.data_dir.clone()),
            listen_client_urls: Some(urls(&self.listen_client_urls)),
            advertise_client_urls: Some(List(self.advertise_client_urls.clone())),
            listen_metrics_urls: Some(urls(&self.listen_metrics_urls)),
            cert_file: tls.map(|tls| tls.cert_file.clone()),
            key_file: tls.map(|tls| tls.key_file.clone()),
            trusted_ca_file: tls.and_then(|tls| tls.trusted_ca_file.clone()),
            client_cert_auth: tls.map(|tls| tls.trusted_ca_file.is_some()),
            // No quota is written as etcd's negative number.
            quota_backend_bytes: Some(i64::try_from(self.quota_backend_bytes).unwrap_or(-1)),
            max_request_bytes: Some(self.max_request_bytes.into()),
            max_txn_ops: Some(self.max_txn_ops as u64),
            max_concurrent_streams: Some(self.max_concurrent_streams.into()),
            max_connections: Some(self.max_connections as u64),
            auto_compaction_mode: Some(mode),
            auto_compaction_retention: Some(kept),
            grpc_keepalive_interval: Some(duration::text(self.grpc_keepalive_interval)),
            grpc_keepalive_timeout: Some(duration::text(self.grpc_keepalive_timeout)),
            experimental_watch_progress_notify_interval: Some(duration::text(
                self.watch_progress_notify_interval,
            )),
            ..Raw::default()
        };
        if let Some(pair) = &self.pair {
            pair.write(&mut raw);
        }
        raw
    }

    /// The settings as the file that would make them: what `--print-config` prints.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.to_raw()).expect("a table of texts, numbers and lists can be written")
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_toml())
    }
}

/// Certificates fit together, and are there if a URL needs them.
fn check_tls(
    files: (Option<PathBuf>, Option<PathBuf>, Option<PathBuf>),
    client_cert_auth: bool,
    encrypted: Option<&Listen>,
    problems: &mut Vec<Problem>,
) -> Option<Tls> {
    let (cert_file, key_file, trusted_ca_file) = files;
    if client_cert_auth && trusted_ca_file.is_none() {
        let reason = "needs trusted-ca-file: which authorities' clients are let in?";
        problems.push(Problem::new("client-cert-auth", reason));
    }
    match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => Some(Tls { cert_file, key_file, trusted_ca_file }),
        (Some(_), None) => {
            problems.push(Problem::new("key-file", "is missing; cert-file is set"));
            None
        }
        (None, Some(_)) => {
            problems.push(Problem::new("cert-file", "is missing; key-file is set"));
            None
        }
        (None, None) => {
            if let Some(url) = encrypted {
                let reason = format!("is missing, and so is key-file; {url} needs both");
                problems.push(Problem::new("cert-file", reason));
            } else if trusted_ca_file.is_some() {
                let reason = "is of no use without cert-file and key-file";
                problems.push(Problem::new("trusted-ca-file", reason));
            }
            None
        }
    }
}
