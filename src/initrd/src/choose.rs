//! Which partitions to start from. Start at [`choose`]. Touches no disk.
//!
//! The root hash on the command line names the root and its hash tree; the state and the ESP are
//! those of the same disk, so that a second Duet disk in the machine (the stick that it was
//! installed from, a mirror, an old one) never mixes in.

use crate::cmdline::RootHash;
use formats::gpt::{self, Guid};

/// Labels of the partitions (ARCHITECTURE.md, "The disk").
const ROOTS: [(&str, &str); 2] = [("duet-root-a", "a"), ("duet-root-b", "b")];
/// The label of the state partition.
pub const STATE: &str = "duet-state";
const ESP: &str = "duet-esp";

/// One partition of a table, and what the kernel made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the table, from 1.
    pub number: u32,
    /// What the table says of it.
    pub entry: gpt::Partition,
    /// The node that the kernel made for it; none if the kernel does not show it (yet).
    pub node: Option<String>,
}

/// One disk that was seen.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Its node: `/dev/vda`.
    pub node: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// A stick, a card, or anything else on USB.
    pub removable: bool,
    /// How large it would have to be for its partition table, in bytes, if it is too small for it.
    pub needs: Option<u64>,
    /// Its partitions, or why there are none.
    pub table: Result<Vec<Partition>, String>,
}

/// The partitions to start from. All of `disk`.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The disk's node.
    pub disk: String,
    /// `a` or `b`; none if the root's label is neither's.
    pub slot: Option<&'static str>,
    /// The root's data.
    pub root: Partition,
    /// Its hash tree.
    pub verity: Partition,
    /// The state partition.
    pub state: Option<Partition>,
    /// The ESP.
    pub esp: Option<Partition>,
    /// Another disk that holds the same root, if there is one: a person may wonder which it was.
    pub twin: Option<String>,
}

/// What keeps a disk from being chosen, the nearest to success last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// No disk has the root partition.
    Root,
    /// The named disk has the root, but not its hash tree.
    Verity(String),
    /// The named disk has both, but the kernel shows no node for one of them.
    Node(String),
}

/// Finds the disk that holds the root that `hash` names. Of several, a fixed one goes before a
/// removable one, then the kernel's order of names decides.
pub fn choose(disks: &[Disk], hash: &RootHash) -> Result<Chosen, Missing> {
    let mut found: Vec<Chosen> = Vec::new();
    let mut missing = Missing::Root;
    let mut order: Vec<&Disk> = disks.iter().collect();
    order.sort_by(|one, other| (one.removable, &one.node).cmp(&(other.removable, &other.node)));
    for disk in order {
        match on_disk(disk, hash) {
            Ok(chosen) => found.push(chosen),
            Err(nearer) => missing = missing.max(nearer),
        }
    }
    let twin = found.get(1).map(|chosen| chosen.disk.clone());
    found.into_iter().next().map(|chosen| Chosen { twin, ..chosen }).ok_or(missing)
}

fn on_disk(disk: &Disk, hash: &RootHash) -> Result<Chosen, Missing> {
    let partitions = disk.table.as_deref().unwrap_or_default();
    let by_guid = |kind: Guid, guid: Guid| {
        let wanted = |entry: &gpt::Partition| entry.type_guid == kind && entry.guid == guid;
        partitions.iter().find(|partition| wanted(&partition.entry))
    };
    let (data, tree) = Guid::of_verity(hash.bytes());
    let root = by_guid(Guid::ROOT_X86_64, data).ok_or(Missing::Root)?;
    let verity = by_guid(Guid::ROOT_X86_64_VERITY, tree)
        .ok_or_else(|| Missing::Verity(disk.node.clone()))?;
    if root.node.is_none() || verity.node.is_none() {
        return Err(Missing::Node(disk.node.clone()));
    }
    let slot = ROOTS.iter().find(|(label, _)| *label == root.entry.name).map(|&(_, slot)| slot);
    Ok(Chosen {
        disk: disk.node.clone(),
        slot,
        root: root.clone(),
        verity: verity.clone(),
        state: labelled(disk, Guid::VAR, STATE).cloned(),
        esp: labelled(disk, Guid::ESP, ESP).cloned(),
        twin: None,
    })
}

