//! A data disk of a lab's machines, as a person says it: `16,machine=a1,serial=S1,file=FILE`. Start at
//! [`Wanted`].

use std::path::{Path, PathBuf};
use std::str::FromStr;

use lab::DataDisk;
use site::Label;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    gib: u32,
    machine: Option<Label>,
    serial: Option<String>,
    file: Option<PathBuf>,
}

/// Why a text is no data disk.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("write GIB, and after it what else is to be: ,machine=a1 ,serial=TEXT ,file=FILE")]
pub(super) struct NotWanted;

impl FromStr for Wanted {
    type Err = NotWanted;

    fn from_str(text: &str) -> Result<Self, NotWanted> {
        let mut parts = text.split(',');
        let gib = parts.next().and_then(|size| size.parse().ok()).ok_or(NotWanted)?;
        let mut wanted = Wanted { gib, machine: None, serial: None, file: None };
        for part in parts {
            match part.split_once('=').ok_or(NotWanted)? {
                ("machine", name) => wanted.machine = Some(name.parse().map_err(|_| NotWanted)?),
                ("serial", serial) => wanted.serial = Some(serial.to_owned()),
                ("file", file) => wanted.file = Some(file.into()),
                _ => return Err(NotWanted),
            }
        }
        Ok(wanted)
    }
}

/// The data disks of one machine. One without a serial number is called after the machine: `a1-data1`.
pub(super) fn of(machine: &Label, wanted: &[Wanted]) -> std::io::Result<Vec<DataDisk>> {
    let own = |one: &&Wanted| one.machine.as_ref().is_none_or(|name| name == machine);
    let disk = |(one, number): (&Wanted, usize)| {
        let serial = one.serial.clone().unwrap_or_else(|| format!("{machine}-data{number}"));
        let content = one.file.as_deref().map(Path::new).map(std::path::absolute).transpose()?;
        Ok(DataDisk { gib: one.gib, serial, content })
    };
    wanted.iter().filter(own).zip(1..).map(disk).collect()
}

/// The first machine that was asked for and is not there.
pub(super) fn stray<'w>(wanted: &'w [Wanted], machines: &[&Label]) -> Option<&'w Label> {
    let named = wanted.iter().filter_map(|one| one.machine.as_ref());
    named.into_iter().find(|name| !machines.contains(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_machine_has_the_disks_that_are_everybodys_and_its_own() {
        let wanted: Vec<Wanted> = ["16", "2,machine=a1,serial=S1,file=/x.img", "3,machine=b1"]
            .map(|text| text.parse().unwrap())
            .into();
        let (a1, b1): (Label, Label) = ("a1".parse().unwrap(), "b1".parse().unwrap());
        let disk = |gib, serial: &str, content: Option<&str>| DataDisk {
            gib,
            serial: serial.into(),
            content: content.map(PathBuf::from),
        };
        let of = |name| super::of(name, &wanted).unwrap();
        assert_eq!(of(&a1), [disk(16, "a1-data1", None), disk(2, "S1", Some("/x.img"))]);
        assert_eq!(of(&b1), [disk(16, "b1-data1", None), disk(3, "b1-data2", None)]);
        assert_eq!(stray(&wanted, &[&a1, &b1]), None);
        assert_eq!(stray(&wanted, &[&a1]), Some(&b1));
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        for text in ["", "x", "16G", "16,serial", "16,colour=red", "16,machine=A B"] {
            assert_eq!(text.parse::<Wanted>(), Err(NotWanted), "{text}");
        }
    }
}
