//! The power goes off at each write and each sync, and leaves any part of what was not synced.

use super::*;

/// Runs with a power cut at each operation, and each time once more without one. `check` sees the disk
/// after the cut, and after the second run.
fn cut_everywhere(
    bytes: &[u8],
    settings: &Settings,
    mut check: impl FnMut(&Toy, &Report),
) -> usize {
    let mut cuts = 0;
    loop {
        let mut over = false;
        for torn in Torn::ALL {
            let toy = Toy::with("vdb", bytes.to_owned());
            toy.platters["vdb"].borrow_mut().cut_at = Some(cuts);
            let first = toy.run(settings);
            {
                let mut platter = toy.platters["vdb"].borrow_mut();
                over = platter.operations < cuts || first.disks[0].state != State::Failed;
                platter.power_off(torn);
                platter.cut_at = None;
            }
            let second = toy.run(settings);
            check(&toy, &second);
        }
        if over {
            return cuts;
        }
        cuts += 1;
        assert!(cuts < 1000, "it never comes to an end");
    }
}

fn is_ours(toy: &Toy) -> bool {
    let open = toy.open("vdb", Access::Look).unwrap();
    content::whose(&*open, Some(&mark("vdb"))) == Content::Ours { sound: true }
}

#[test]
fn a_blank_disk_is_taken_at_last_wherever_the_power_went_off() {
    let cuts = cut_everywhere(&blank(), &settings(true, &[]), |toy, report| {
        assert!(is_ours(toy), "{report:?}");
        assert_eq!(report.problems, []);
    });
    assert_eq!(cuts, 4, "two writes, two syncs");
}

#[test]
fn a_named_disk_is_taken_at_last_wherever_the_power_went_off() {
    let named = settings(false, &["serial-of-vdb"]);
    for bytes in [ext4(), of_another_site("vdb"), vec![7; BYTES as usize]] {
        let cuts = cut_everywhere(&bytes, &named, |toy, report| {
            assert!(is_ours(toy), "{report:?}");
            assert_eq!(report.problems, []);
        });
        assert!(cuts > 10, "{cuts}");
    }
}

#[test]
fn a_disk_of_this_site_keeps_its_volumes_whatever_the_site_file_says() {
    let toy = Toy::with("vdb", blank());
    let _ = toy.run(&settings(true, &[]));
    let mut full = toy.bytes("vdb");
    let partition = 1 << 20..(9 << 20);
    full[partition.clone()].fill(0xaa);
    let named = settings(true, &["serial-of-vdb"]);
    let cuts = cut_everywhere(&full, &named, |toy, report| {
        assert!(toy.bytes("vdb") == full, "{report:?}");
        assert_eq!(report.disks[0].state, State::Ours);
    });
    assert_eq!(cuts, 0, "nothing is written");
    // Either copy of its table is damaged, in each of its sectors.
    let places = (0..34).chain(BYTES / SECTOR - 33..BYTES / SECTOR);
    for sector in places {
        let at = (sector * SECTOR) as usize;
        let mut damaged = full.clone();
        damaged[at..at + SECTOR as usize].fill(0x55);
        let _ = cut_everywhere(&damaged, &named, |toy, report| {
            let now = toy.bytes("vdb");
            assert!(
                now[partition.clone()] == full[partition.clone()],
                "sector {sector}: {report:?}"
            );
            assert!(report.disks[0].state.is_ours(), "sector {sector}: {report:?}");
            assert!(is_ours(toy), "sector {sector}");
        });
    }
}

#[test]
fn partitions_of_an_old_table_are_wiped_too() {
    // One partition from the middle on, as an old MBR names it; its signatures are at both of its ends.
    let (start, sectors) = (5 << 20, (BYTES - (6 << 20)) / SECTOR);
    let mut old = blank();
    let mut entry = [0; 16];
    entry[4] = 0x83;
    entry[8..12].copy_from_slice(&u32::try_from(start / SECTOR).unwrap().to_le_bytes());
    entry[12..].copy_from_slice(&u32::try_from(sectors).unwrap().to_le_bytes());
    old[446..462].copy_from_slice(&entry);
    old[510..512].copy_from_slice(&[0x55, 0xaa]);
    old[start as usize..start as usize + 4].copy_from_slice(b"XFSB");
    let named = settings(false, &["serial-of-vdb"]);
    let _ = cut_everywhere(&old, &named, |toy, report| {
        assert!(is_ours(toy), "{report:?}");
        assert_eq!(toy.bytes("vdb")[start as usize], 0, "{report:?}");
    });
}
