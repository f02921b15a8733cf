//! `duetd health`: decides whether this boot is good. Start at [`Evidence::reasons`], which is pure.
//!
//! A boot is good when the root is verified, /var can be written, everything has been started in
//! time, and the services without which the node cannot do its work are there. The seed has no say:
//! it is not part of the system that is on trial, so an older system would not do better with it.

use std::fs;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crate::boot_count;
use crate::console;
use crate::durable;
use crate::root::{BOOT_COUNT, ENTRIES, Root, STATE, STORE_SETTINGS, VERDICT};
use crate::status::Verdict;
use crate::status::collect;
use crate::status::judge::{self, STARTED};
use crate::systemd::{self, Units};

/// How often systemd is asked.
const PERIOD: Duration = Duration::from_secs(2);

/// More units than this are not named.
const MOST_NAMES: usize = 4;

/// What is known when the waiting is over.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// The units, or why systemd does not say.
    pub units: Result<Units, String>,
    /// Whether this machine is to run a state store: it has a good seed of a control machine.
    pub a_store: bool,
    /// Whether the root is on dm-verity.
    pub verified: bool,
    /// Whether a file in /var could be written and read back.
    pub state: Result<(), String>,
    /// How long everything had time to start.
    pub waited: Duration,
}

impl Evidence {
    /// Why this boot is not good; nothing if it is.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.verified {
            reasons.push("the root is not checked by dm-verity".to_owned());
        }
        if let Err(why) = &self.state {
            reasons.push(format!("/var cannot be written: {why}"));
        }
        match &self.units {
            Err(why) => reasons.push(format!("systemd does not say how the services are: {why}")),
            Ok(units) => {
                if !units.is_active(STARTED) {
                    reasons.push(late(units, self.waited));
                }
                reasons.extend(judge::missing(units, self.a_store));
            }
        }
        reasons
    }
}

/// What is still being started.
fn late(units: &Units, waited: Duration) -> String {
    let names: Vec<&str> = units
        .starting()
        .map(|unit| unit.name.as_str())
        // This program itself.
        .filter(|name| *name != "duet-health.service")
        .take(MOST_NAMES)
        .collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    format!("not everything has been started within {} s{names}", waited.as_secs())
}

/// Waits, decides, writes the verdict, and restarts the machine if the boot is bad and a restart leads
/// somewhere.
pub(crate) fn health(
    root: &Root,
    wait: Duration,
    dry_run: bool,
) -> Result<ExitCode, miette::Report> {
    let reasons = gather(root, wait).reasons();
    let good = reasons.is_empty();
    let restarting = !good && !dry_run && restart_leads_somewhere(root);
    let verdict = Verdict { good, reasons, restarting };
    for reason in &verdict.reasons {
        console::note(&format!("bad: {reason}"));
    }
    if dry_run {
        return Ok(exit(good));
    }
    let text = serde_json::to_string_pretty(&verdict)
        .map_err(|error| miette::miette!("cannot write the verdict as JSON: {error}"))?;
    // The verdict is for the screen; without it the boot is as good or as bad.
    if let Err(error) = durable::write(&root.path(VERDICT), text.as_bytes(), 0o644) {
        console::note(&format!("cannot write {VERDICT}: {error}"));
    }
    if restarting {
        console::note("restarting: the boot loader has another try, or an older system");
        systemd::restart_machine().map_err(|error| {
            miette::miette!(
                help = "restart this machine by hand; the boot loader goes on counting",
                "this boot is bad, and the machine cannot be restarted: {error}"
            )
        })?;
    }
    Ok(exit(good))
}

