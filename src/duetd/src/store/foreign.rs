//! etcd's flags that are none of this store's settings. Start at [`Foreign`]. Scripts and test harnesses
//! pass some to etcd as a matter of course: they are taken and left aside with a note. One whose wish
//! would silently not come true is refused.

use std::ffi::OsString;

use ::store::config::IGNORED;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// This one means something here after all: [`crate::journal`] reads it.
const OBEYED: &str = "log-level";

/// Those of [`IGNORED`] that take no value, or one after `=`: Go's switches.
const SWITCHES: [&str; 12] = [
    "auto-tls",
    "enable-grpc-gateway",
    "enable-pprof",
    "enable-v2",
    "experimental-compact-hash-check-enabled",
    "experimental-initial-corrupt-check",
    "initial-election-tick-advance",
    "peer-client-cert-auth",
    "pre-vote",
    "socket-reuse-address",
    "socket-reuse-port",
    "strict-reconfig-check",
];

/// What cannot be obeyed, and why, or what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("unsafe-no-fsync", "what this store has acknowledged is on the disk; there is no other mode"),
    ("wal-dir", "log and checkpoints share the data folder; put --data-dir on the fast disk"),
    ("force-new-cluster", "a new store is made from a backup: see `duetd store restore`"),
    ("discovery", "this store has no peers"),
    ("discovery-srv", "this store has no peers"),
    ("auth-token", "there are no users: certificates, or the socket's folder, say who may come in"),
    ("client-crl-file", "lists of revoked certificates are not read; let certificates end soon"),
    ("client-cert-allowed-hostname", "every certificate of --trusted-ca-file may come in"),
    ("cipher-suites", "TLS 1.2 with forward secrecy and TLS 1.3 are spoken, with no choice"),
    ("tls-min-version", "TLS 1.2 and TLS 1.3 are spoken, with no choice"),
    ("tls-max-version", "TLS 1.2 and TLS 1.3 are spoken, with no choice"),
];

/// A flag that was given and cannot be obeyed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("--{flag} cannot be obeyed")]
#[diagnostic(code(usage::foreign), help("{why}"))]
pub(crate) struct Refusal {
    flag: &'static str,
    why: &'static str,
}

/// The flags that were given on the command line, with their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreign(Vec<(&'static str, String)>);

impl Foreign {
    /// The flags that are left aside, those of etcd's environment too.
    ///
    /// # Errors
    /// When one was given that cannot be obeyed.
    pub(crate) fn left_aside(
        &self,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<String>, Refusal> {
        let given = self.0.iter().map(|(flag, value)| ((*flag).to_owned(), value.clone()));
        let variables = environment.filter_map(|(name, value)| {
            Some((flag_of(name.to_str()?)?, value.to_string_lossy().into_owned()))
        });
        let mut left = Vec::new();
        for (name, value) in given.chain(variables) {
            let refused = REFUSED.iter().find(|(flag, _)| *flag == name);
            match refused {
                Some((flag, why)) if !["", "false"].contains(&value.as_str()) => {
                    return Err(Refusal { flag, why });
                }
                None if IGNORED.contains(&name.as_str()) && name != OBEYED => left.push(name),
                _ => {}
            }
        }
        Ok(left)
    }
}

/// The flag that etcd reads from this variable: `ETCD_SNAPSHOT_COUNT` is `snapshot-count` (etcd v3.5
/// `pkg/flags`).
fn flag_of(variable: &str) -> Option<String> {
    Some(variable.strip_prefix("ETCD_")?.to_lowercase().replace('_', "-"))
}

/// All flags of this file.
fn all() -> impl Iterator<Item = &'static str> {
    let ignored = IGNORED.iter().copied().filter(|flag| *flag != OBEYED);
    ignored.chain(REFUSED.iter().map(|(flag, _)| *flag))
}

impl clap::FromArgMatches for Foreign {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut foreign = Foreign::default();
        foreign.update_from_arg_matches(matches)?;
        Ok(foreign)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given = |flag| Some((flag, matches.get_one::<String>(flag)?.clone()));
        self.0.extend(all().filter_map(given));
        Ok(())
    }
}

impl clap::Args for Foreign {
    fn augment_args(command: Command) -> Command {
        command.args(all().map(|flag| {
            let arg = Arg::new(flag).long(flag).hide(true).action(ArgAction::Set);
            if SWITCHES.contains(&flag) {
                arg.num_args(0..=1).require_equals(true).default_missing_value("true")
            } else if REFUSED.iter().any(|(refused, _)| *refused == flag) {
                // Whatever its form, it is to reach its refusal.
                arg.num_args(0..=1).default_missing_value("true")
            } else {
                arg
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use ::store::config::SETTINGS;
    use clap::Parser;
    use expect_test::{Expect, expect};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        foreign: Foreign,
        #[arg(long)]
        name: Option<String>,
    }

    fn check(args: &[&str], variables: &[(&str, &str)], expected: Expect) {
        let line = Line::try_parse_from([&["etcd"], args].concat()).unwrap();
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let said = match line.foreign.left_aside(variables) {
            Ok(left) => left.join("\n"),
            Err(refusal) => {
                format!("{refusal}: {}", miette::Diagnostic::help(&refusal).unwrap())
            }
        };
        expected.assert_eq(&said);
    }

    #[test]
    fn flags_that_mean_nothing_here_are_left_aside() {
        let args = ["--initial-cluster", "x=http://127.0.0.1:0", "--pre-vote", "--name=x"];
        check(
            &args,
            &[("ETCD_SNAPSHOT_COUNT", "10000"), ("ETCD_NAME", "x"), ("PATH", "/bin")],
            expect![[r#"
                initial-cluster
                pre-vote
                snapshot-count"#]],
        );
    }

    #[test]
    fn what_would_silently_not_come_true_is_refused() {
        for args in [&["--unsafe-no-fsync"][..], &["--unsafe-no-fsync=true"]] {
            check(
                args,
                &[],
                expect![
                    "--unsafe-no-fsync cannot be obeyed: what this store has acknowledged is on \
                     the disk; there is no other mode"
                ],
            );
        }
        check(&["--unsafe-no-fsync=false"], &[], expect![""]);
        check(
            &[],
            &[("ETCD_WAL_DIR", "/fast")],
            expect![
                "--wal-dir cannot be obeyed: log and checkpoints share the data folder; put \
                 --data-dir on the fast disk"
            ],
        );
    }

    #[test]
    fn a_flag_has_one_fate() {
        for (flag, _) in REFUSED {
            assert!(!IGNORED.contains(flag), "{flag}");
            assert!(SETTINGS.iter().all(|setting| setting.name != *flag), "{flag}");
        }
        assert!(SWITCHES.iter().all(|flag| IGNORED.contains(flag)));
        assert!(IGNORED.contains(&OBEYED));
    }
}
