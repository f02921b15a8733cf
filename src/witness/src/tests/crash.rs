//! Stopped at every operation of the disk: what was answered is held, what is held was asked, and nothing is
//! torn. And the same check finds a witness that syncs too little.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use pair::{GrantedBy, Register, Room};

use super::{generation, name, status};
use crate::definition::tests::authority;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, Folder, PlaceError, Stamp, place};
use crate::edit;
use crate::keeper::Keeper;
use crate::registers::tests::{both, grant, report};
use crate::wire::{Answer, Question, Refused};

const SITES: [&str; 3] = ["x", "y", "z"];

/// Numbers by a seed (SplitMix64; Steele, Lea, Flood, 2014).
fn dice(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn add_all(disk: &dyn Disk) {
    let authority = authority();
    for site in SITES {
        edit::add(disk, &name(site), &authority, generation(3)).unwrap();
    }
}

fn questions() -> [(Question, Register); 3] {
    [
        (report(4, 3), both(4, 3)),
        (grant(Room::B, 4, 3), both(4, 3).granted(Room::B, GrantedBy::Witness)),
        (report(8, 3), both(8, 3)),
    ]
}

async fn ask(keeper: &Keeper, site: &str, question: Question) -> Answer {
    keeper.ask(&name(site), question, UNIX_EPOCH + Duration::from_secs(1)).await
}

#[derive(Default)]
struct Known {
    /// The newest register that was answered.
    answered: Option<Register>,
    /// One that was asked for and not answered.
    open: Option<Register>,
}

/// Asks until the machine stops; what is known of each site then.
async fn live(keeper: &Keeper) -> BTreeMap<&'static str, Known> {
    let mut known: BTreeMap<&str, Known> = BTreeMap::new();
    for (question, register) in questions() {
        for site in SITES {
            let known = known.entry(site).or_default();
            if known.open.is_some() {
                continue;
            }
            match ask(keeper, site, question).await {
                Answer::Reply(_) => known.answered = Some(register),
                _ => known.open = Some(register),
            }
        }
    }
    known
}

/// What breaks the promise after a crash, if anything does.
async fn broken(disk: SimDisk, known: &BTreeMap<&'static str, Known>) -> Option<String> {
    let keeper = Keeper::start(Arc::new(disk)).unwrap();
    for (site, known) in known {
        let held = match ask(&keeper, site, Question::Status).await {
            Answer::Status(status) => status.held,
            other => return Some(format!("{site}: {other:?}")),
        };
        if held != known.answered && (held.is_none() || held != known.open) {
            return Some(format!("{site}: {held:?}, and {:?} was answered", known.answered));
        }
    }
    None
}

#[tokio::test]
async fn what_was_answered_is_held_wherever_the_machine_stops() {
    let mut stops = 0;
    for seed in 0..4 {
        for stop in 0.. {
            let disk = SimDisk::default();
            add_all(&disk);
            let keeper = Keeper::start(Arc::new(disk.clone())).unwrap();
            let before = disk.operations();
            disk.stop_in(stop);
            let known = live(&keeper).await;
            let stopped = disk.operations() == before + stop;
            let after = disk.crash(dice(seed * 1000 + stop));
            assert_eq!(broken(after, &known).await, None, "seed {seed}, stopped at {stop}");
            stops += 1;
            if !stopped {
                break;
            }
        }
    }
    // Nine changes of four operations each, and the run that was not stopped.
    assert!(stops >= 4 * 36, "{stops}");
}

/// A disk that leaves out one kind of sync.
struct Lazy {
    disk: SimDisk,
    fresh: bool,
}

impl Disk for Lazy {
    fn names(&self, folder: Folder) -> std::io::Result<Vec<String>> {
        self.disk.names(folder)
    }
    fn changed(&self, folder: Folder) -> std::io::Result<std::time::SystemTime> {
        self.disk.changed(folder)
    }
    fn stamp(&self, folder: Folder, name: &str) -> std::io::Result<Stamp> {
        self.disk.stamp(folder, name)
    }
    fn read(&self, folder: Folder, name: &str, longest: usize) -> std::io::Result<Vec<u8>> {
        self.disk.read(folder, name, longest)
    }
    fn write_fresh(&self, folder: Folder, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.disk.write_fresh(folder, name, bytes)
    }
    fn sync_fresh(&self, folder: Folder, names: &[&str]) -> std::io::Result<()> {
        if self.fresh { Ok(()) } else { self.disk.sync_fresh(folder, names) }
    }
    fn rename_fresh(&self, folder: Folder, name: &str) -> std::io::Result<()> {
        self.disk.rename_fresh(folder, name)
    }
    fn remove(&self, folder: Folder, name: &str) -> std::io::Result<()> {
        self.disk.remove(folder, name)
    }
    fn sync_names(&self, folder: Folder) -> std::io::Result<()> {
        if self.fresh { self.disk.sync_names(folder) } else { Ok(()) }
    }
    fn touch(&self, folder: Folder, name: &str, at: std::time::SystemTime) -> std::io::Result<()> {
        self.disk.touch(folder, name, at)
    }
}

