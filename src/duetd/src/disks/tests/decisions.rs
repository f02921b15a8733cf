//! What is done to which disk, and what people are told.

use expect_test::{Expect, expect};

use super::*;

/// What a machine does, and what it says.
fn check(toy: &Toy, settings: &Settings, taken: &[&str], expected: Expect) {
    let taken: Vec<String> = taken.iter().map(|one| (*one).to_owned()).collect();
    let before: Vec<_> =
        toy.disks.iter().map(|disk| (disk, toy.platters.get(&disk.name))).collect();
    let before: Vec<Option<Vec<u8>>> = before
        .iter()
        .map(|(_, platter)| platter.map(|platter| platter.borrow().durable.clone()))
        .collect();
    let planned = apply(toy, Some(settings), &taken, true);
    let text = |report: &Report| {
        let disks =
            report.disks.iter().map(|one| format!("{} {}: {}\n", one.name, one.state, one.why));
        let problems = report
            .problems
            .iter()
            .map(|one| format!("{}: {}\n  {}\n", one.code, one.what, one.cure));
        disks.chain(problems).collect::<String>()
    };
    for (disk, bytes) in toy.disks.iter().zip(&before) {
        let same = bytes.as_ref().is_none_or(|bytes| *bytes == toy.bytes(&disk.name));
        assert!(same, "a dry run wrote to {}", disk.name);
    }
    let done = apply(toy, Some(settings), &taken, false);
    assert_eq!(text(&planned), text(&done), "a dry run says what is done");
    for (entry, bytes) in done.disks.iter().zip(&before) {
        let Some(bytes) = bytes else { continue };
        let written = *bytes != toy.bytes(&entry.name);
        let changes = matches!(entry.state, State::Taken | State::Erased | State::Mended);
        assert_eq!(written, changes, "{} is {}", entry.name, entry.state);
        assert_eq!(entry.partition.is_some(), entry.state.is_ours());
    }
    expected.assert_eq(&text(&done));
}

/// One disk on which there is something.
fn check_one(settings: &Settings, disk: Disk, bytes: Vec<u8>, expected: Expect) {
    check(&Toy::default().and(disk, bytes), settings, &[], expected);
}

