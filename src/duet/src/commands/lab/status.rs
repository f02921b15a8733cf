//! `duet lab status`

use std::fmt::Write as _;
use std::process::ExitCode;

use lab::{LabStatus, MachineStatus, Power, WitnessStatus};

use super::{Dir, Ended};
use crate::console::Console;

/// Say which machines are on, how far they have come, and which cables are whole
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    dir: Dir,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let status = self.dir.open()?.status()?;
        if self.json {
            console.json(&status)?;
        } else {
            console.result(table(&status))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(status: &LabStatus) -> String {
    let mut text = format!("lab in {}\n", status.dir.display());
    let _ = writeln!(text, "run by {}: {}\n", status.probe.accelerator, status.probe.reason);
    for machine in &status.machines {
        let MachineStatus { name, room, restarts, ssh_port, page, .. } = machine;
        let stage = machine.stage.map_or("nothing said yet".to_owned(), |stage| stage.to_string());
        let _ = write!(text, "{name:<4} room {room}  {:<22} {stage:<16}", power(&machine.power));
        let _ = write!(text, " ssh port {ssh_port}  {page}");
        if *restarts > 0 {
            let _ = write!(text, "  restarted {restarts} times by itself");
        }
        text.push('\n');
    }
    for wire in &status.wires {
        let ends: Vec<&str> = wire.ends.iter().map(|end| end.as_str()).collect();
        let (one, others) = ends.split_first().map_or(("", &ends[..]), |(one, rest)| (*one, rest));
        let other = others.join(", ");
        let state = if wire.cut { "cut" } else { "whole" };
        let _ = writeln!(text, "cable {} from {one} to {other}: {state}", wire.name);
    }
    if let Some(witness) = &status.witness {
        let WitnessStatus { pid, site, port, .. } = witness;
        let state = if pid.is_some() { "on" } else { "off" };
        let _ = writeln!(text, "witness of {site} at 127.0.0.1:{port}: {state}");
    }
    text
}

fn power(power: &Power) -> String {
    match power {
        Power::On { since, condition, .. } => {
            let time = format!("{}:{:02}", since.as_secs() / 60, since.as_secs() % 60);
            match condition.as_deref() {
                Some("running") => format!("on for {time}"),
                Some(other) => format!("on for {time}, {other}"),
                None => format!("on for {time}, silent"),
            }
        }
        Power::Off => "off".into(),
        Power::WentOff => "went off by itself".into(),
        Power::HostRestarted => "this computer restarted".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use expect_test::expect;
    use lab::{Accelerator, Probe, Stage, WireStatus};
    use site::Room;

    use super::*;

    #[test]
    fn a_lab_at_a_glance() {
        let machine = |name: &str, room, power, stage, restarts| MachineStatus {
            name: name.parse().unwrap(),
            room,
            power,
            stage,
            restarts,
            ssh_port: 2201,
            page: "https://127.0.0.1:8201/".into(),
            serial_log: "/lab/serial.log".into(),
        };
        let on =
            Power::On { pid: 1, since: Duration::from_secs(62), condition: Some("running".into()) };
        let status = LabStatus {
            dir: "/lab".into(),
            probe: Probe { accelerator: Accelerator::Kvm, reason: "firmware ran on it".into() },
            machines: vec![
                machine("a1", Room::A, on, Some(Stage::StatusScreen), 2),
                machine("b1", Room::B, Power::WentOff, None, 0),
            ],
            wires: vec![WireStatus {
                name: "rooms".parse().unwrap(),
                ends: vec!["a1".parse().unwrap(), "b1".parse().unwrap()],
                cut: true,
            }],
            witness: Some(WitnessStatus {
                pid: None,
                site: "demo".parse().unwrap(),
                port: 7411,
                log: "/lab/witness/witness.log".into(),
            }),
        };
        expect![[r#"
            lab in /lab
            run by KVM: firmware ran on it

            a1   room a  on for 1:02            status screen    ssh port 2201  https://127.0.0.1:8201/  restarted 2 times by itself
            b1   room b  went off by itself     nothing said yet ssh port 2201  https://127.0.0.1:8201/
            cable rooms from a1 to b1: cut
            witness of demo at 127.0.0.1:7411: off
        "#]].assert_eq(&table(&status));
    }
}
