//! The flags of `duetd store`: the store's settings as etcd names them, and a few of our own. Start at
//! [`Flags::settle`], which lays command line, environment and file over each other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ::store::config::{Config, ConfigError, Raw, SETTINGS};
use clap::{Arg, ArgAction, ArgMatches, Args, Command};

use super::foreign::{Foreign, Refusal};
use crate::journal::Loudness;

/// More than any file of settings has; one that is longer is something else.
const LONGEST_FILE: u64 = 1 << 20;

/// The settings of [`SETTINGS`] as flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(Vec<(&'static str, String)>);

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A TOML file of settings, each named as its flag
    ///
    /// Flags go before the environment (ETCD_DATA_DIR or DUET_STORE_DATA_DIR for --data-dir), the
    /// environment goes before the file.
    #[arg(long, value_name = "FILE", env = "ETCD_CONFIG_FILE")]
    config_file: Option<PathBuf>,

    /// Say which settings would be used, as a file for --config-file, and end
    #[arg(long)]
    print_config: bool,

    /// How much is said
    #[arg(long, value_enum, value_name = "LEVEL", env = "ETCD_LOG_LEVEL", default_value_t)]
    log_level: Loudness,

    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    foreign: Foreign,
}

/// Why no settings came about.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum FlagsError {
    /// The file cannot be read.
    #[error("cannot read the settings in {path}")]
    #[diagnostic(code(input::store_config), help("see that the file is there and may be read"))]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("cannot use the settings in {path}")]
    #[diagnostic(
        code(input::store_config),
        help(
            "it is TOML with etcd's names, such as: listen-client-urls = \"http://127.0.0.1:2379\""
        )
    )]
    Text {
        path: PathBuf,
        #[source]
        source: ConfigError,
    },
    /// Settings contradict each other or make no sense.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    /// A flag of etcd's cannot be obeyed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Foreign(#[from] Refusal),
}

/// What the store runs with.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) config: Config,
    pub(crate) print: bool,
    pub(crate) loudness: Loudness,
    /// etcd's flags that were given and mean nothing here.
    pub(crate) left_aside: Vec<String>,
}

