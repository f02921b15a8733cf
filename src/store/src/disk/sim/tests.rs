//! The simulated disk breaks as it says, and the same way for the same seed.
#![allow(clippy::unwrap_used)]

use super::*;

fn read(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(name).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    Some(bytes)
}

/// A file of eight synced sectors of 1, over which eight of 2 are written, and a name or two.
fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    let mut file = disk.create("file").unwrap();
    file.write_at(0, &[1; 8 * SECTOR]).unwrap();
    file.sync().unwrap();
    disk.create("old").unwrap();
    disk.sync().unwrap();
    file.write_at(0, &[2; 8 * SECTOR]).unwrap();
    disk.rename("old", "new").unwrap();
    disk.create("lost").unwrap();
    disk
}

#[test]
fn a_crash_tears_between_sectors_and_in_any_order() {
    let mut holes = 0;
    for seed in 0..50 {
        let one = disk(seed);
        one.crash();
        let bytes = read(&one, "file").unwrap();
        let sectors: Vec<u8> = bytes.chunks(SECTOR).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        holes += usize::from(sectors.windows(2).any(|pair| pair == [1, 2]));

        let again = disk(seed);
        again.crash();
        assert_eq!(read(&again, "file").unwrap(), bytes, "seed {seed} is not one history");
        assert_eq!(again.list().unwrap(), one.list().unwrap());
    }
    assert!(holes > 12, "later sectors survive earlier ones: {holes}");
}

#[test]
fn names_need_their_own_sync() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let disk = disk(seed);
        disk.crash();
        let names = disk.list().unwrap().into_iter().map(|entry| entry.name);
        seen.insert(names.collect::<Vec<_>>().join(" "));
    }
    let seen: Vec<_> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, ["file lost new", "file lost old", "file new", "file old"]);
    let disk = disk(1);
    disk.sync().unwrap();
    disk.crash();
    assert_eq!(disk.list().unwrap().len(), 3);
}

#[test]
fn a_kill_loses_nothing_but_the_handles() {
    let disk = disk(3);
    let mut file = disk.open("file").unwrap();
    disk.kill();
    assert!(file.write_at(0, b"x").is_err(), "the handle is dead");
    assert_eq!(read(&disk, "file").unwrap(), [2; 8 * SECTOR]);
}

#[test]
fn what_a_failed_sync_left_is_not_written_later() {
    let mut lost = 0;
    for seed in 0..20 {
        let disk = disk(seed);
        disk.fail(Operation::Sync, 0, ErrorKind::Other);
        let mut file = disk.open("file").unwrap();
        assert!(file.sync().is_err());
        assert_eq!(read(&disk, "file").unwrap(), [2; 8 * SECTOR], "readers see the cache");
        file.sync().unwrap();
        disk.crash();
        lost += usize::from(read(&disk, "file").unwrap() != [2; 8 * SECTOR]);
    }
    assert!(lost > 15, "{lost}");
}

#[test]
fn a_full_disk_takes_what_has_room_already() {
    let disk = SimDisk::new(5);
    disk.set_capacity(4 * SECTOR as u64);
    let mut file = disk.create("file").unwrap();
    file.write_at(0, &[1; 3 * SECTOR]).unwrap();
    assert_eq!(disk.free().unwrap(), SECTOR as u64);
    let error = file.write_at(0, &[2; 5 * SECTOR]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    file.write_at(SECTOR as u64, &[3; 3 * SECTOR]).unwrap();
    disk.remove("file").unwrap();
    assert_eq!((disk.free().unwrap(), disk.used()), (4 * SECTOR as u64, 0));
}

#[test]
fn the_power_goes_when_planned_and_stays_away() {
    let disk = disk(9);
    disk.cut_power_in(1);
    let mut file = disk.open("file").unwrap();
    file.write_at(0, b"goes on").unwrap();
    assert!(file.sync().is_err() && disk.is_down());
    assert!(disk.list().is_err() && disk.open("file").is_err() && disk.create("x").is_err());
    disk.kill();
    assert!(disk.list().is_ok() && !disk.is_down());
}

#[test]
fn bits_flip_and_slow_syncs_pass_on_a_clock() {
    let disk = SimDisk::new(2);
    let mut file = disk.create("file").unwrap();
    file.write_at(0, &[0; 10]).unwrap();
    assert!(disk.flip("file", 9, 3));
    assert!(!disk.flip("file", 10, 0) && !disk.flip("none", 0, 0));
    file.sync().unwrap();
    assert_eq!(read(&disk, "file").unwrap()[8..], [0, 8]);
    disk.set_sync_time(Duration::from_millis(2));
    let before = disk.clock();
    for _ in 0..640 {
        file.sync().unwrap();
    }
    assert!(disk.clock() - before > Duration::from_secs(10), "some stall for seconds");
}