fn labelled<'a>(disk: &'a Disk, kind: Guid, label: &str) -> Option<&'a Partition> {
    let partitions = disk.table.as_deref().unwrap_or_default();
    let wanted = |entry: &gpt::Partition| entry.type_guid == kind && entry.name == label;
    partitions.iter().find(|partition| wanted(&partition.entry))
}

/// For a netbooted machine: the first disk with a state partition, that partition, and the ESP
/// beside it.
pub fn choose_state(disks: &[Disk]) -> Option<(&Disk, &Partition, Option<&Partition>)> {
    let state = |disk| labelled(disk, Guid::VAR, STATE).map(|state| (disk, state));
    let fixed_first = |(disk, _): &(&Disk, &Partition)| (disk.removable, disk.node.clone());
    let (disk, state) = disks.iter().filter_map(state).min_by_key(fixed_first)?;
    Some((disk, state, labelled(disk, Guid::ESP, ESP)))
}

/// One line on each disk, for the error screen.
pub fn describe(disks: &[Disk]) -> Vec<String> {
    if disks.is_empty() {
        return vec![
            "no disk at all: perhaps its controller needs a driver that the image lacks".into(),
        ];
    }
    disks
        .iter()
        .map(|disk| {
            let what = match &disk.table {
                Err(why) => why.clone(),
                Ok(partitions) if partitions.is_empty() => "no partition".to_owned(),
                Ok(partitions) => {
                    partitions.iter().map(describe_partition).collect::<Vec<_>>().join(", ")
                }
            };
            format!("{} ({}): {what}", disk.node, size(disk.bytes))
        })
        .collect()
}

fn describe_partition(partition: &Partition) -> String {
    let entry = &partition.entry;
    let name = if entry.name.is_empty() { "unnamed" } else { &entry.name };
    match entry.type_guid {
        Guid::ROOT_X86_64 | Guid::ROOT_X86_64_VERITY => {
            format!("{name} {}..", &entry.guid.to_string()[..8])
        }
        _ => name.to_owned(),
    }
}