fn exit(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Waits until everything is started and the services that matter run, or until the time is up.
fn gather(root: &Root, wait: Duration) -> Evidence {
    let began = Instant::now();
    let a_store = root.path(STORE_SETTINGS).exists();
    let units = loop {
        let units = systemd::units().map_err(|error| error.to_string());
        let settled = units.as_ref().is_ok_and(|units| {
            units.is_active(STARTED) && judge::missing(units, a_store).is_empty()
        });
        if settled || began.elapsed() >= wait {
            break units;
        }
        thread::sleep(PERIOD);
    };
    let verified = collect::files(root, &[]).verified;
    let state = try_state(root).map_err(|error| error.to_string());
    Evidence { units, a_store, verified, state, waited: began.elapsed() }
}

/// Writes a file to /var, all the way to the disk, and reads it back.
fn try_state(root: &Root) -> io::Result<()> {
    const TEXT: &[u8] = b"duetd health wrote this to see whether it can.\n";
    let path = root.path(STATE).join("health-probe");
    durable::write(&path, TEXT, 0o600)?;
    let same = fs::read(&path)? == TEXT;
    durable::forget(&path)?;
    if same { Ok(()) } else { Err(io::Error::other("what was written reads differently")) }
}

/// Whether another boot could be a better one.
fn restart_leads_somewhere(root: &Root) -> bool {
    let Some(current) =
        fs::read(root.path(BOOT_COUNT)).ok().and_then(|text| boot_count::variable_text(&text))
    else {
        return false;
    };
    let entries: Vec<String> = fs::read_dir(root.path(ENTRIES))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    boot_count::may_restart(&current, &entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::status::judge::ESSENTIAL;
    use expect_test::{Expect, expect};

    /// All that matters runs, except what `extra` says otherwise: a later line for a unit wins.
    fn units(extra: &str) -> Units {
        let mut table: Vec<String> = extra.lines().map(str::to_owned).collect();
        table.extend(ESSENTIAL.iter().map(|name| format!("{name} loaded active running it")));
        table.push(format!("{STARTED} loaded active active it"));
        Units::parse(&table.join("\n"))
    }

    fn check(evidence: &Evidence, expected: &Expect) {
        expected.assert_eq(&evidence.reasons().join("\n"));
    }

    fn evidence(extra: &str) -> Evidence {
        let waited = Duration::from_secs(600);
        let a_store = extra.contains("duet-store.service");
        Evidence { units: Ok(units(extra)), a_store, verified: true, state: Ok(()), waited }
    }

    #[test]
    fn a_boot_is_good_when_nothing_speaks_against_it() {
        check(&evidence(""), &expect![""]);
        // Not everything that fails makes the boot bad.
        check(&evidence("fstrim.service loaded failed failed it"), &expect![""]);
    }

    #[test]
    fn a_boot_is_bad_for_a_reason() {
        check(
            &Evidence { verified: false, state: Err("Read-only".into()), ..evidence("") },
            &expect![[r#"
                the root is not checked by dm-verity
                /var cannot be written: Read-only"#]],
        );
        check(
            &evidence("ssh.service loaded failed failed it"),
            &expect!["ssh.service is failed (failed)"],
        );
        // A worker has no store; a control node does nothing without it.
        check(
            &evidence("duet-store.service loaded activating auto-restart it"),
            &expect!["duet-store.service is activating (auto-restart)"],
        );
        check(
            &evidence(
                "multi-user.target loaded inactive dead it\n\
                 slow.service loaded activating start it\n\
                 duet-health.service loaded activating start it",
            ),
            &expect!["not everything has been started within 600 s: slow.service"],
        );
        check(
            &Evidence { units: Err("no answer".into()), ..evidence("") },
            &expect!["systemd does not say how the services are: no answer"],
        );
    }

    #[test]
    fn var_is_tried_for_real() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        try_state(&root).unwrap();
        assert_eq!(fs::read_dir(root.path(STATE)).unwrap().count(), 0, "nothing is left behind");
        fs::remove_dir(root.path(STATE)).unwrap();
        fs::write(root.path(STATE), "in the way").unwrap();
        assert!(try_state(&root).is_err());
    }

    #[test]
    fn only_a_counted_boot_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        assert!(!restart_leads_somewhere(&root), "the boot loader does not count");
        let mut variable = vec![6, 0, 0, 0];
        variable.extend(r"\EFI\Linux\new+0-3.efi".encode_utf16().flat_map(u16::to_le_bytes));
        durable::write(&root.path(BOOT_COUNT), &variable, 0o644).unwrap();
        assert!(!restart_leads_somewhere(&root), "there is no other system");
        durable::write(&root.path(ENTRIES).join("old.efi"), b"", 0o644).unwrap();
        assert!(restart_leads_somewhere(&root));
    }
}
