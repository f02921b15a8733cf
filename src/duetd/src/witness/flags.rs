//! The settings of `duetd witness`: flags over a file over what is usual. Start at [`Flags::settle`].

use std::net::SocketAddr;
use std::path::PathBuf;

use ::witness::serve::Settings;
use clap::Args;
use serde::Deserialize;

use super::{DATA_DIR, text_of};
use crate::journal::Loudness;

/// Where rooms connect: every address of this machine.
const LISTEN: &str = "[::]:7411";

const CERT_FILE: &str = "/etc/duet-witness/witness.crt";
const KEY_FILE: &str = "/etc/duet-witness/witness.key";

/// More connections than file descriptors are of no use.
const MOST_CONNECTIONS: usize = 1_000_000;

/// The settings, as they are typed and as the file has them.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Raw {
    /// Where the sites are (else /var/lib/duet-witness)
    #[arg(long, value_name = "DIR", env = "DUET_WITNESS_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Where rooms connect, IP:PORT, more than one with commas (else port 7411 of every address)
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    listen: Option<Vec<String>>,

    /// The witness' certificate, with those that signed it (else /etc/duet-witness/witness.crt)
    #[arg(long, value_name = "FILE")]
    cert_file: Option<PathBuf>,

    /// Its key (else /etc/duet-witness/witness.key)
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Where the page of metrics is, such as http://127.0.0.1:7412 (else nowhere)
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    listen_metrics_urls: Option<Vec<String>>,

    /// How many connections rooms may have together (else 4096)
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A TOML file of settings, each named as its flag
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,

    /// How much is said
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    log_level: Loudness,

    #[command(flatten)]
    raw: Raw,
}

/// What the witness runs with.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) data_dir: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) loudness: Loudness,
}

/// A setting makes no sense.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{setting}: {reason}")]
#[diagnostic(code(input::witness_config), help("`duetd witness --help` shows what each takes"))]
struct SettingError {
    setting: &'static str,
    reason: String,
}

impl Flags {
    /// Flags over the file over what is usual.
    pub(crate) fn settle(self) -> Result<Settled, miette::Report> {
        let file = match &self.config_file {
            None => Raw::default(),
            Some(path) => toml::from_str(&text_of(path, "the settings in")?).map_err(|error| {
                miette::miette!(
                    code = "input::witness_config",
                    help = "it is TOML with the flags' names, such as: listen = [\"[::]:7411\"]",
                    "cannot use the settings in {}: {}",
                    path.display(),
                    error.message()
                )
            })?,
        };
        let raw = self.raw;
        let listen = raw.listen.or(file.listen).unwrap_or_else(|| vec![LISTEN.to_owned()]);
        let listen: Vec<_> = listen.iter().map(|text| address(text)).collect::<Result<_, _>>()?;
        if listen.is_empty() {
            let reason = "no room could connect".to_owned();
            return Err(SettingError { setting: "listen", reason }.into());
        }
        let metrics = raw.listen_metrics_urls.or(file.listen_metrics_urls).unwrap_or_default();
        let metrics = metrics.iter().filter(|text| !text.is_empty());
        let or = |flag: Option<PathBuf>, file: Option<PathBuf>, usual: &str| {
            flag.or(file).unwrap_or_else(|| usual.into())
        };
        let mut settings = Settings::new(
            listen,
            or(raw.cert_file, file.cert_file, CERT_FILE),
            or(raw.key_file, file.key_file, KEY_FILE),
        );
        settings.metrics = metrics.map(|text| url(text)).collect::<Result<_, _>>()?;
        if let Some(connections) = raw.max_connections.or(file.max_connections) {
            if !(1..=MOST_CONNECTIONS).contains(&connections) {
                let reason = format!("{connections} is not from 1 to {MOST_CONNECTIONS}");
                return Err(SettingError { setting: "max-connections", reason }.into());
            }
            settings.max_connections = connections;
        }
        let data_dir = or(raw.data_dir, file.data_dir, DATA_DIR);
        Ok(Settled { data_dir, settings, loudness: self.log_level })
    }
}

fn address(text: &str) -> Result<SocketAddr, SettingError> {
    text.parse().map_err(|_| SettingError {
        setting: "listen",
        reason: format!("`{text}` is no IP address with a port; write 192.0.2.7:7411 or [::]:7411"),
    })
}

fn url(text: &str) -> Result<SocketAddr, SettingError> {
    let place = text.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let place = place.map(|place| place.replacen("localhost:", "127.0.0.1:", 1));
    place.and_then(|place| place.parse().ok()).ok_or_else(|| SettingError {
        setting: "listen-metrics-urls",
        reason: format!("`{text}` is not such as http://127.0.0.1:7412"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn settle(args: &[&str]) -> Result<Settled, miette::Report> {
        Line::try_parse_from([&["witness"], args].concat()).unwrap().flags.settle()
    }

    #[test]
    fn flags_go_before_the_file_and_that_before_what_is_usual() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness.toml");
        let text = "data-dir = \"/file\"\nlisten = [\"192.0.2.7:1\"]\nmax-connections = 7\n";
        std::fs::write(&path, text).unwrap();
        let file = path.to_str().unwrap();
        let settled = settle(&[
            "--config-file",
            file,
            "--listen=127.0.0.1:2,[::1]:3",
            "--listen-metrics-urls=http://localhost:4/",
        ])
        .unwrap();
        assert_eq!(settled.data_dir, Path::new("/file"));
        let addresses: Vec<_> = settled.settings.listen.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["127.0.0.1:2", "[::1]:3"]);
        assert_eq!(settled.settings.metrics[0].to_string(), "127.0.0.1:4");
        assert_eq!(settled.settings.max_connections, 7);
        assert_eq!(settled.settings.key_file, Path::new(KEY_FILE));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |args: &[&str], expected: &str| {
            let error = settle(args).unwrap_err();
            assert_eq!(error.code().unwrap().to_string().split("::").next(), Some("input"));
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&["--listen=here:1"], "listen: `here:1` is no IP address");
        check(&["--listen-metrics-urls=https://[::1]:1"], "is not such as http://");
        check(&["--max-connections=0"], "max-connections: 0 is not from 1");
        check(&["--config-file=/nowhere"], "cannot read the settings in /nowhere");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness.toml");
        std::fs::write(&path, "listens = []\n").unwrap();
        check(&["--config-file", path.to_str().unwrap()], "unknown field `listens`");
    }
}
