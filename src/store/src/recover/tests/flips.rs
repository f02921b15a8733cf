//! Bits that flip on the disk, by seeds: a state that is not the acknowledged one is never accepted.

use std::ops::Range;

use super::crash::number;
use super::history::group;
use super::*;
use crate::disk::sim::Dice;

const SEEDS: u64 = 300;

/// A disk on which a store worked without trouble until the power went during an append, and the
/// states before and after that append.
fn crashed(dice: &mut Dice) -> (SimDisk, State, State) {
    let disk = SimDisk::new(dice.roll());
    let Opened { mut state, mut log, mut stamp, .. } = open_sim(&disk).unwrap();
    for _ in 0..5 + dice.below(20) {
        let (records, after) = group(&state, stamp.index, 1, dice);
        log.append(&records).unwrap();
        (stamp.index, stamp.term) = (stamp.index + records.len() as u64, 1);
        state = after;
        if dice.one_in(12) {
            if dice.one_in(2) {
                // The older checkpoint stays, and the log after it.
                disk.fail(Operation::Remove, 1, std::io::ErrorKind::Other);
            }
            let written = checkpoint::write(&disk, state.clone(), &stamp, &mut |_| ());
            disk.mend();
            if written.is_ok() {
                log.release(stamp.index).unwrap();
            }
        }
    }
    let (records, after) = group(&state, stamp.index, 1, dice);
    disk.cut_power_in(1);
    let _ = log.append(&records);
    disk.crash();
    (disk, state, after)
}

/// As for crashes; one seed alone by `DUET_SEED`.
fn seeds() -> Range<u64> {
    match (number("DUET_SEED"), number("DUET_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(SEEDS),
    }
}

/// Whether so many seeds ran that what seldom happens has happened.
fn enough() -> bool {
    seeds().count() as u64 >= SEEDS
}

#[test]
fn no_flipped_bit_is_accepted() {
    let (mut refused, mut older) = (0, 0);
    for seed in seeds() {
        let mut dice = Dice::new(seed);
        let (disk, before, after) = crashed(&mut dice);
        let sound = open_sim(&disk.fork()).unwrap();
        let expected = [&before, &after].into_iter().find(|state| sound.state.content_eq(state));
        let expected = expected.expect("without a flip it is one of both");
        for _ in 0..8 {
            let disk = disk.fork();
            let files = disk.list().unwrap();
            let file = &files[dice.below(files.len())];
            if file.len == 0 {
                continue; // What a crash left of a file that was just made.
            }
            let (offset, bit) = (dice.below(file.len as usize) as u64, dice.below(8) as u8);
            assert!(disk.flip(&file.name, offset, bit));
            let place = format!("seed {seed}: bit {bit} of byte {offset} of {}", file.name);
            match open_sim(&disk) {
                Ok(opened) => {
                    // A group that was never acknowledged may fall to the flip.
                    let equal = opened.state.content_eq(expected);
                    assert!(equal || opened.state.content_eq(&before), "{place}");
                    older += u64::from(!opened.report.warnings.is_empty());
                }
                Err(OpenError::Io { .. }) => panic!("{place}: the disk did not fail"),
                Err(error) => {
                    refused += 1;
                    let told = error.to_string();
                    assert!(told.contains(&file.name) || told.contains("log-"), "{place}: {told}");
                }
            }
        }
    }
    let many = seeds().end;
    assert!(
        !enough() || refused > many && older * 20 > many,
        "{refused} refused, {older} went back"
    );
}

#[test]
fn a_flipped_bit_behind_the_log_is_mended() {
    let (mut mended, mut doubtful) = (0, 0);
    for seed in seeds() {
        let mut dice = Dice::new(seed);
        let (disk, before, after) = crashed(&mut dice);
        let sound = check(&disk, &|_| ());
        let last = sound.segments.last().unwrap();
        let start = START as u64 + last.bytes;
        let room = disk.list().unwrap().iter().find(|entry| entry.name == last.file).unwrap().len;
        for _ in 0..8 {
            let disk = disk.fork();
            // Within the torn write, if there is one, and in the free space behind it.
            let end = match &sound.torn {
                Some(torn) if dice.one_in(2) => torn.offset + torn.bytes,
                _ => room,
            };
            let offset = start + dice.below((end - start) as usize) as u64;
            assert!(disk.flip(&last.file, offset, dice.below(8) as u8));
            match open_sim(&disk) {
                Ok(opened) => {
                    mended += 1;
                    let state = &opened.state;
                    assert!(state.content_eq(&before) || state.content_eq(&after), "seed {seed}");
                }
                // What is left of a write looks whole and changed: in doubt, it was acknowledged.
                Err(error) => {
                    doubtful += 1;
                    let near = offset < start + 8 || sound.torn.is_some();
                    assert!(near, "seed {seed}, byte {offset} of {}: {error}", last.file);
                }
            }
        }
    }
    assert!(!enough() || doubtful * 5 < mended, "{mended} mended, {doubtful} in doubt");
}
