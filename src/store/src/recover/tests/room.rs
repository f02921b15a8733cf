//! The folder of a room of a pair: whose it is, what of its log may still be cut off, and whole states put
//! in the place of everything, with the power going at every step of that.

use pair::{GrantedBy, InSync, Incarnations, Position, Register, Room};

use super::*;

fn place(site: &str, room: Room) -> Place {
    Place { site: site.into(), room }
}

fn enter(disk: &SimDisk) -> Result<RoomFiles, OpenError> {
    open_room(disk, &place("demo", Room::A), 50, false)
}

fn open_room_of(disk: &SimDisk) -> (Opened, Recent) {
    open_paired(Arc::new(disk.clone()), IDS, SEGMENT, &|_| ()).unwrap()
}

fn register() -> Register {
    Register {
        cluster: 7,
        epoch: 4,
        leader: Room::A,
        in_sync: InSync::Both,
        granted_by: GrantedBy::Consent,
        witness: 1,
        boot_id: 9,
        incarnations: Incarnations { a: 50, b: 2 },
    }
}

fn refused<T>(result: Result<T, OpenError>, text: &str) {
    let error = result.err().expect("it is refused").to_string();
    assert!(error.contains(text), "{error}");
}

#[test]
fn a_room_counts_its_starts_and_keeps_its_register() {
    let disk = SimDisk::new(1);
    let first = enter(&disk).unwrap();
    assert_eq!((first.incarnation, first.start, first.register), (50, 1, None));
    drop(open_room_of(&disk));
    persist(&disk, &register()).unwrap();
    disk.crash();
    let later = open_room(&disk, &place("demo", Room::A), 99, false).unwrap();
    assert_eq!((later.incarnation, later.start, later.register), (50, 2, Some(register())));
    assert_eq!(super::super::register(&disk).unwrap(), Some(register()));
    assert!(super::super::counts(&disk).unwrap());
    refused(open_sim(&disk), "a room of a pair: epoch 4: a leads, in sync {a,b}");
    refused(open_room(&disk, &place("demo", Room::A), 99, true), "part of a site already");
}

#[test]
fn a_folder_of_another_place_is_refused_and_left_as_it_is() {
    let disk = SimDisk::new(1);
    enter(&disk).unwrap();
    for other in [place("demo", Room::B), place("else", Room::A)] {
        refused(open_room(&disk, &other, 1, false), "it is of room a of site demo");
    }
    assert_eq!(enter(&disk).unwrap().start, 2);
}

#[test]
fn data_of_a_single_store_begins_a_site_only_where_a_person_says_so() {
    let (disk, _) = written();
    refused(enter(&disk), "a store that was not part of a pair");
    let files = open_room(&disk, &place("demo", Room::A), 5, true).unwrap();
    assert_eq!(files.register, None);
    assert_eq!(open_room_of(&disk).0.stamp.index, 18);
}

#[test]
fn void_data_is_removed_and_the_disk_is_a_new_one() {
    let disk = SimDisk::new(1);
    enter(&disk).unwrap();
    let (mut opened, _) = open_room_of(&disk);
    append(&mut opened, 7);
    persist(&disk, &register()).unwrap();
    void(&disk, "nobody wants it").unwrap();
    disk.crash();
    let files = enter(&disk).unwrap();
    assert_eq!(files.voided.as_deref(), Some("nobody wants it"));
    assert_eq!((files.incarnation, files.start, files.register), (51, 2, None));
    assert_eq!(open_room_of(&disk).0.stamp.index, 0);
    assert_eq!(enter(&disk).unwrap().voided, None);
}

#[test]
fn a_decision_counts_on_a_disk_by_its_number() {
    let disk = SimDisk::new(1);
    assert!(!super::super::counts(&disk).unwrap(), "it is blank");
    enter(&disk).unwrap();
    assert!(!super::super::counts(&disk).unwrap(), "nothing was decided");
    // Of the disk before it.
    let before = Incarnations { a: 49, b: 2 };
    persist(&disk, &Register { incarnations: before, ..register() }).unwrap();
    assert!(!super::super::counts(&disk).unwrap());
    let only_b = InSync::Only(Room::B);
    persist(&disk, &Register { in_sync: only_b, ..register() }).unwrap();
    assert!(!super::super::counts(&disk).unwrap());
    persist(&disk, &register()).unwrap();
    assert!(super::super::counts(&disk).unwrap());
}