/// A size as a person says it.
pub fn size(bytes: u64) -> String {
    let (unit, divisor) = match bytes {
        0..0x4000_0000 => ("MiB", 1u64 << 20),
        0x4000_0000..0x100_0000_0000 => ("GiB", 1 << 30),
        _ => ("TiB", 1 << 40),
    };
    format!("{:.1} {unit}", bytes as f64 / divisor as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";

    fn hash() -> RootHash {
        RootHash::parse(HASH).unwrap()
    }

    fn partition(number: u32, type_guid: Guid, name: &str, guid: Guid) -> Partition {
        let name = name.to_owned();
        let entry = gpt::Partition { type_guid, guid, name, ..gpt::Partition::default() };
        Partition { number, entry, node: Some(format!("/dev/vda{number}")) }
    }

    fn disk(node: &str) -> Disk {
        let (data, tree) = Guid::of_verity(hash().bytes());
        let other = |byte| Guid::from_bytes([byte; 16]);
        let table = vec![
            partition(1, Guid::ESP, "duet-esp", other(1)),
            partition(2, Guid::ROOT_X86_64, "duet-root-a", other(2)),
            partition(3, Guid::ROOT_X86_64_VERITY, "duet-verity-a", other(3)),
            partition(4, Guid::ROOT_X86_64, "duet-root-b", data),
            partition(5, Guid::ROOT_X86_64_VERITY, "duet-verity-b", tree),
            partition(6, Guid::VAR, "duet-state", other(6)),
        ];
        Disk {
            node: node.to_owned(),
            bytes: 8 << 30,
            removable: false,
            needs: None,
            table: Ok(table),
        }
    }

    fn change(disk: &mut Disk, number: usize, change: impl Fn(&mut Partition)) {
        change(&mut disk.table.as_mut().unwrap()[number - 1]);
    }

    #[test]
    fn the_root_hash_names_the_slot() {
        let chosen = choose(&[disk("/dev/vda")], &hash()).unwrap();
        assert_eq!((chosen.slot, chosen.root.number, chosen.verity.number), (Some("b"), 4, 5));
        assert_eq!(chosen.state.map(|state| state.number), Some(6));
        assert_eq!(chosen.esp.map(|esp| esp.number), Some(1));
        assert_eq!(chosen.twin, None);
    }

    #[test]
    fn the_right_uuid_of_the_wrong_type_does_not_count() {
        let mut wrong = disk("/dev/vda");
        change(&mut wrong, 4, |root| root.entry.type_guid = Guid::VAR);
        assert_eq!(choose(&[wrong], &hash()).unwrap_err(), Missing::Root);
    }

    #[test]
    fn a_fixed_disk_goes_before_the_stick_it_was_installed_from() {
        let mut stick = disk("/dev/sda");
        stick.removable = true;
        let chosen = choose(&[stick.clone(), disk("/dev/sdb"), disk("/dev/sdc")], &hash()).unwrap();
        assert_eq!((chosen.disk.as_str(), chosen.twin.as_deref()), ("/dev/sdb", Some("/dev/sdc")));
        assert_eq!(choose(&[stick], &hash()).unwrap().disk, "/dev/sda");
    }

    #[test]
    fn what_is_missing_is_named_by_the_disk_that_is_nearest() {
        let none = Disk { table: Err("no GPT".to_owned()), ..disk("/dev/sda") };
        assert_eq!(choose(&[], &hash()).unwrap_err(), Missing::Root);
        let mut no_tree = disk("/dev/sdb");
        change(&mut no_tree, 5, |verity| verity.entry.guid = Guid::NIL);
        let missing = choose(&[none.clone(), no_tree.clone()], &hash()).unwrap_err();
        assert_eq!(missing, Missing::Verity("/dev/sdb".to_owned()));
        let mut no_node = disk("/dev/sdc");
        change(&mut no_node, 4, |root| root.node = None);
        let missing = choose(&[no_node, no_tree, none], &hash()).unwrap_err();
        assert_eq!(missing, Missing::Node("/dev/sdc".to_owned()));
    }

    #[test]
    fn a_netbooted_machine_finds_its_state() {
        let plain = Disk { table: Err("no GPT".to_owned()), ..disk("/dev/sda") };
        let mut other = disk("/dev/sdb");
        change(&mut other, 6, |state| state.entry.name = "var".to_owned());
        assert!(choose_state(&[plain.clone(), other.clone()]).is_none());
        let disks = [plain, other, disk("/dev/sdc")];
        let (disk, state, esp) = choose_state(&disks).unwrap();
        assert_eq!((disk.node.as_str(), state.number), ("/dev/sdc", 6));
        assert_eq!(esp.map(|esp| esp.number), Some(1));
    }

    #[test]
    fn disks_are_described_to_a_person() {
        let mut unnamed = disk("/dev/vdb");
        change(&mut unnamed, 6, |state| state.entry.name.clear());
        let none = Disk { table: Err("no GPT".to_owned()), bytes: 5 << 40, ..disk("/dev/sda") };
        let lines = describe(&[unnamed, none]);
        assert!(lines[0].starts_with("/dev/vdb (8.0 GiB): duet-esp, duet-root-a 02020202.., "));
        assert!(lines[0].ends_with("duet-root-b 00112233.., duet-verity-b 01234567.., unnamed"));
        assert_eq!(lines[1], "/dev/sda (5.0 TiB): no GPT");
        assert!(describe(&[])[0].contains("driver"));
        assert_eq!(size(700 << 20), "700.0 MiB");
    }
}
