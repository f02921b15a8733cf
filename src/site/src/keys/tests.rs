//! Keys are read back as they were written, and nothing else is taken for one.
#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};

use super::*;

fn keys() -> SiteKeys {
    let now = "2026-11-23T08:00:00Z".parse().unwrap();
    SiteKeys::generate(&"my-campus".parse().unwrap(), now).unwrap()
}

fn file(keys: &SiteKeys, name: &str) -> Zeroizing<String> {
    keys.files().into_iter().find(|file| file.name == name).unwrap().contents
}

fn reason<T: fmt::Debug>(result: Result<T, KeyError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn every_file_is_read_back() {
    let keys = keys();
    let release = ReleaseKey::parse(&file(&keys, "release.key")).unwrap();
    assert_eq!(release.public(), keys.release.public());
    assert_eq!(file(&keys, "release.pub").parse(), Ok(release.public()));
    let authority = Authority::parse(&file(&keys, "ca.crt"), &file(&keys, "ca.key")).unwrap();
    assert_eq!(authority.certificate(), keys.authority.certificate());
    assert_eq!(file(&keys, "join.token").parse(), Ok(keys.join.clone()));
}

#[test]
fn secrets_are_their_owners_alone_and_everything_says_where_it_belongs() {
    let keys = keys();
    let files = keys.files();
    let modes: Vec<_> = files.iter().map(|file| (file.name, file.mode)).collect();
    assert_eq!(
        modes,
        [
            ("release.key", 0o600),
            ("release.pub", 0o644),
            ("ca.key", 0o600),
            ("ca.crt", 0o644),
            ("join.token", 0o600),
            ("operator.key", 0o600),
            ("operator.crt", 0o644),
            ("room-a.key", 0o600),
            ("room-a.crt", 0o644),
            ("room-b.key", 0o600),
            ("room-b.crt", 0o644),
        ]
    );
    for file in &files {
        assert_eq!(file.is_secret(), file.mode == 0o600);
        assert!(file.advice.ends_with('.') && file.contents.ends_with('\n'), "{}", file.name);
    }
}

#[test]
fn no_secret_is_shown_by_debug() {
    let keys = keys();
    let shown = format!("{keys:?} {:?}", keys.files());
    for name in ["release.key", "ca.key", "join.token", "operator.key", "room-a.key", "room-b.key"]
    {
        for line in file(&keys, name).lines() {
            assert!(!shown.contains(line), "{name} is shown");
        }
    }
    assert!(shown.contains(&keys.release.public().id().to_string()));
}

#[test]
fn two_sites_have_nothing_in_common() {
    let (one, other) = (keys(), keys());
    for file in one.files() {
        assert!(other.files().iter().all(|it| it.contents != file.contents), "{}", file.name);
    }
}

#[test]
fn release_keys_are_those_of_other_programs() {
    // The example of RFC 8410, section 10.
    let pem = "-----BEGIN PRIVATE KEY-----\n\
               MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
               -----END PRIVATE KEY-----\n";
    let key = ReleaseKey::parse(pem).unwrap();
    let public = "duet-ed25519 Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    assert_eq!(key.public().to_string(), public);
    assert_eq!(key.to_pem().as_str(), pem);
    assert_eq!(file(&keys(), "release.key").len(), pem.len());
}

#[test]
fn a_signature_holds_for_its_message_and_key_only() {
    let (one, other) = (keys().release, keys().release);
    let signature = one.sign(b"message");
    assert!(one.public().signed(b"message", &signature));
    assert!(!one.public().signed(b"massage", &signature));
    assert!(!other.public().signed(b"message", &signature));
    assert!(!one.public().signed(b"message", &signature[..63]));
}

#[test]
fn the_certificate_says_whose_it_is_and_how_long() {
    let keys = keys();
    let der = one_pem_block(&file(&keys, "ca.crt"), "CERTIFICATE", "a certificate").unwrap();
    let has = |text: &str| der.windows(text.len()).any(|part| part == text.as_bytes());
    // UTCTime, as RFC 5280, section 4.1.2.5.1, writes years before 2050.
    assert!(has("site my-campus") && has("200101000000Z") && has("461118080000Z"));
}

#[test]
fn the_operator_is_signed_by_the_authority_and_named() {
    let keys = keys();
    let der =
        |name: &str| one_pem_block(&file(&keys, name), "CERTIFICATE", "a certificate").unwrap();
    let (operator, authority) = (der("operator.crt"), der("ca.crt"));
    let has = |part: &[u8]| operator.windows(part.len()).any(|bytes| bytes == part);
    assert!(has(b"operator.my-campus.duet.internal") && has(b"site my-campus"));
    assert!(has(b"200101000000Z") && has(b"461118080000Z"), "as long as the authority");
    assert_ne!(operator, authority);
}

fn check_file(name: &str, change: impl Fn(&str) -> String, expected: Expect) {
    let keys = keys();
    let text = change(&file(&keys, name));
    let reason = match name {
        "release.key" => reason(ReleaseKey::parse(&text)),
        "release.pub" => reason(text.parse::<PublicKey>()),
        "ca.key" => reason(Authority::parse(&file(&keys, "ca.crt"), &text)),
        "ca.crt" => reason(Authority::parse(&text, &file(&keys, "ca.key"))),
        _ => reason(text.parse::<JoinToken>()),
    };
    expected.assert_eq(&reason);
}

#[test]
fn damaged_keys_are_refused_for_a_reason() {
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let twice = |text: &str| format!("{text}{text}");
    check_file(
        "release.key",
        cut,
        expect!["this is not a release key: it has no whole -----BEGIN block"],
    );
    check_file(
        "release.key",
        twice,
        expect!["this is not a release key: it has more than one -----BEGIN block"],
    );
    check_file(
        "release.key",
        |text| text.replace("PRIVATE", "PUBLIC"),
        expect!["this is not a release key: its -----BEGIN line names something else"],
    );
    check_file(
        "release.key",
        |_| file(&keys(), "ca.key").to_string(),
        expect!["this is not a release key: it holds no Ed25519 key"],
    );
    check_file(
        "release.key",
        |_| String::new(),
        expect!["this is not a release key: it has no whole -----BEGIN block"],
    );
    check_file(
        "release.pub",
        cut,
        expect!["this is not a site's public key: it is not 32 bytes long"],
    );
    check_file(
        "release.pub",
        |_| "ssh-ed25519 AAAA".into(),
        expect!["this is not a site's public key: it does not begin with `duet-ed25519`"],
    );
    check_file(
        "release.pub",
        |_| "duet-ed25519 AAAA".into(),
        expect!["this is not a site's public key: it is not 32 bytes long"],
    );
    check_file(
        "ca.key",
        |_| file(&keys(), "ca.key").to_string(),
        expect!["the site's certificate and its private key do not belong together"],
    );
    check_file(
        "ca.crt",
        |_| to_pem("CERTIFICATE", &[0x30, 0x82, 1, 0, 7]),
        expect!["this is not a certificate: what it holds is damaged"],
    );
    check_file(
        "join.token",
        cut,
        expect!["this is not a join token: it has other signs than 0-9 and a-f"],
    );
    check_file(
        "join.token",
        |_| "K10secret".into(),
        expect!["this is not a join token: it does not begin with `duetjoin1_`"],
    );
    check_file(
        "join.token",
        |text| text.replace('_', "_x"),
        expect!["this is not a join token: it has other signs than 0-9 and a-f"],
    );
    let slip = |text: &str| {
        let end = if text.trim().ends_with('0') { "1" } else { "0" };
        format!("{}{end}", &text[..text.trim().len() - 1])
    };
    check_file(
        "join.token",
        slip,
        expect!["this is not a join token: there is a slip in it: its checksum does not fit"],
    );
    check_file(
        "join.token",
        |text| format!(" {} ", text.trim().replace("duetjoin1_", "duetjoin1_00")),
        expect!["this is not a join token: a part of it is missing"],
    );
}

#[test]
fn a_token_survives_capital_letters() {
    let token = keys().join;
    let digits = token.reveal().strip_prefix("duetjoin1_").unwrap().to_uppercase();
    assert_eq!(format!("duetjoin1_{digits}").parse(), Ok(token));
}