#[test]
fn a_changed_byte_of_a_small_file_is_noticed() {
    for file in ["room", "register"] {
        let disk = SimDisk::new(1);
        enter(&disk).unwrap();
        persist(&disk, &register()).unwrap();
        let length = disk.list().unwrap().into_iter().find(|entry| entry.name == file).unwrap().len;
        for at in 0..length {
            let changed = disk.fork();
            assert!(changed.flip(file, at, 1));
            assert!(enter(&changed).is_err(), "byte {at} of {file}");
        }
    }
}

#[test]
fn what_may_still_be_cut_off_is_known_after_a_start() {
    let disk = SimDisk::new(1);
    enter(&disk).unwrap();
    let (mut opened, recent) = open_room_of(&disk);
    assert_eq!(recent.into_parts().1, Position::default());
    let mut states = vec![opened.state.clone()];
    let mut groups = Vec::new();
    for _ in 0..9 {
        let index = opened.stamp.index + 1;
        let request = PutRequest { key: format!("key{index}").into(), ..PutRequest::default() };
        let effect = opened.state.put(&request).unwrap().1.unwrap();
        groups.push(Record { index, term: 3, effect });
        opened.stamp.index = index;
        states.push(opened.state.clone());
    }
    // Entries 1 to 3, then 4 and 5, then the rest; only 4 were known to be acknowledged.
    opened.log.append_behind(&groups[..3], 0).unwrap();
    opened.log.append_behind(&groups[3..5], 2).unwrap();
    opened.log.append_behind(&groups[5..], 4).unwrap();
    disk.kill();
    let (opened, recent) = open_room_of(&disk);
    let (state, at, ring) = recent.into_parts();
    assert_eq!(at, Position { epoch: 3, index: 3 }, "the last whole group that is acknowledged");
    assert!(state.content_eq(&states[3]) && opened.state.content_eq(&states[9]));
    let kept: Vec<Record> = ring.between(0, 99).cloned().collect();
    assert_eq!(kept, groups);
    assert_eq!(ring.before(), Position::default());
}

#[test]
fn a_state_takes_the_place_of_everything_or_of_nothing_wherever_the_power_goes() {
    let begun = SimDisk::new(9);
    enter(&begun).unwrap();
    let (mut opened, _) = open_room_of(&begun);
    append(&mut opened, 4);
    save(&begun, &opened);
    append(&mut opened, 9);
    let old = opened.state.clone();
    let mut new = State::new();
    let request = PutRequest { key: "other".into(), ..PutRequest::default() };
    new.put(&request).unwrap();
    let stamp = Stamp { index: 8, term: 5, cluster_id: 0xc1, member_id: 0xe1 };
    drop(opened);
    begun.kill();

    let mut outcomes = [0, 0];
    let mut operations = 0;
    loop {
        let disk = begun.fork();
        let (mut opened, _) = open_room_of(&disk);
        disk.cut_power_in(operations);
        let done = install(&disk, &mut opened.log, new.clone(), &stamp);
        let cut = disk.is_down();
        if done.is_ok() && !cut {
            // To its end: the log goes on behind it.
            let record = |index| Record { index, term: 6, effect: Effect::Grant { id: 1, ttl: 9 } };
            disk.mend();
            opened.log.append(&[record(9)]).unwrap();
        }
        disk.crash();
        let (opened, recent) = open_room_of(&disk);
        let (_, at, ring) = recent.into_parts();
        if opened.state.revision() == old.revision() {
            assert!(opened.state.content_eq(&old) && done.is_err());
            assert_eq!(opened.stamp.index, 13);
            outcomes[0] += 1;
        } else {
            assert_eq!((at.epoch, at.index), (5, 8), "after {operations} operations");
            assert_eq!(ring.before(), at);
            outcomes[1] += 1;
        }
        if !cut {
            assert_eq!(opened.stamp.index, 9);
            break;
        }
        assert!(check(&disk, &|_| ()).is_sound());
        operations += 1;
    }
    assert!(outcomes[0] > 5 && outcomes[1] > 5, "{outcomes:?}");
}
