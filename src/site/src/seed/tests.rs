//! Seeds are read back as they were signed; every other one is refused for its own reason.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use expect_test::{Expect, expect};
use miette::Diagnostic;

use super::*;
use crate::Site;
use crate::keys::{Authority, PublicKey, ReleaseKey};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 ada@example";

const SITE: &str = "name = 'my-campus'\n\
    [room.a]\ntitle = 'Building 1'\n\
    [room.b]\ntitle = 'Building 2'\n\
    [room.b.network]\nmode = 'static'\naddresses = ['192.0.2.10/24', '2001:db8::10/64']\n\
    gateway = '192.0.2.1'\ndns = ['192.0.2.53']\nsearch = ['example.org']\nvlan = 20\nmtu = 9000\n\
    bond = { mode = '802.3ad', members = ['enp1s0', '52:54:00:ab:cd:02'] }\n\
    [time]\nservers = ['ntp.example.org', '2.debian.pool.ntp.org', '192.0.2.123']\n";

/// A certificate whose bytes do not change from run to run.
fn certificate() -> Certificate {
    let base64 = data_encoding::BASE64.encode(&[&[0x30, 0x82, 0, 7][..], b"example"].concat());
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n").parse().unwrap()
}

fn seed(room: Room, expires: Option<Timestamp>) -> Seed {
    let text = format!("{SITE}[ssh]\nkeys = ['{KEY}']\n");
    let site = Site::parse(&text, Path::new("site.toml")).unwrap();
    site.seed(room, Role::Control, &certificate(), "secret", time("2026-11-23T08:00:00Z"), expires)
        .unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key() -> ReleaseKey {
    ReleaseKey::generate(&ring::rand::SystemRandom::new()).unwrap()
}

fn verify_text(
    text: &str,
    signature: &str,
    pinned: Option<&PublicKey>,
) -> Result<Verified, SeedError> {
    verify(text.as_bytes(), signature.as_bytes(), pinned, time("2026-11-24T08:00:00Z"))
}

fn check(result: Result<Verified, SeedError>, expected: Expect) {
    let error = result.unwrap_err();
    let (code, help) = (error.code().unwrap(), error.help().unwrap());
    expected.assert_eq(&format!("{code}\n{error}\nhint: {help}"));
}

#[test]
fn a_seed_is_canonical_text() {
    expect![[r#"
        format = 2
        site = "my-campus"
        room = "a"
        room_title = "Building 1"
        role = "control"
        hostname = "my-campus-a1"
        issued = "2026-11-23T08:00:00Z"
        ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 ada@example"]
        time_servers = ["ntp.example.org", "2.debian.pool.ntp.org", "192.0.2.123"]
        ca_certificate = """
        -----BEGIN CERTIFICATE-----
        MIIAB2V4YW1wbGU=
        -----END CERTIFICATE-----
        """
        secrets_sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
        room_b_hosts = ["192.0.2.10", "2001:db8::10"]

        [network]
        addressing = "dhcp"

        [network.link.single]
        interface = "en* eth*"

        [pair]
        authority = "operator"
        discovery = true

        [kubernetes]
        cluster_cidr = ["10.42.0.0/16"]
        service_cidr = ["10.43.0.0/16"]
        cluster_domain = "cluster.local"
        flannel_backend = "vxlan"
        workloads_on_control = true
        secrets_encryption = true
    "#]].assert_eq(&encode(&seed(Room::A, None)));
    expect![[r#"
        format = 2
        site = "my-campus"
        room = "b"
        room_title = "Building 2"
        role = "control"
        hostname = "my-campus-b1"
        issued = "2026-11-23T08:00:00Z"
        expires = "2036-11-23T08:00:00Z"
        ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 ada@example"]
        time_servers = ["ntp.example.org", "2.debian.pool.ntp.org", "192.0.2.123"]
        ca_certificate = """
        -----BEGIN CERTIFICATE-----
        MIIAB2V4YW1wbGU=
        -----END CERTIFICATE-----
        """
        secrets_sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
        room_b_hosts = ["192.0.2.10", "2001:db8::10"]

        [network]
        mtu = 9000
        vlan = 20
        dns = ["192.0.2.53"]
        search = ["example.org"]

        [network.link.bond]
        mode = "802.3ad"
        members = ["enp1s0", "52:54:00:ab:cd:02"]

        [network.addressing.static]
        addresses = ["192.0.2.10/24", "2001:db8::10/64"]
        gateways = ["192.0.2.1"]

        [pair]
        authority = "operator"
        discovery = true

        [kubernetes]
        cluster_cidr = ["10.42.0.0/16"]
        service_cidr = ["10.43.0.0/16"]
        cluster_domain = "cluster.local"
        flannel_backend = "vxlan"
        workloads_on_control = true
        secrets_encryption = true
    "#]].assert_eq(&encode(&seed(Room::B, Some(time("2036-11-23T08:00:00Z")))));
}

#[test]
fn a_signed_seed_is_read_back_with_its_signer() {
    let key = key();
    for room in Room::ALL {
        let seed = seed(room, Some(time("2036-11-23T08:00:00Z")));
        let (text, signature) = sign(&seed, &key);
        let expected = Verified { seed, signer: key.public() };
        assert_eq!(verify_text(&text, &signature, None).as_ref(), Ok(&expected));
        assert_eq!(verify_text(&text, &signature, Some(&key.public())), Ok(expected));
    }
    let real = Authority::generate(&"x".parse().unwrap(), time("2026-11-23T08:00:00Z")).unwrap();
    let seed = Seed { ca_certificate: real.certificate().clone(), ..seed(Room::A, None) };
    let (text, signature) = sign(&seed, &key);
    assert_eq!(verify_text(&text, &signature, None).unwrap().seed, seed);
}

#[test]
fn rules_for_disks_travel_and_a_seed_without_them_takes_none() {
    let text = format!("{SITE}[disks]\nempty = true\n[room.a.disks]\nerase = ['S1']\n");
    let site = Site::parse(&text, Path::new("site.toml")).unwrap();
    let issued = time("2026-11-23T08:00:00Z");
    let seed = site.seed(Room::A, Role::Control, &certificate(), "secret", issued, None).unwrap();
    let (text, signature) = sign(&seed, &key());
    expect![[r#"

        empty = true
        min_gib = 16
        erase = ["S1"]
    "#]]
    .assert_eq(text.split_once("[disks]").unwrap().1);
    assert_eq!(verify_text(&text, &signature, None).unwrap().seed, seed);
    assert!(!encode(&self::seed(Room::A, None)).contains("[disks]"));
    let (text, signature) = sign(&self::seed(Room::A, None), &key());
    assert!(!verify_text(&text, &signature, None).unwrap().seed.disks.wants_any());
}

#[test]
fn one_changed_byte_is_noticed_wherever_it_is() {
    let (text, signature) = sign(&seed(Room::A, None), &key());
    for index in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[index] ^= 1;
        let result = verify(&bytes, signature.as_bytes(), None, time("2026-11-24T08:00:00Z"));
        assert_eq!(result, Err(SeedError::Signature), "byte {index}");
    }
    for index in 0..signature.len() {
        let mut bytes = signature.clone().into_bytes();
        bytes[index] ^= 1;
        let result = verify(text.as_bytes(), &bytes, None, time("2026-11-24T08:00:00Z"));
        assert!(result.is_err(), "byte {index}");
    }
}

#[test]
fn a_seed_that_was_edited_is_refused() {
    let (text, signature) = sign(&seed(Room::A, None), &key());
    let edited = text.replace("my-campus-a1", "my-campus-b1");
    check(
        verify_text(&edited, &signature, None),
        expect![[r#"
        integrity::seed_signature
        the seed's signature does not match: the seed was changed after it was signed
        hint: seed.toml cannot be edited on the machine. Change site.toml instead. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
}

#[test]
fn a_seed_of_another_site_is_refused_by_name() {
    let (own, other) = (key(), key());
    let (text, signature) = sign(&seed(Room::A, None), &other);
    let result = verify_text(&text, &signature, Some(&own.public()));
    let (signer, pinned) = (other.public().id(), own.public().id());
    assert_eq!(result, Err(SeedError::OtherSite { signer, pinned }));
    let text = result.unwrap_err().to_string();
    assert!(text.contains(&signer.to_string()) && text.contains(&pinned.to_string()), "{text}");
}

#[test]
fn a_seed_ends_when_it_says() {
    let key = key();
    let signed = |expires: &str| sign(&seed(Room::A, Some(time(expires))), &key);
    let (text, signature) = signed("2026-11-24T08:00:01Z");
    assert!(verify_text(&text, &signature, None).is_ok());
    let (text, signature) = signed("2026-11-24T08:00:00Z");
    check(
        verify_text(&text, &signature, None),
        expect![[r#"
        integrity::seed_expired
        the seed expired at 2026-11-24T08:00:00Z, and it is 2026-11-24T08:00:00Z
        hint: write a new seed, or set the machine's clock if it is wrong. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
}

/// Signs a text that [`encode`] would not write.
fn sign_text(text: &str, key: &ReleaseKey) -> String {
    let signature =
        data_encoding::BASE64.encode(&key.sign(format!("duet seed v1\n{text}").as_bytes()));
    let public = key.public();
    format!(
        "duet seed signature v1\nkey-id: {}\npublic-key: {public}\nsignature: {signature}\n",
        public.id()
    )
}

#[test]
fn signed_texts_that_are_no_seed_are_refused() {
    let key = key();
    let good = encode(&seed(Room::A, None));
    let check_text = |text: &str, expected| {
        check(verify_text(text, &sign_text(text, &key), None), expected);
    };
    check_text(
        "",
        expect![[r#"
        integrity::seed_form
        the seed is malformed: it does not say its format
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check_text(
        "format = \n",
        expect![[r#"
        integrity::seed_form
        the seed is malformed: line 1: string values must be quoted, expected literal string
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check_text(
        "format = 3\nnews = 1\n",
        expect![[r#"
        integrity::seed_format
        the seed has format 3, this image reads format 2
        hint: write the seed with the release of `duet` that built this image, or install a newer image"#]],
    );
    check_text(
        &good.replace("room = \"a\"", "room = \"c\""),
        expect![[r#"
        integrity::seed_form
        the seed is malformed: line 3: `c` is not a room
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check_text(
        &format!("colour = 1\n{good}"),
        expect![[r#"
            integrity::seed_form
            the seed is malformed: line 1: unknown field `colour`, expected one of `format`, `site`, `room`, `room_title`, `role`, `hostname`, `naming`, `issued`, `expires`, `ssh_keys`, `time_servers`, `ca_certificate`, `secrets_sha256`, `room_a_hosts`, `room_b_hosts`, `network`, `pair`, `kubernetes`, `disks`
            hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check_text(
        &good.replace("Building 1", "\\u001b[2J"),
        expect![[r#"
        integrity::seed_form
        the seed is malformed: the room's title is not one line of text
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    let impossible = encode(&seed(Room::B, None)).replace("192.0.2.10/24", "192.0.2.0/24");
    check_text(
        &impossible,
        expect![[r#"
            integrity::seed_form
            the seed is malformed: line 29: 192.0.2.0 is the address of the subnet itself, not the address of a machine
            hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
}

#[test]
fn files_that_are_no_signed_seed_are_refused() {
    let (text, signature) = sign(&seed(Room::A, None), &key());
    let now = time("2026-11-24T08:00:00Z");
    check(
        verify(b"\xff\xfe", signature.as_bytes(), None, now),
        expect![[r#"
        integrity::seed_text
        the seed is not UTF-8 text
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check(
        verify(text.as_bytes(), &[0xff; 64], None, now),
        expect![[r#"
        integrity::seed_text
        the seed's signature is not UTF-8 text
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check(
        verify(&vec![b' '; 1 << 20], signature.as_bytes(), None, now),
        expect![[r#"
        integrity::seed_size
        the seed has 1048576 bytes
        hint: it is some other file. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check(
        verify_text(&text, "", None),
        expect![[r#"
        integrity::seed_form
        the seed's signature is malformed: its first line is not `duet seed signature v1`
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check(
        verify_text(&text, &signature.replace(" v1", " v2"), None),
        expect![[r#"
        integrity::seed_form
        the seed's signature is malformed: its first line is not `duet seed signature v1`
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    let without: String = signature.lines().take(3).map(|line| format!("{line}\n")).collect();
    check(
        verify_text(&text, &without, None),
        expect![[r#"
        integrity::seed_form
        the seed's signature is malformed: the line `signature: …` is missing
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check(
        verify_text(&text, &format!("{signature}more\n"), None),
        expect![[r#"
        integrity::seed_form
        the seed's signature is malformed: it has more than four lines
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
    check(
        verify_text(&text, &signature.replace("duet-ed25519 ", "rsa "), None),
        expect![[r#"
        integrity::seed_form
        the seed's signature is malformed: this is not a site's public key: it does not begin with `duet-ed25519`
        hint: the file is damaged. On the workstation build the image again from site.toml and copy the three seed files to the ESP"#]],
    );
}

#[test]
fn a_signature_for_something_else_is_none_for_a_seed() {
    let key = key();
    let text = encode(&seed(Room::A, None));
    let bare = data_encoding::BASE64.encode(&key.sign(text.as_bytes()));
    let (_, signature) = sign(&seed(Room::A, None), &key);
    let lines: Vec<&str> = signature.lines().take(3).collect();
    let forged = format!("{}\nsignature: {bare}\n", lines.join("\n"));
    assert_eq!(verify_text(&text, &forged, None), Err(SeedError::Signature));
}

#[test]
fn services_are_told_what_the_seed_says() {
    let seed = seed(Room::A, None);
    assert_eq!(
        seed.chrony_sources(),
        "server ntp.example.org iburst\npool 2.debian.pool.ntp.org iburst\nserver 192.0.2.123 iburst\n"
    );
    assert_eq!(seed.authorized_keys(), format!("{KEY}\n"));
}
