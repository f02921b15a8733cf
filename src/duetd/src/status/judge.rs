//! What is worth a person's attention, and the cure. Start at [`findings`]. Pure.

use agent::kubernetes::{Phase, State};

use super::{Finding, Health, Seen, Severity, Storage, network, pair};
use crate::node::Problem;
use crate::systemd::Units;

/// The services without which the node does not do its work or cannot be reached.
pub(crate) const ESSENTIAL: [&str; 9] = [
    "chrony.service",
    "dbus.service",
    "duet-boot.service",
    "duetd.service",
    "ssh.service",
    "systemd-journald.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-udevd.service",
];

/// What a control machine with a good seed does not do its work without.
const STORE: &str = "duet-store.service";

/// Everything that is to be started is started when this is active.
pub(crate) const STARTED: &str = "multi-user.target";

/// `duetd health` fails as a unit when it finds a boot bad; what it found is reported instead.
const VERDICT_UNIT: &str = "duet-health.service";

/// From here on, in percent, /var is nearly full, and too full to work with. ext4 keeps 5 % for root.
const NEARLY_FULL: u64 = 85;
const TOO_FULL: u64 = 95;

/// How long after the start, in seconds, systemd's first answer and the time may take; much longer than on
/// a quiet machine, since some are started together with many others.
pub(crate) const START_PATIENCE_S: u64 = 180;
const CLOCK_PATIENCE_S: u64 = 600;
const KUBERNETES_PATIENCE_S: u64 = 900;

/// More failed units than this are counted and no longer named one by one.
const MOST_UNITS: usize = 5;

/// The findings, the worst first.
pub(crate) fn findings(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    seed(seen, &mut found);
    boot(seen, &mut found);
    storage(seen, &mut found);
    network::findings(seen, &mut found);
    clock(seen, &mut found);
    // Storage for volumes is not what this node needs to do its own work.
    let disks = seen.disks.iter().flat_map(|report| &report.problems);
    found.extend(
        seen.neighbours
            .iter()
            .chain(disks)
            .map(|problem| Finding { severity: Severity::Warning, problem: problem.clone() }),
    );
    if let Some(page) = &seen.pair {
        pair::findings(page, seen.uptime_s, &seen.network, &mut found);
    }
    kubernetes(seen, &mut found);
    units(seen, &mut found);
    found.sort_by_key(|finding| finding.severity);
    found
}

/// The findings in one word.
pub(crate) fn health(seen: &Seen, findings: &[Finding]) -> Health {
    let starting = match &seen.units {
        Ok(units) => !units.is_active(STARTED),
        Err(_) => seen.uptime_s < START_PATIENCE_S,
    } || (!network::has_address(seen)
        && seen.uptime_s < network::ADDRESS_PATIENCE_S)
        || seen.pair.as_ref().is_some_and(|page| pair::is_forming(page, seen.uptime_s));
    match findings.first().map(|finding| finding.severity) {
        Some(Severity::Bad) => Health::Bad,
        _ if starting => Health::Starting,
        Some(Severity::Warning) => Health::Degraded,
        None => Health::Good,
    }
}

/// The node does not do its work.
pub(super) fn bad(code: &str, what: impl Into<String>, cure: impl Into<String>) -> Finding {
    Finding { severity: Severity::Bad, problem: Problem::new(code, what, cure) }
}

/// Somebody should look.
pub(super) fn warning(code: &str, what: impl Into<String>, cure: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warning, problem: Problem::new(code, what, cure) }
}

fn seed(seen: &Seen, found: &mut Vec<Finding>) {
    match &seen.node {
        Ok(node) => {
            let bad = node.problems.iter().map(|problem| (Severity::Bad, problem));
            let warnings = node.notices.iter().map(|problem| (Severity::Warning, problem));
            found.extend(
                bad.chain(warnings)
                    .map(|(severity, problem)| Finding { severity, problem: problem.clone() }),
            );
        }
        Err(why) => found.push(bad(
            "node.unknown",
            format!("This node does not know who it is: {why}."),
            "`journalctl -u duet-boot` tells why.",
        )),
    }
}

fn boot(seen: &Seen, found: &mut Vec<Finding>) {
    if !seen.verified {
        found.push(bad(
            "boot.unverified",
            "The root file system is not checked by dm-verity: anybody may have changed it.",
            "Write a fresh image to this machine.",
        ));
    }
    if let Some(verdict) = seen.verdict.as_ref().filter(|verdict| !verdict.good) {
        let then = if verdict.restarting {
            "The machine restarts by itself, in the end into the older slot."
        } else {
            "There is no better slot to go back to: repair it, then restart it."
        };
        found.push(bad(
            "boot.bad",
            format!("This boot is bad: {}.", verdict.reasons.join("; ")),
            then,
        ));
    }
    let record = match &seen.record {
        Ok(record) => record,
        Err(why) => {
            found.push(warning(
                "boot.unknown",
                format!("It is not known how this node started: {why}."),
                "Restart it; if this stays, write a fresh image.",
            ));
            return;
        }
    };
    if record.state.action.as_deref() == Some("tmpfs") && !record.netboot {
        found.push(bad(
            "state.memory",
            "/var is in memory: this node forgets everything when it restarts.",
            "`journalctl -b -k` tells why the state partition was not used.",
        ));
    }
    if let Some(problem) = &record.esp.problem {
        found.push(bad(
            "esp.unmounted",
            format!("The EFI partition could not be mounted: {problem}."),
            "Check it with `fsck.fat`, or write a fresh image.",
        ));
    }
    found.extend(record.notes.iter().map(|note| {
        let cure = "It was dealt with. If it comes again, look at this machine's disk.";
        warning("boot.note", format!("While starting: {note}."), cure)
    }));
}