#[tokio::test]
async fn a_sync_that_is_left_out_is_found() {
    for (fresh, expected) in [(true, "Damaged"), (false, "was answered")] {
        let mut found = String::new();
        for seed in 0..16 {
            let disk = SimDisk::default();
            add_all(&disk);
            let lazy = Lazy { disk: disk.clone(), fresh };
            let known = live(&Keeper::start(Arc::new(lazy)).unwrap()).await;
            found += &broken(disk.crash(dice(seed)), &known).await.unwrap_or_default();
        }
        assert!(found.contains(expected), "{found}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_changes_nothing() {
    let disk = SimDisk::default();
    add_all(&disk);
    let keeper = Keeper::start(Arc::new(disk.clone())).unwrap();
    // Writing the new file, and syncing it.
    for operation in [0, 1] {
        disk.fail_in(operation, ErrorKind::StorageFull);
        let answer = ask(&keeper, "x", report(4, 3)).await;
        assert!(matches!(&answer, Answer::Refused(Refused::Disk(_))), "{answer:?}");
        assert_eq!(status(&keeper, "x").await.held, None);
    }
    assert!(matches!(ask(&keeper, "x", report(4, 3)).await, Answer::Reply(_)));
    assert_eq!(status(&keeper, "x").await.held, Some(both(4, 3)));
}

#[tokio::test]
async fn a_disk_that_may_have_lost_something_ends_the_witness() {
    // Renaming, and syncing names.
    for operation in [2, 3] {
        let disk = SimDisk::default();
        add_all(&disk);
        let keeper = Keeper::start(Arc::new(disk.clone())).unwrap();
        disk.fail_in(operation, ErrorKind::Other);
        let answer = ask(&keeper, "x", report(4, 3)).await;
        assert_eq!(answer, Answer::Refused(Refused::Away));
        assert!(keeper.failed().await.to_string().contains("did not keep"));
        assert_eq!(ask(&keeper, "y", report(4, 3)).await, Answer::Refused(Refused::Away));
    }
}

#[test]
fn a_site_is_added_and_renewed_wherever_the_machine_stops() {
    let authority = authority();
    let mut rest = BTreeMap::new();
    for seed in 0..4 {
        for stop in 0..4 {
            let disk = SimDisk::default();
            disk.stop_in(stop + 4 * (seed % 2));
            let _ = edit::add(&disk, &name("x"), &authority, generation(3));
            let disk = disk.crash(dice(seed * 10 + stop));
            // It is there whole, or not at all and can be added.
            let state = edit::look(&disk, &name("x")).map(|listed| listed.state.is_ok());
            *rest.entry(format!("{:?}", state.as_ref().ok())).or_insert(0) += 1;
            if state.is_err() {
                edit::add(&disk, &name("x"), &authority, generation(4)).unwrap();
            }
            assert!(edit::look(&disk, &name("x")).unwrap().state.is_ok());
        }
    }
    assert!(rest.len() == 2 && !rest.contains_key("Some(false)"), "{rest:?}");

    for stop in 0..8 {
        let disk = SimDisk::default();
        edit::add(&disk, &name("x"), &authority, generation(3)).unwrap();
        disk.damage(Folder::Registers, "x", 20);
        disk.stop_in(stop);
        let _ = edit::renew(&disk, &name("x"), generation(4));
        let disk = disk.crash(dice(stop));
        // Never in order again under the generation whose register is lost.
        if let Ok(state) = edit::look(&disk, &name("x")).unwrap().state {
            assert_eq!(state.generation, 4, "stopped at {stop}");
        }
    }
}

#[test]
fn what_fails_before_the_first_rename_is_told_from_what_fails_after() {
    for (operation, unknown) in [(0, false), (1, false), (2, true), (3, true)] {
        let disk = SimDisk::default();
        disk.fail_in(operation, ErrorKind::Other);
        let placed = place(&disk, Folder::Registers, &[("x".into(), b"1".to_vec())]);
        assert_eq!(matches!(placed, Err(PlaceError::Unknown(_))), unknown, "{operation}");
        assert!(placed.is_err());
    }
}