#[test]
fn without_a_rule_nothing_is_touched() {
    check_one(
        &settings(false, &[]),
        disk("vdb"),
        blank(),
        expect![[r#"
        vdb left: no rule of the site file takes it
    "#]],
    );
    let unseeded = apply(&Toy::with("vdb", blank()), None, &[], false);
    assert_eq!(unseeded.disks[0].state, State::Left);
    assert_eq!(unseeded.problems, []);
}

#[test]
fn a_disk_without_data_is_taken_and_one_with_data_is_not() {
    let toy =
        Toy::with("vdb", blank()).and(disk("vdc"), ext4()).and(disk("vdd"), of_another_site("vdd"));
    check(
        &toy,
        &settings(true, &[]),
        &[],
        expect![[r#"
        vdb taken: it has no data on it
        vdc left: it holds an ext2, ext3 or ext4 file system
        vdd left: it belongs to another site
    "#]],
    );
    assert_eq!(toy.bytes("vdc"), ext4());
    check(
        &toy,
        &settings(true, &[]),
        &[],
        expect![[r#"
        vdb ours: it is this site's already
        vdc left: it holds an ext2, ext3 or ext4 file system
        vdd left: it belongs to another site
    "#]],
    );
}

#[test]
fn a_disk_with_data_is_taken_if_the_site_file_names_it() {
    let toy =
        Toy::with("vdb", ext4()).and(disk("vdc"), of_another_site("vdc")).and(disk("vdd"), ext4());
    let named = settings(false, &["serial-of-vdb", "serial-of-vdc"]);
    check(
        &toy,
        &named,
        &[],
        expect![[r#"
        vdb erased: the site file names its serial number; it holds an ext2, ext3 or ext4 file system
        vdc erased: the site file names its serial number; it belongs to another site
        vdd left: no rule of the site file takes it
    "#]],
    );
    let report = toy.run(&named);
    assert!(report.disks[..2].iter().all(|one| one.state == State::Ours), "{report:?}");
}

#[test]
fn a_disk_that_cannot_be_taken_is_named_with_the_reason() {
    let named = settings(true, &["serial-of-vdb"]);
    let refused = |disk: Disk, expected: Expect| check_one(&named, disk, ext4(), expected);
    refused(
        Disk { system: true, uses: vec!["vdb6 is mounted on /var".into()], ..disk("vdb") },
        expect![[r#"
            vdb left: it is the disk that this system runs from
            disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: it is the disk that this system runs from.
              Name another disk under `erase` in the site file, or none.
        "#]],
    );
    refused(
        Disk { uses: vec!["dm-3 lies on vdb1".into()], ..disk("vdb") },
        expect![[r#"
        vdb left: it is in use: dm-3 lies on vdb1
        disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: it is in use: dm-3 lies on vdb1.
          End what uses it, then `systemctl restart duet-disks`; or take it out of `erase`.
    "#]],
    );
    refused(
        Disk { removable: true, ..disk("vdb") },
        expect![[r#"
        vdb left: it is removable or at USB
        disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: it is removable or at USB.
          Name another disk under `erase` in the site file, or none.
    "#]],
    );
    refused(
        Disk { remote: true, ..disk("vdb") },
        expect![[r#"
        vdb left: it is reached over a network, perhaps by others too
        disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: it is reached over a network, perhaps by others too.
          Name another disk under `erase` in the site file, or none.
    "#]],
    );
    refused(
        Disk { read_only: true, ..disk("vdb") },
        expect![[r#"
        vdb left: it cannot be written
        disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: it cannot be written.
          Name another disk under `erase` in the site file, or none.
    "#]],
    );
    refused(
        Disk { sector_bytes: 4096, ..disk("vdb") },
        expect![[r#"
        vdb left: its sectors have 4096 bytes, and not 512
        disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: its sectors have 4096 bytes, and not 512.
          Most such disks can be switched to 512 bytes: `nvme format --lbaf`, `sg_format`.
    "#]],
    );
    let large = Settings { rules: Disks { min_gib: 100, ..named.rules.clone() }, ..named.clone() };
    check_one(
        &large,
        disk("vdb"),
        ext4(),
        expect![[r#"
        vdb left: it is too small: 0 GiB of 100 GiB
        disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: it is too small: 0 GiB of 100 GiB.
          Write a smaller min_gib for this machine, or take the disk out of `erase`.
    "#]],
    );
    let mut toy = Toy::with("vdb", ext4());
    toy.busy.push("vdb".into());
    check(
        &toy,
        &named,
        &[],
        expect![[r#"
        vdb left: it is in use: another program has it for itself
        disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: it is in use: another program has it for itself.
          End what uses it, then `systemctl restart duet-disks`; or take it out of `erase`.
    "#]],
    );
    let unreadable = Toy { disks: vec![disk("vdb")], ..Toy::default() };
    check(
        &unreadable,
        &named,
        &[],
        expect![[r#"
        vdb left: it cannot be read: input/output error
        disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: it cannot be read: input/output error.
          `dmesg` and `smartctl` may tell why. Replace the disk if it is worn out.
    "#]],
    );
}

#[test]
fn a_named_disk_that_is_not_there_is_told() {
    check_one(
        &settings(false, &["S1", "S2"]),
        disk("vdb"),
        ext4(),
        expect![[r#"
        vdb left: no rule of the site file takes it
        disks.missing: 2 disks that the site file names are not in this machine: S1, S2.
          Is it plugged in? `duetd disks --dry-run` shows all disks with their serial numbers. Correct `erase` in the site file if it means another one.
    "#]],
    );
    // Where several machines share a seed, each has some of the disks.
    let shared = Settings { own_seed: false, ..settings(false, &["S1", "serial-of-vdb"]) };
    check_one(
        &shared,
        disk("vdb"),
        blank(),
        expect![[r#"
        vdb taken: it has no data on it
    "#]],
    );
}

#[test]
fn a_machine_without_any_disk_for_volumes_says_why() {
    let system = Disk { system: true, uses: vec!["vda6 is mounted on /var".into()], ..disk("vda") };
    check_one(
        &settings(true, &[]),
        system.clone(),
        ext4(),
        expect![[r#"
        vda left: it is the disk that this system runs from
        disks.none: This machine has no disk for volumes: there is none but its own.
          Put a disk without data in, name one under `erase` in the site file, or write empty = false for this machine.
    "#]],
    );
    let mut toy = Toy::default().and(system, ext4());
    for name in ["vdb", "vdc", "vdd", "vde"] {
        toy = toy.and(disk(name), ext4());
    }
    check(
        &toy,
        &settings(true, &[]),
        &[],
        expect![[r#"
        vda left: it is the disk that this system runs from
        vdb left: it holds an ext2, ext3 or ext4 file system
        vdc left: it holds an ext2, ext3 or ext4 file system
        vdd left: it holds an ext2, ext3 or ext4 file system
        vde left: it holds an ext2, ext3 or ext4 file system
        disks.none: This machine has no disk for volumes. vdb, 10 MB: it holds an ext2, ext3 or ext4 file system; vdc, 10 MB: it holds an ext2, ext3 or ext4 file system; vdd, 10 MB: it holds an ext2, ext3 or ext4 file system; and 1 more.
          Put a disk without data in, name one under `erase` in the site file, or write empty = false for this machine.
    "#]],
    );
}

#[test]
fn two_disks_of_one_serial_number_are_both_left() {
    let serial = disk("vdb").serial;
    let toy = Toy::with("vdb", blank()).and(Disk { serial, ..disk("vdc") }, blank());
    check(
        &toy,
        &settings(true, &["serial-of-vdb"]),
        &[],
        expect![[r#"
        vdb left: vdc says that it has the same serial number
        vdc left: vdb says that it has the same serial number
        disks.refused: The disk vdb (serial-of-vdb) is not taken for volumes, though the site file names it: vdc says that it has the same serial number.
          Name another disk under `erase` in the site file, or none.
        disks.refused: The disk vdc (serial-of-vdb) is not taken for volumes, though the site file names it: vdb says that it has the same serial number.
          Name another disk under `erase` in the site file, or none.
    "#]],
    );
}

#[test]
fn a_disk_without_a_serial_number_is_known_by_its_wwid() {
    let wwid = Disk { serial: None, wwid: Some("naa.1".into()), ..disk("vdb") };
    let toy = Toy::default().and(Disk { serial: None, ..disk("vdc") }, blank());
    check(
        &toy,
        &settings(true, &[]),
        &[],
        expect![[r#"
        vdc left: it says no serial number by which to know it again
        disks.none: This machine has no disk for volumes. vdc, 10 MB: it says no serial number by which to know it again.
          Put a disk without data in, name one under `erase` in the site file, or write empty = false for this machine.
    "#]],
    );
    let report = Toy::default().and(wwid.clone(), blank());
    let state = apply(&report, Some(&settings(true, &[])), &[], true).disks[0].state;
    assert_eq!(state, State::Taken);
}

#[test]
fn a_disk_that_was_this_sites_is_not_erased_a_second_time() {
    let known = &["serial serial-of-vdb"];
    let named = settings(true, &["serial-of-vdb"]);
    check(
        &Toy::with("vdb", ext4()),
        &named,
        known,
        expect![[r#"
        vdb left: it was this site's, and is not erased a second time: it holds an ext2, ext3 or ext4 file system
        disks.lost: The disk vdb (serial-of-vdb) was taken for volumes, and now it holds an ext2, ext3 or ext4 file system.
          Nothing was done to it. Look whether its volumes can be saved. To give it up, wipe it (`wipefs --all /dev/vdb`), remove its line from /var/lib/duet/disks, and restart.
    "#]],
    );
    let moved = Toy::with("vdb", of_another_site("vdb"));
    check(
        &moved,
        &named,
        known,
        expect![[r#"
        vdb left: it was this site's, and is not erased a second time: it belongs to another site
        disks.lost: The disk vdb (serial-of-vdb) was taken for volumes, and now it belongs to another site.
          Nothing was done to it. Look whether its volumes can be saved. To give it up, wipe it (`wipefs --all /dev/vdb`), remove its line from /var/lib/duet/disks, and restart.
    "#]],
    );
    let none = settings(false, &[]);
    check(
        &Toy::with("vdb", ext4()),
        &none,
        known,
        expect![[r#"
        vdb left: no rule of the site file takes it
        disks.lost: The disk vdb (serial-of-vdb) was taken for volumes, and now does not bear this site's mark any more.
          Nothing was done to it. Look whether its volumes can be saved. To give it up, wipe it (`wipefs --all /dev/vdb`), remove its line from /var/lib/duet/disks, and restart.
    "#]],
    );
    // A person wiped it: there is nothing to lose.
    check(
        &Toy::with("vdb", blank()),
        &named,
        known,
        expect![[r#"
        vdb taken: it has no data on it
    "#]],
    );
    check(
        &Toy::with("vdc", blank()),
        &none,
        known,
        expect![[r#"
        vdc left: no rule of the site file takes it
        disks.gone: A disk that was taken for volumes is not there: serial serial-of-vdb.
          Is it plugged in, does it still work? If it is gone for good, remove its line from /var/lib/duet/disks.
    "#]],
    );
}

#[test]
fn a_disk_whose_partition_was_removed_is_left() {
    let toy = Toy::with("vdb", blank());
    let mut table = mark("vdb").table(BYTES).unwrap();
    table.partitions.clear();
    let encoded = table.encode().unwrap();
    let open = toy.open("vdb", Access::Write).unwrap();
    open.write_at(0, &encoded.head).unwrap();
    open.write_at(BYTES - encoded.tail.len() as u64, &encoded.tail).unwrap();
    open.sync().unwrap();
    drop(open);
    check(
        &toy,
        &settings(true, &["serial-of-vdb"]),
        &[],
        expect![[r#"
        vdb left: it is this site's, but its partition duet-data was removed or changed
        disks.lost: The disk vdb (serial-of-vdb) was taken for volumes, and now it is this site's, but its partition duet-data was removed or changed.
          Nothing was done to it. Look whether its volumes can be saved. To give it up, wipe it (`wipefs --all /dev/vdb`), remove its line from /var/lib/duet/disks, and restart.
    "#]],
    );
}

#[test]
fn a_damaged_table_is_mended_unless_the_disk_is_in_use() {
    let toy = Toy::with("vdb", blank());
    assert_eq!(toy.run(&settings(true, &[])).disks[0].state, State::Taken);
    let mut damaged = toy.bytes("vdb");
    damaged[512..1024].fill(0);
    let none = settings(false, &[]);
    let used = Disk { uses: vec!["dm-3 lies on vdb1".into()], ..disk("vdb") };
    check_one(
        &none,
        used,
        damaged.clone(),
        expect![[r#"
        vdb ours: it is this site's already; one copy of its partition table is damaged
    "#]],
    );
    check_one(
        &none,
        disk("vdb"),
        damaged,
        expect![[r#"
        vdb mended: it is this site's already, with one damaged copy of its partition table
    "#]],
    );
}

#[test]
fn a_disk_that_changes_while_it_is_looked_at_is_left() {
    /// A machine on which somebody makes a file system just then.
    struct Racing(Toy);
    impl Machine for Racing {
        fn disks(&self) -> Vec<Disk> {
            self.0.disks()
        }
        fn open(&self, disk: &str, access: Access) -> io::Result<Box<dyn Medium + '_>> {
            if access == Access::Write {
                self.0.platters[disk].borrow_mut().durable = ext4();
            }
            self.0.open(disk, access)
        }
        fn show_partition(&self, disk: &str) -> Result<(), String> {
            self.0.show_partition(disk)
        }
    }
    let racing = Racing(Toy::with("vdb", blank()));
    let report = apply(&racing, Some(&settings(true, &[])), &[], false);
    assert_eq!(report.disks[0].state, State::Failed);
    assert_eq!(report.problems[0].code, "disks.failed");
    assert_eq!(racing.0.bytes("vdb"), ext4());
}

#[test]
fn a_person_reads_it_as_a_table() {
    let toy = Toy::with("vdb", blank()).and(Disk { serial: None, ..disk("nvme0n1") }, ext4());
    let report = apply(&toy, Some(&settings(true, &["S1"])), &[], true);
    expect![[r#"
        Nothing was done. This is what would be:

        disk     size   serial number  is     why
        vdb      10 MB  serial-of-vdb  taken  it has no data on it
        nvme0n1  10 MB  none           left   it says no serial number by which to know it again

        The disk S1 that the site file names is not in this machine.
          Cure: Is it plugged in? `duetd disks --dry-run` shows all disks with their serial numbers. Correct `erase` in the site file if it means another one.
    "#]].assert_eq(&report.text());
}
