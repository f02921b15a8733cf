//! `duet lab logs`

use std::process::ExitCode;

use super::{Dir, Ended};
use crate::console::Console;
use crate::files;

/// Print what a machine said on its serial line since it was switched on
///
/// Without a machine: where the logs of all are.
#[derive(Debug, clap::Args)]
pub(super) struct Logs {
    #[command(flatten)]
    dir: Dir,

    /// The machine, such as `a1`
    machine: Option<String>,

    /// What QEMU said about the machine instead
    #[arg(long, requires = "machine")]
    qemu: bool,

    /// As it came, with the sequences that paint a screen
    #[arg(long, requires = "machine")]
    raw: bool,
}

impl Logs {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let lab = self.dir.open()?;
        let Some(name) = &self.machine else {
            for machine in &lab.plan().machines {
                let places = lab.places().machine(machine.name.as_str());
                console.result(places.serial_log.display())?;
                console.result(places.qemu_log.display())?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        let places = lab.places().machine(lab.plan().machine(name)?.name.as_str());
        let path = if self.qemu { places.qemu_log } else { places.serial_log };
        let log = files::read("the log", &path)?;
        let log = if self.raw { log } else { unpainted(&log).into_bytes() };
        console.bytes(&log)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The text without control sequences (ECMA-48, section 5.4: CSI, parameters, a final byte) and
/// other controls but tab and line feed.
fn unpainted(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let mut plain = String::with_capacity(text.len());
    let mut left = text.chars().peekable();
    while let Some(c) = left.next() {
        match c {
            '\x1b' if left.peek() == Some(&'[') => {
                left.next();
                left.by_ref().find(|c| ('@'..='~').contains(c));
            }
            // Any other escape sequence has one more character here: ESC 7, ESC =, …
            '\x1b' => drop(left.next()),
            '\t' | '\n' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_left_out() {
        let log = b"\x1b[2J\x1b[01;01H\x1b=BdsDxe\r\n\x1b[1;32mok\x1b[0m\tz\xff\x07\n\x1b[";
        assert_eq!(unpainted(log), "BdsDxe\nok\tz\u{fffd}\n");
    }
}
