//! Rooms that do not fit: both say why.

use std::fs;

use pair::Room;

use super::super::shared::{Local, wall};
use super::super::{Bound, Config, PeerError, tls};
use super::rig::{Heard, Site, connected, pair_of, pair_with};

/// Starts both, and waits until each says these words: why it has no connection, and why it turned the other
/// one away. The address before them is another one each time.
async fn check(rooms: (Heard, Heard), a_says: [&str; 2], b_says: [&str; 2]) {
    for (room, [why_not, turned_away]) in [(&rooms.0, a_says), (&rooms.1, b_says)] {
        let said = |text: Option<&str>, expected: &str| {
            text.and_then(|text| text.split_once(": ")).is_some_and(|(_, text)| text == expected)
        };
        room.until(|status| {
            let away = status.turned_away.as_ref().map(|(_, text)| &text[..]);
            said(status.why_not.as_deref(), why_not) && said(away, turned_away)
        })
        .await;
        let status = room.peer.status();
        assert!(status.outward.is_none() && status.inward.is_none(), "{status:?}");
        assert!(status.counters.connections == 0 && status.counters.turned_away > 0);
    }
}

fn with(config: Config, files: tls::Files) -> Config {
    Config { cert_file: files.cert, key_file: files.key, ca_file: files.ca, ..config }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_another_authority() {
    let (site, other) = (Site::new("north"), Site::new("north"));
    let rooms = pair_of(site.config(Room::A), other.config(Room::B));
    let b_unknown = "the certificate of room b is signed by an authority that room a does not know: another site's?";
    let a_unknown = "the certificate of room a is signed by an authority that room b does not know: another site's?";
    let b_refuses =
        "room b refuses the certificate of room a: signed by an authority that it does not know";
    let a_refuses =
        "room a refuses the certificate of room b: signed by an authority that it does not know";
    check(rooms, [b_unknown, b_refuses], [a_unknown, a_refuses]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_were_swapped() {
    let site = Site::new("north");
    let (a, b) = (site.config(Room::A), site.config(Room::B));
    let files = |config: &Config| tls::Files {
        cert: config.cert_file.clone(),
        key: config.key_file.clone(),
        ca: config.ca_file.clone(),
    };
    let (of_a, of_b) = (files(&a), files(&b));
    let rooms = pair_of(with(a, of_b), with(b, of_a));
    let both = |room| {
        format!(
            "both ends call themselves room {room}: one has the other's settings, or this room dials itself"
        )
    };
    let refused = |room: Room, other: Room| {
        format!(
            "room {room} refuses the certificate of room {other}: names another room or another site"
        )
    };
    check(
        rooms,
        [&both(Room::A), &refused(Room::B, Room::A)],
        [&both(Room::B), &refused(Room::A, Room::B)],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_of_the_same_authority() {
    let north = Site::new("north");
    let mut b = north.config(Room::B);
    b.site = "south".to_owned();
    let b = with(b, north.sign("room-b.south.duet.internal", "south"));
    let rooms = pair_of(north.config(Room::A), b);
    check(
        rooms,
        [
            "the certificate should name room-b.north.duet.internal and names room-b.south.duet.internal",
            "room b refuses the certificate of room a: names another room or another site",
        ],
        [
            "the certificate should name room-a.south.duet.internal and names room-a.north.duet.internal",
            "room a refuses the certificate of room b: names another room or another site",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_in_both_rooms() {
    let site = Site::new("north");
    let rooms = pair_of(site.config(Room::A), site.config(Room::A));
    let both =
        "both ends call themselves room a: one has the other's settings, or this room dials itself";
    let refused = "room b refuses the certificate of room a: names another room or another site";
    check(rooms, [both, refused], [both, refused]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_has_run_out() {
    let site = Site::new("north");
    let b = site.config(Room::B);
    let old = site.sign_until("room-b.north.duet.internal", "old", 2000);
    let (a, b) = pair_of(site.config(Room::A), with(b, old));
    let begin = "the certificate of room b is not valid by room a's clock: certificate expired";
    a.until(|status| status.why_not.as_deref().is_some_and(|why| why.contains(begin))).await;
    b.until(|status| {
        let end = "the certificate of room b: not valid at this time, by its clock";
        status.why_not.as_deref().is_some_and(|why| why.ends_with(end))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_do_not_meet() {
    let site = Site::new("north");
    let older = Local { versions: (1, 1), ..Local::default() };
    let newer = Local { versions: (3, 4), ..Local::default() };
    let rooms = pair_with(site.config(Room::A), older, site.config(Room::B), newer);
    let here = "room a speaks version 1, room b 3 to 4: upgrade room a";
    // Whichever of the two verdicts was read, it says the same.
    check(rooms, [here, here], [here, here]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_overlap_are_spoken() {
    let site = Site::new("north");
    let older = Local { versions: (1, 2), ..Local::default() };
    let newer = Local { versions: (2, 3), ..Local::default() };
    let (a, b) = pair_with(site.config(Room::A), older, site.config(Room::B), newer);
    connected(&a, &b).await;
    assert_eq!((a.peer.status().version, b.peer.status().version), (Some(2), Some(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_differ() {
    let site = Site::new("north");
    let a = Config { terms: "operator".to_owned(), ..site.config(Room::A) };
    let both = "the rooms are set differently: room a has `operator`, room b `witness, lease 2 s`: give both \
                what one site file says";
    check(pair_of(a, site.config(Room::B)), [both, both], [both, both]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_far_apart() {
    let site = Site::new("north");
    let late = Local { clock: || wall() - 3 * 366 * 24 * 60 * 60, ..Local::default() };
    let rooms = pair_with(site.config(Room::A), Local::default(), site.config(Room::B), late);
    let both = "the clock of room a is 3 years ahead of room b's: set the one that is wrong";
    check(rooms, [both, both], [both, both]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_hours_apart_do() {
    let site = Site::new("north");
    let late = Local { clock: || wall() - 20 * 60 * 60, ..Local::default() };
    let (a, b) = pair_with(site.config(Room::A), Local::default(), site.config(Room::B), late);
    connected(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_renewed_on_the_disk_are_used() {
    let (site, other) = (Site::new("north"), Site::new("north"));
    let b = with(site.config(Room::B), other.sign("room-b.north.duet.internal", "room-b"));
    let kept = (b.cert_file.clone(), b.key_file.clone(), b.ca_file.clone());
    let (a, b) = pair_of(site.config(Room::A), b);
    a.until(|status| {
        status.why_not.as_deref().is_some_and(|why| why.contains("does not know: another site's?"))
    })
    .await;
    // As it is done with files: one after the other, so that for a moment they do not fit.
    let new = site.sign("room-b.north.duet.internal", "new");
    for (from, to) in [(new.key, kept.1), (new.cert, kept.0), (new.ca, kept.2)] {
        let beside = to.with_extension("next");
        fs::copy(from, &beside).unwrap();
        fs::rename(beside, to).unwrap();
    }
    connected(&a, &b).await;
}

#[tokio::test]
async fn what_cannot_be_a_link_is_named() {
    let site = Site::new("north");
    for name in ["", "two.labels", "North", "a b"] {
        let config = Config { site: name.to_owned(), ..site.config(Room::A) };
        let error = Bound::bind(config, Local::default()).err().unwrap();
        assert!(matches!(error, PeerError::Site { .. }), "{name:?}: {error}");
    }
    let (bound, _other) = {
        let bound = Bound::bind(site.config(Room::A), Local::default()).unwrap();
        let mut config = site.config(Room::A);
        config.listen = bound.addresses.clone();
        (Bound::bind(config, Local::default()), bound)
    };
    assert!(matches!(bound.err().unwrap(), PeerError::Listen { .. }));
    let mut config = site.config(Room::A);
    config.key_file = config.cert_file.clone();
    let bound = Bound::bind(config, Local::default()).unwrap();
    let ears = Heard::start(Bound::bind(site.config(Room::A), Local::default()).unwrap()).ears;
    assert!(matches!(bound.start(ears).err().unwrap(), PeerError::Certificates(_)));
}

#[tokio::test]
async fn both_families_are_listened_on() {
    let site = Site::new("north");
    let mut config = site.config(Room::A);
    config.listen = vec!["0.0.0.0:0".parse().unwrap()];
    let four = Bound::bind(config.clone(), Local::default()).unwrap();
    let port = four.addresses[0].port();
    drop(four);
    config.listen =
        vec![format!("0.0.0.0:{port}").parse().unwrap(), format!("[::]:{port}").parse().unwrap()];
    let both = Bound::bind(config, Local::default()).unwrap();
    assert_eq!(both.addresses.len(), 2);
}
