//! A machine whose clock has lost the time.

use std::fs::File;

use super::*;
use crate::root::KEPT_TIMES;

/// The time of the seed of [`Toy::seeded`].
const ISSUED: &str = "2026-11-23T08:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Starts a machine whose clocks say this, and returns the time that it has then and its notices.
fn started(toy: &Toy, hardware: Option<&str>, kernel: &str) -> (String, Vec<String>) {
    toy.hardware_clock.set(hardware.map(time));
    toy.now.set(time(kernel));
    let node = toy.boot();
    assert_eq!(codes(&node), [""; 0], "it does its work");
    assert!(toy.exists(STORE_SETTINGS));
    let notices = node.notices.iter().map(|notice| format!("{}: {}", notice.code, notice.what));
    (toy.now.get().to_string(), notices.collect())
}

#[test]
fn a_clock_in_1970_is_set_to_the_time_of_the_seed() {
    let toy = Toy::seeded(&key());
    // systemd has gone to the time of the image.
    let hardware = Some("1970-01-01T00:00:09Z");
    let (now, notices) = started(&toy, hardware, "2025-06-01T00:00:00Z");
    assert_eq!(now, ISSUED);
    expect!["clock.lost: The clock of this machine had lost the time: it said 1970-01-01T00:00:09Z, and was set to 2026-11-23T08:00:00Z, the last that is known."]
        .assert_eq(&notices.join("\n"));
    // The image is newer than the seed.
    let (now, notices) = started(&toy, hardware, "2027-01-01T00:00:00Z");
    assert_eq!((now.as_str(), notices.len()), ("2027-01-01T00:00:00Z", 1));
    // There is no other clock.
    let (now, notices) = started(&toy, None, "2025-06-01T00:00:00Z");
    assert_eq!((now.as_str(), notices.len()), (ISSUED, 1));
}

#[test]
fn it_goes_on_from_what_was_written_last() {
    let toy = Toy::seeded(&key());
    let folder = toy.root.path(KEPT_TIMES[0]);
    fs::create_dir_all(&folder).unwrap();
    let last = time("2028-02-03T04:05:06Z");
    let at = std::time::UNIX_EPOCH + Duration::from_secs(last.unix());
    File::open(&folder).unwrap().set_modified(at).unwrap();
    let (now, notices) = started(&toy, Some("1970-01-01T00:00:09Z"), "2025-06-01T00:00:00Z");
    assert_eq!((now, notices.len()), (last.to_string(), 1));
    // A clock that may be right is not moved by a file from the future.
    let right = "2026-12-01T00:00:00Z";
    assert_eq!(started(&toy, Some(right), right), (right.to_owned(), Vec::new()));
}

#[test]
fn a_time_that_systemd_has_left_behind_is_lost() {
    let toy = Toy::seeded(&key());
    // What some firmware makes of 1970.
    let hardware = Some("2070-01-01T00:00:05Z");
    let (now, notices) = started(&toy, hardware, "2026-11-26T21:03:36Z");
    assert_eq!((now.as_str(), notices.len()), ("2026-11-26T21:03:36Z", 1));
    // A clock in the time of another zone is none of these.
    let zone = Some("2026-11-24T20:00:00Z");
    let (now, notices) = started(&toy, zone, "2026-11-24T08:00:00Z");
    assert_eq!((now.as_str(), notices.len()), ("2026-11-24T08:00:00Z", 0));
}

#[test]
fn without_a_good_seed_the_clock_stays() {
    let toy = Toy::new();
    toy.hardware_clock.set(Some(time("1970-01-01T00:00:09Z")));
    let before = toy.now.get();
    let _ = toy.boot();
    assert_eq!(toy.now.get(), before);
}
