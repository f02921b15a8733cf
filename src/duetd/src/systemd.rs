//! What systemd knows: which units there are and how they are. Start at [`units`]. Asks `systemctl`;
//! the only module that talks to systemd, together with [`notify`](crate::notify).

use std::time::Duration;

use crate::process::{AskError, ask};

/// Longer than systemctl takes on a machine that is busy starting under emulation.
const PATIENCE: Duration = Duration::from_secs(15);

/// A unit and its state (systemd(1), "Units").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its full name, such as `ssh.service`.
    pub name: String,
    /// `active`, `inactive`, `activating`, `failed` …
    pub active: String,
    /// The finer state, such as `running`, `exited` or `auto-restart`.
    pub sub: String,
}

/// All units that systemd has in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Units(Vec<Unit>);

impl Units {
    /// Reads the table that `systemctl list-units --plain --no-legend` prints.
    pub(crate) fn parse(table: &str) -> Units {
        let unit = |line: &str| {
            let mut words = line.split_whitespace();
            let (name, _load) = (words.next()?, words.next()?);
            let (active, sub) = (words.next()?, words.next()?);
            Some(Unit { name: name.into(), active: active.into(), sub: sub.into() })
        };
        Units(table.lines().filter_map(unit).collect())
    }

    /// Whether the unit is there and active.
    pub(crate) fn is_active(&self, name: &str) -> bool {
        self.get(name).is_some_and(|unit| unit.active == "active")
    }

    /// The unit of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Unit> {
        self.0.iter().find(|unit| unit.name == name)
    }

    /// Units that have failed, or that fail and are tried again.
    pub(crate) fn failed(&self) -> impl Iterator<Item = &Unit> {
        self.0.iter().filter(|unit| unit.active == "failed" || unit.sub.starts_with("auto-restart"))
    }

    /// Units that have not finished starting.
    pub(crate) fn starting(&self) -> impl Iterator<Item = &Unit> {
        self.0.iter().filter(|unit| unit.active == "activating")
    }
}

/// The units as they are now.
pub(crate) fn units() -> Result<Units, AskError> {
    let args = [
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "--full",
        "--type=service,socket,mount,target,timer,path,swap",
    ];
    Ok(Units::parse(&ask("/usr/bin/systemctl", &args, PATIENCE)?))
}

/// What systemd says of one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// See [`Unit::active`].
    pub active: String,
    /// See [`Unit::sub`].
    pub sub: String,
    /// What the unit said of itself last (sd_notify(3), `STATUS`).
    pub says: Option<String>,
    /// How often it was started again by itself.
    pub restarts: u64,
}

impl Shown {
    /// Reads the lines that `systemctl show` prints.
    pub(crate) fn parse(lines: &str) -> Shown {
        let value = |key: &str| {
            let line = lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
            (!line.is_empty()).then(|| line.to_owned())
        };
        Shown {
            active: value("ActiveState").unwrap_or_default(),
            sub: value("SubState").unwrap_or_default(),
            says: value("StatusText"),
            restarts: value("NRestarts").and_then(|text| text.parse().ok()).unwrap_or_default(),
        }
    }
}

/// The unit as it is now; one that is not there is `inactive`.
pub(crate) fn show(unit: &str) -> Result<Shown, AskError> {
    let properties = "--property=ActiveState,SubState,StatusText,NRestarts";
    Ok(Shown::parse(&ask("/usr/bin/systemctl", &["show", properties, unit], PATIENCE)?))
}

/// Begins an orderly restart of the machine.
pub(crate) fn restart_machine() -> Result<(), AskError> {
    ask("/usr/bin/systemctl", &["--no-block", "reboot"], PATIENCE).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // Taken from a running machine.
    const TABLE: &str = "\
dev-hugepages.mount     loaded    active     mounted      Huge Pages File System
chrony.service          loaded    failed     failed       chrony, an NTP client/server
duet-health.service     loaded    activating start        Decide whether this boot is good
plymouth-start.service  not-found inactive   dead         plymouth-start.service
ssh.service             loaded    activating auto-restart OpenBSD Secure Shell server
multi-user.target       loaded    active     active       Multi-User System
";

    #[test]
    fn the_table_of_units_is_read() {
        let units = Units::parse(TABLE);
        let names = |units: Vec<&Unit>| {
            units.into_iter().map(|u| u.name.clone()).collect::<Vec<_>>().join(" ")
        };
        assert!(units.is_active("multi-user.target"));
        assert!(!units.is_active("chrony.service"));
        assert!(!units.is_active("no-such.service"));
        assert_eq!(units.get("plymouth-start.service").unwrap().sub, "dead");
        assert_eq!(names(units.failed().collect()), "chrony.service ssh.service");
        assert_eq!(names(units.starting().collect()), "duet-health.service ssh.service");
    }

    #[test]
    fn what_one_unit_shows_is_read() {
        let shown = Shown::parse(
            "ActiveState=activating\nSubState=start-pre\nStatusText=It waits: x=y\nNRestarts=3\n",
        );
        let expected = Shown {
            active: "activating".into(),
            sub: "start-pre".into(),
            says: Some("It waits: x=y".into()),
            restarts: 3,
        };
        assert_eq!(shown, expected);
        assert_eq!(Shown::parse("StatusText=\nNRestarts=[not set]\n"), Shown::default());
    }

    #[test]
    fn text_that_is_no_table_holds_no_units() {
        assert_eq!(Units::parse("\nFailed to connect\n"), Units::default());
    }
}
