//! Settings as they were written: in a file, in the environment, as flags. Start at [`Raw`]; nothing is
//! judged here but whether a text is of the kind that the setting has.

use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize as DeserializeDerive, Serialize};

use super::error::{ConfigError, Problem};

/// A text; a file may also hold a number where one is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Text(pub String);

/// Texts; a file holds a list or, as a flag does, one text with commas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct List(pub Vec<String>);

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl List {
    pub(super) fn one(text: &str) -> List {
        List(vec![text.to_owned()])
    }

    fn split(text: &str) -> List {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        List(parts.map(str::to_owned).collect())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct OneText;
        impl Visitor<'_> for OneText {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(OneText)
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts, or one text with commas")
            }

            fn visit_str<E>(self, text: &str) -> Result<List, E> {
                Ok(List::split(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<List, A::Error> {
                let mut list = Vec::new();
                while let Some(part) = parts.next_element::<String>()? {
                    if list.len() == MOST_URLS {
                        return Err(A::Error::custom("too many"));
                    }
                    list.push(part);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

/// More places to listen on than any machine has use for.
const MOST_URLS: usize = 64;

/// A kind of value that a flag or a variable can hold.
trait Kind: Sized {
    /// Whether a flag of this kind may come without a value.
    const SWITCH: bool = false;
    fn read(text: &str) -> Result<Self, String>;
}

impl Kind for Text {
    fn read(text: &str) -> Result<Text, String> {
        Ok(Text(text.to_owned()))
    }
}

impl Kind for List {
    fn read(text: &str) -> Result<List, String> {
        Ok(List::split(text))
    }
}

impl Kind for PathBuf {
    fn read(text: &str) -> Result<PathBuf, String> {
        Ok(text.into())
    }
}

impl Kind for bool {
    const SWITCH: bool = true;

    fn read(text: &str) -> Result<bool, String> {
        // What Go's `strconv.ParseBool` takes.
        match text {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
            _ => Err(format!("`{text}` is neither true nor false")),
        }
    }
}

impl Kind for u64 {
    fn read(text: &str) -> Result<u64, String> {
        text.parse().map_err(|_| format!("`{text}` is no number"))
    }
}

impl Kind for i64 {
    fn read(text: &str) -> Result<i64, String> {
        text.parse().map_err(|_| format!("`{text}` is no number"))
    }
}

/// A setting, for who makes flags of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As it is written in a file and after `--`.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// A flag without a value means `true`.
    pub switch: bool,
}

macro_rules! settings {
    ($($field:ident: $kind:ty = $name:literal, $help:literal;)*) => {
        /// The settings as written; what is absent keeps its default.
        #[derive(Clone, Debug, Default, PartialEq, Eq, DeserializeDerive, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Raw {
            $(
                #[doc = $help]
                #[serde(rename = $name, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$kind>,
            )*
        }

        /// Every setting, in the order in which they are shown.
        pub const SETTINGS: &[Setting] =
            &[$(Setting { name: $name, help: $help, switch: <$kind as Kind>::SWITCH },)*];

        impl Raw {
            /// What is set here, and else what is set below.
            #[must_use]
            pub fn over(self, below: Raw) -> Raw {
                Raw { $($field: self.$field.or(below.$field),)* }
            }

            /// Sets one by its name, from a text.
            ///
            /// # Errors
            ///
            /// If there is no such setting, or the text is not of its kind.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), Problem> {
                let read = match name {
                    $($name => <$kind as Kind>::read(text).map(|value| self.$field = Some(value)),)*
                    _ => Err("is no setting of the store".to_owned()),
                };
                read.map_err(|reason| Problem::new(name, reason))
            }
        }
    };
}

settings! {
    name: Text = "name",
        "The name of this store, for people";
    data_dir: PathBuf = "data-dir",
        "The folder that holds everything; made if it is not there";
    listen_client_urls: List = "listen-client-urls",
        "Where clients are served: http, https, unix or unixs URLs, with commas between";
    advertise_client_urls: List = "advertise-client-urls",
        "What clients are told about where they can come; the same if not set";
    listen_metrics_urls: List = "listen-metrics-urls",
        "Where /metrics and /health are served, besides on the client URLs";
    cert_file: PathBuf = "cert-file",
        "The server's certificate chain, PEM; read again when it changes";
    key_file: PathBuf = "key-file",
        "The key of the certificate, PEM";
    trusted_ca_file: PathBuf = "trusted-ca-file",
        "Authorities whose clients are let in, PEM; clients then need a certificate";
    client_cert_auth: bool = "client-cert-auth",
        "Clients need a certificate; implied by trusted-ca-file";
    quota_backend_bytes: i64 = "quota-backend-bytes",
        "How large the store may grow; 0 for 2 GiB, less for no bound";
    max_request_bytes: u64 = "max-request-bytes",
        "How large a request may be";
    max_txn_ops: u64 = "max-txn-ops",
        "How many operations a transaction may have";
    max_concurrent_streams: u64 = "max-concurrent-streams",
        "How many requests and watches one connection may have at once";
    max_connections: u64 = "max-connections",
        "How many connections there may be at once";
    auto_compaction_mode: Text = "auto-compaction-mode",
        "What auto-compaction-retention counts: `periodic` (time) or `revision`";
    auto_compaction_retention: Text = "auto-compaction-retention",
        "How much history is kept: 0 for all, hours or a span (30m), or revisions";
    grpc_keepalive_interval: Text = "grpc-keepalive-interval",
        "How often a silent client is asked whether it is still there";
    grpc_keepalive_timeout: Text = "grpc-keepalive-timeout",
        "How long it has to answer before its connection is closed";
    experimental_watch_progress_notify_interval: Text = "experimental-watch-progress-notify-interval",
        "How often a watch that wants to know hears that nothing happened";
    site: Text = "site",
        "The site whose store this is; with room, the store is one of two";
    room: Text = "room",
        "Which of the site's two rooms this is: a or b";
    listen_peer_urls: List = "listen-peer-urls",
        "Where the other room is listened for: https://address:port";
    peer_urls: List = "peer-urls",
        "Where the other room listens: https://host:port, with commas between";
    peer_urls_file: PathBuf = "peer-urls-file",
        "A file of further ones, an https://host:port each line; read anew before each try";
    peer_cert_file: PathBuf = "peer-cert-file",
        "This room's certificate chain for the other room and the witness, PEM";
    peer_key_file: PathBuf = "peer-key-file",
        "Its key, PEM";
    peer_trusted_ca_file: PathBuf = "peer-trusted-ca-file",
        "The site's authority, PEM";
    authority: Text = "authority",
        "Who lets a room go on alone: witness, power, preferred:a, preferred:b or operator";
    witness_urls: List = "witness-urls",
        "Where the witness is: https://host:port, with commas between";
    witness_server_name: Text = "witness-server-name",
        "The name in the witness' certificate";
    witness_trusted_ca_file: PathBuf = "witness-trusted-ca-file",
        "The authority of the witness' certificate, PEM";
    power_off_command: PathBuf = "power-off-command",
        "A program that switches the room off that it is given, and ends with 0 once it is confirmed off";
    found_with_data: bool = "found-with-data",
        "Begin a site with the data that is here, of a store that was not part of one; for one start";
    pair_heartbeat: Text = "pair-heartbeat",
        "How often the leader speaks";
    pair_silent_after: Text = "pair-silent-after",
        "A room that has not answered for so long is silent";
    pair_lease: Text = "pair-lease",
        "How long a follower promises not to seek a grant after it heard the leader";
    pair_drift_percent: u64 = "pair-drift-percent",
        "By how much the rooms' clocks may differ in speed";
    pair_power_delay: Text = "pair-power-delay",
        "How long after the leader a follower uses the power switch";
    pair_retry: Text = "pair-retry",
        "How long an authority has to answer before it is asked again";
    disk_stuck_after: Text = "disk-stuck-after",
        "A sync that takes longer means that the disk sticks";
}

/// etcd's flags that scripts made for etcd give and that mean nothing to a store with its own log and
/// without raft: accepted with any value, and of no effect. Those that would weaken what the store
/// promises (`unsafe-no-fsync`) or that it cannot keep (`auth-token`, `discovery`) are not among them.
pub const IGNORED: &[&str] = &[
    "auto-tls",
    "backend-batch-interval",
    "backend-batch-limit",
    "backend-bbolt-freelist-type",
    "election-timeout",
    "enable-grpc-gateway",
    "enable-pprof",
    "enable-v2",
    "experimental-compact-hash-check-enabled",
    "experimental-compaction-batch-limit",
    "experimental-compaction-sleep-interval",
    "experimental-initial-corrupt-check",
    "experimental-corrupt-check-time",
    "experimental-warning-apply-duration",
    "experimental-warning-unary-request-duration",
    "experimental-wait-cluster-ready-timeout",
    "grpc-keepalive-min-time",
    "heartbeat-interval",
    "initial-advertise-peer-urls",
    "initial-cluster",
    "initial-cluster-state",
    "initial-cluster-token",
    "initial-election-tick-advance",
    "log-format",
    "log-level",
    "log-outputs",
    "logger",
    "max-snapshots",
    "max-wals",
    "metrics",
    "peer-client-cert-auth",
    "pre-vote",
    "snapshot-count",
    "socket-reuse-address",
    "socket-reuse-port",
    "strict-reconfig-check",
];

/// What a variable of the environment begins with; the later wins.
const PREFIXES: [&str; 2] = ["ETCD_", "DUET_STORE_"];

impl Raw {
    /// etcd's settings for peers that are set, which mean nothing to a single store.
    #[must_use]
    pub fn of_peers(&self) -> Vec<&'static str> {
        let set = [
            ("listen-peer-urls", self.listen_peer_urls.is_some()),
            ("peer-cert-file", self.peer_cert_file.is_some()),
            ("peer-key-file", self.peer_key_file.is_some()),
            ("peer-trusted-ca-file", self.peer_trusted_ca_file.is_some()),
        ];
        set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
    }

    /// Reads a file's text. A setting that etcd has and this store does not need is passed over.
    ///
    /// # Errors
    ///
    /// If it is no TOML, has an unknown setting, or a value of another kind.
    pub fn from_toml(text: &str) -> Result<Raw, ConfigError> {
        let bad = |error: toml::de::Error| {
            let place = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let place = place.map_or_else(|| "the file".to_owned(), |line| format!("line {line}"));
            ConfigError::from(Problem::new(place, error.message().to_owned()))
        };
        let mut table: toml::Table = toml::from_str(text).map_err(bad)?;
        if IGNORED.iter().any(|name| table.contains_key(*name)) {
            table.retain(|name, _| !IGNORED.contains(&name));
            // The places in the text are lost on this way.
            return table.try_into().map_err(|error: toml::de::Error| {
                Problem::new("the file", error.message().to_owned()).into()
            });
        }
        toml::from_str(text).map_err(bad)
    }

    /// Reads the environment: `DUET_STORE_DATA_DIR`, or `ETCD_DATA_DIR` as etcd has it. Variables that are
    /// no settings are passed over: other programs use the prefix too (`ETCD_VERSION`).
    ///
    /// # Errors
    ///
    /// If a value is not of its setting's kind; all of them at once.
    pub fn from_environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Raw, ConfigError> {
        let mut layers = [Raw::default(), Raw::default()];
        let mut problems = Vec::new();
        for (variable, value) in variables {
            for (layer, prefix) in layers.iter_mut().zip(PREFIXES) {
                let Some(rest) = variable.strip_prefix(prefix) else { continue };
                let name = rest.to_ascii_lowercase().replace('_', "-");
                if !SETTINGS.iter().any(|setting| setting.name == name) {
                    continue;
                }
                if let Err(problem) = layer.set(&name, &value) {
                    problems.push(Problem::new(variable.as_str(), problem.reason));
                }
            }
        }
        if !problems.is_empty() {
            problems.sort_by(|a, b| a.setting.cmp(&b.setting));
            return Err(ConfigError { problems });
        }
        let [etcd, own] = layers;
        Ok(own.over(etcd))
    }
}