impl Flags {
    /// Flags over environment over file, all of them sound.
    pub(crate) fn settle(
        self,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Settled, FlagsError> {
        let environment: Vec<_> = environment.collect();
        let mut left_aside = self.foreign.left_aside(environment.iter().cloned())?;
        let file = self.config_file.as_deref().map_or_else(|| Ok(Raw::default()), load)?;
        let texts = environment.into_iter().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let raw = self.settings.raw()?.over(Raw::from_environment(texts)?).over(file);
        let of_peers = raw.of_peers();
        let config = Config::try_from(raw)?;
        if config.pair.is_none() {
            left_aside.extend(of_peers.into_iter().map(str::to_owned));
        }
        Ok(Settled { config, print: self.print_config, loudness: self.log_level, left_aside })
    }
}

fn load(path: &Path) -> Result<Raw, FlagsError> {
    use std::io::Read as _;
    let failed = |source| FlagsError::File { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LONGEST_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Raw::from_toml(&text).map_err(|source| FlagsError::Text { path: path.to_owned(), source })
}

impl Settings {
    fn raw(&self) -> Result<Raw, ConfigError> {
        let mut raw = Raw::default();
        let set = |(name, value): &(&str, String)| raw.set(name, value).err();
        let problems: Vec<_> = self.0.iter().filter_map(set).collect();
        if problems.is_empty() { Ok(raw) } else { Err(ConfigError { problems }) }
    }
}

impl clap::FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Settings::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                self.0.push((setting.name, value.clone()));
            }
        }
        Ok(())
    }
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().map(|setting| {
            let arg = Arg::new(setting.name)
                .long(setting.name)
                .help(setting.help)
                .action(ArgAction::Set)
                .value_name(value_name(setting.name))
                .allow_hyphen_values(true);
            if setting.switch {
                // Go's switches take a value only after `=`.
                arg.num_args(0..=1).require_equals(true).default_missing_value("true")
            } else {
                arg
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// What stands for the value in the help.
fn value_name(setting: &str) -> &'static str {
    match setting.rsplit('-').next() {
        Some("dir") => "DIR",
        Some("file") => "FILE",
        Some("urls") => "URLS",
        Some("interval" | "timeout" | "retention") => "SPAN",
        Some("bytes" | "ops" | "streams" | "connections") => "N",
        Some("auth") => "true|false",
        _ => "TEXT",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;
    use miette::Diagnostic;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn settle(args: &[&str], variables: &[(&str, &str)]) -> Result<Settled, FlagsError> {
        let line = Line::try_parse_from([&["store"], args].concat()).unwrap();
        line.flags.settle(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn flags_go_before_the_environment_and_that_before_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.toml");
        std::fs::write(&path, "name = \"file\"\ndata-dir = \"/file\"\nmax-txn-ops = 7\n").unwrap();
        let settled = settle(
            &["--config-file", path.to_str().unwrap(), "--name=flag"],
            &[("ETCD_NAME", "variable"), ("DUET_STORE_DATA_DIR", "/variable"), ("ETCD_X", "y")],
        );
        let config = settled.unwrap().config;
        assert_eq!(config.name, "flag");
        assert_eq!(config.data_dir, Path::new("/variable"));
        assert_eq!(config.max_txn_ops, 7);
    }

    #[test]
    fn a_line_of_kubernetes_own_tests_is_understood() {
        // k8s.io/kubernetes test/integration/framework/etcd.go, with Go's single dashes doubled.
        let settled = settle(
            &[
                "--data-dir",
                "/tmp/x",
                "--listen-client-urls",
                "http://127.0.0.1:2379",
                "--advertise-client-urls",
                "http://127.0.0.1:2379",
                "--listen-peer-urls",
                "http://127.0.0.1:0",
                "--log-level",
                "warn",
                "--quota-backend-bytes",
                "8589934592",
            ],
            &[],
        )
        .unwrap();
        assert_eq!(settled.config.quota_backend_bytes, 8 << 30);
        assert_eq!(settled.loudness, Loudness::Warn);
        assert_eq!(settled.left_aside, ["listen-peer-urls"]);
        assert_eq!(settled.config.pair, None, "without room and site, peers mean nothing");
    }

    #[test]
    fn a_switch_takes_a_value_only_after_an_equals_sign() {
        let tls = ["--cert-file=c", "--key-file=k", "--trusted-ca-file=t"];
        for switch in ["--client-cert-auth", "--client-cert-auth=true"] {
            settle(&[&tls[..], &[switch]].concat(), &[]).unwrap();
        }
        let negative = settle(&["--quota-backend-bytes", "-1"], &[]).unwrap();
        assert_eq!(negative.config.quota_backend_bytes, u64::MAX);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = settle(&["--client-cert-auth", "--max-txn-ops=many"], &[]).unwrap_err();
        assert!(error.to_string().contains("max-txn-ops"), "{error}");
        let error = settle(&["--client-cert-auth", "--max-txn-ops=0"], &[]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("max-txn-ops") && text.contains("trusted-ca-file"), "{text}");
        assert_eq!(error.code().unwrap().to_string(), "input::store_config");

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.yaml");
        let file = ["--config-file", path.to_str().unwrap()];
        assert!(matches!(settle(&file, &[]), Err(FlagsError::File { .. })));
        std::fs::write(&path, "data-dir: /var/lib/etcd\n").unwrap();
        assert!(matches!(settle(&file, &[]), Err(FlagsError::Text { .. })));
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let args = ["--name=x", "--auto-compaction-retention=30m", "--listen-metrics-urls="];
        let config = settle(&args, &[]).unwrap().config;
        assert_eq!(Config::try_from(Raw::from_toml(&config.to_toml()).unwrap()).unwrap(), config);
    }
}
