//! Seeds that are not taken, and the screen that a person then sees.

use super::*;
use crate::screen::tests::framed;
use crate::screen::{self, Page};
use crate::status::{Release, Seen, Status, Storage, collect};
use crate::systemd::Units;

/// Boots and compares the screen that a person then sees.
fn check_refused(toy: &Toy, expected: &Expect) {
    let node = toy.boot();
    assert_eq!(node.identity, None);
    assert_eq!(*toy.hostname.borrow(), UNSEEDED);
    assert!(!toy.exists(AUTHORIZED_KEYS), "somebody may log in");
    assert_eq!(toy.files(NETWORKD), [], "the image's own default is in force");
    assert_eq!(toy.read(TIME_SOURCES), PUBLIC_TIME);
    toy.write(NODE, &serde_json::to_string(&node).unwrap());
    toy.write(crate::root::BOOT_RECORD, r#"{"root_hash":"3f9a1c20b7e4d5f6","slot":"a"}"#);
    let seen = Seen {
        verified: true,
        units: Ok(Units::default()),
        hostname: toy.hostname.borrow().clone(),
        release: Release { version: Some("0.1.0".into()), image: None },
        storage: Storage { path: "/var".into(), used_bytes: 1, free_bytes: 99_000_000_000 },
        ..collect::files(&toy.root, &[])
    };
    let page = screen::render(&Status::of(&seen), Page { colour: false, ..Page::CONSOLE });
    expected.assert_eq(&framed(&page));
}

#[test]
fn without_a_seed_nobody_is_let_in() {
    let toy = Toy::new();
    fs::create_dir_all(toy.root.path("/efi/duet")).unwrap();
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! This machine does not know who it is: there is no /efi/duet/seed.toml.
            |    Cure: On the workstation build the image again from site.toml, and write
            |          it to this machine or copy the three seed files to its EFI
            |          partition.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn a_seed_that_was_changed_is_refused() {
    let toy = Toy::seeded(&key());
    let text = toy.read(SEED).replace("my-campus-a1", "my-campus-a2");
    toy.write(SEED, &text);
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! The seed's signature does not match: the seed was changed after it was
            |    signed.
            |    Cure: seed.toml cannot be edited on the machine. Change site.toml instead.
            |          On the workstation build the image again from site.toml and copy the
            |          three seed files to the ESP.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
    assert!(!toy.exists(SITE_KEY), "a bad first seed pins nothing");
}

#[test]
fn a_seed_of_another_site_is_refused() {
    let toy =
        Toy::seeded(&"MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH".key());
    toy.boot();
    let pinned = toy.read(SITE_KEY);
    toy.write_seed(&"MC4CAQAwBQYDK2VwBCIEIAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI".key(), None);
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! The seed was signed by another site's key 5c29b78f10a35a49; this machine
            |    belongs to fe812c12f3ab4ce6.
            |    Cure: Write a seed of this machine's own site, or erase its state
            |          partition to give it to another site.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
    assert_eq!(toy.read(SITE_KEY), pinned);
}

/// Keys that do not change from run to run, from the base64 of their PKCS#8.
trait Key {
    fn key(&self) -> ReleaseKey;
}

impl Key for &str {
    fn key(&self) -> ReleaseKey {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{self}\n-----END PRIVATE KEY-----\n");
        ReleaseKey::parse(&pem).unwrap()
    }
}

#[test]
fn an_expired_seed_is_refused() {
    let key = key();
    let toy = Toy::seeded(&key);
    toy.boot();
    toy.write_seed(&key, Some("2026-11-24T07:00:00Z"));
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! The seed expired at 2026-11-24T07:00:00Z, and it is 2026-11-24T08:00:00Z.
            |    Cure: Write a new seed, or set the machine's clock if it is wrong. On the
            |          workstation build the image again from site.toml and copy the three
            |          seed files to the ESP.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn half_a_seed_is_refused() {
    let toy = Toy::seeded(&key());
    fs::remove_file(toy.root.path(SEED_SIGNATURE)).unwrap();
    check_refused(
        &toy,
        &expect![[r#"
            |
            |  duet-unseeded                                                     Needs help
            |  without a good seed
            |  ----------------------------------------------------------------------------
            |  System     Duet 0.1.0 in slot A
            |  Network    no card
            |  Clock      follows no time server yet
            |  Storage    /var is 1 % full, 99 GB free
            |  Up         less than a minute
            |
            |  ! This machine does not know who it is: there is no /efi/duet/seed.sig.
            |    Cure: On the workstation build the image again from site.toml, and write
            |          it to this machine or copy the three seed files to its EFI
            |          partition.
            |
            |  ----------------------------------------------------------------------------
            |  This screen only shows. Log in with ssh as root, with a key of the seed.
        "#]],
    );
}

#[test]
fn a_new_seed_takes_the_place_of_all_that_the_old_one_said() {
    let key = key();
    let toy = Toy::seeded(&key);
    toy.boot();
    assert!(toy.exists(DISKS_SETTINGS));
    toy.write("/run/systemd/network/50-other.network", "somebody else's");
    toy.write(SEED, "");
    // In the same boot, without an empty /run.
    let node = apply(&toy.root, &toy);
    assert_eq!(codes(&node), ["seed.signature"]);
    assert!(!toy.exists(AUTHORIZED_KEYS) && !toy.exists(DISKS_SETTINGS));
    let names: Vec<String> = toy.files(NETWORKD).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["/run/systemd/network/50-other.network"]);
}