fn storage(seen: &Seen, found: &mut Vec<Finding>) {
    let Storage { path, .. } = &seen.storage;
    let percent = seen.storage.used_percent();
    let what = format!("{path} is {percent} % full.");
    let cure = format!("`du -xh {path} | sort -h | tail` shows what fills it.");
    if percent >= TOO_FULL {
        found.push(bad("storage.full", what, cure));
    } else if percent >= NEARLY_FULL {
        found.push(warning("storage.nearly-full", what, cure));
    }
}

fn clock(seen: &Seen, found: &mut Vec<Finding>) {
    if seen.uptime_s < CLOCK_PATIENCE_S || seen.clock.as_ref().is_ok_and(|c| c.synchronised) {
        return;
    }
    found.push(warning(
        "clock.alone",
        "The clock follows no time server.",
        "`chronyc -n sources` shows which servers were asked; the site file names them.",
    ));
}

fn kubernetes(seen: &Seen, found: &mut Vec<Finding>) {
    let state = seen.kubernetes.as_ref().and_then(|kubernetes| kubernetes.state.as_ref());
    let told =
        |state: &&State| seen.uptime_s >= KUBERNETES_PATIENCE_S && state.is_fresh(seen.uptime_s);
    let Some(state) = state.filter(told) else { return };
    let missing: Vec<&str> = state
        .machines
        .iter()
        .filter(|machine| !machine.ready)
        .map(|machine| machine.name.as_str())
        .take(MOST_UNITS)
        .collect();
    match state.phase {
        Phase::Waits | Phase::Starts | Phase::Unready => found.push(warning(
            "kubernetes.unready",
            match &state.why {
                Some(why) => format!("Kubernetes is not ready on this machine: {why}."),
                None => "Kubernetes is not ready on this machine.".to_owned(),
            },
            "`journalctl -b -u k3s -u k3s-agent` tells more.",
        )),
        Phase::Ready if !missing.is_empty() => found.push(warning(
            "kubernetes.machines",
            format!("Kubernetes gives no work to {}: not ready.", missing.join(", ")),
            "Look at that machine's own screen; `kubectl describe node` tells what Kubernetes knows.",
        )),
        // A unit that failed is named with the others.
        Phase::Ready | Phase::Failed | Phase::Off => {}
    }
}

fn units(seen: &Seen, found: &mut Vec<Finding>) {
    let units = match &seen.units {
        Ok(units) => units,
        Err(_) if seen.uptime_s < START_PATIENCE_S => return,
        Err(why) => {
            found.push(bad(
                "systemd.silent",
                format!("systemd does not say how the services are: {why}."),
                "`journalctl -b -p warning` may tell why; else restart this node.",
            ));
            return;
        }
    };
    let failed: Vec<&str> = units
        .failed()
        .map(|unit| unit.name.as_str())
        .filter(|name| *name != VERDICT_UNIT)
        .collect();
    for name in failed.iter().take(MOST_UNITS) {
        found.push(Finding {
            severity: if is_essential(name) { Severity::Bad } else { Severity::Warning },
            problem: Problem::new(
                "unit.failed",
                format!("{name} has failed."),
                format!("`journalctl -b -u {name}` tells why."),
            ),
        });
    }
    if let Some(more) = failed.len().checked_sub(MOST_UNITS).filter(|more| *more > 0) {
        found.push(warning(
            "unit.failed",
            format!("{more} more units have failed."),
            "`systemctl --failed` names them.",
        ));
    }
}

/// Whether the node needs this unit.
pub(crate) fn is_essential(unit: &str) -> bool {
    ESSENTIAL.contains(&unit) || unit == STORE
}

/// The essential units that are not active, with their state; the store's among them where there is
/// `a_store`.
pub(crate) fn missing(units: &Units, a_store: bool) -> Vec<String> {
    ESSENTIAL
        .iter()
        .chain(a_store.then_some(&STORE))
        .filter(|name| !units.is_active(name))
        .map(|name| match units.get(name) {
            Some(unit) => format!("{name} is {} ({})", unit.active, unit.sub),
            None => format!("{name} is not there"),
        })
        .collect()
}
