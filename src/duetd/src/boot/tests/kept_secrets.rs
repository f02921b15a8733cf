//! The seed's secrets, from the ESP to the state partition, and the key that is made of them.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn secrets_move_off_the_esp_and_make_the_machines_own_key() {
    let toy = Toy::seeded(&key());
    assert_eq!(codes(&toy.boot()), [""; 0]);
    assert!(!toy.exists(SEED_SECRETS), "they are still there for everybody");
    assert!(!*toy.esp_is_open.borrow());
    assert_eq!(toy.read(KEPT_SECRETS), secrets(0));
    let mode = |path| fs::metadata(toy.root.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!([KEPT_SECRETS, IDENTITY_KEY].map(mode), [0o600, 0o600]);
    assert_eq!(["/var/lib/duet/secrets", "/var/lib/duet/identity"].map(mode), [0o700, 0o700]);
    let first = toy.read(IDENTITY_CERTIFICATE);
    assert_eq!(first.matches("BEGIN CERTIFICATE").count(), 2, "its own and its room's");
    assert_eq!(codes(&toy.boot()), [""; 0]);
    assert_eq!(toy.read(IDENTITY_CERTIFICATE), first, "the key is made once");
    let run: String = toy.files("/run").into_iter().map(|(_, text)| text).collect();
    assert!(!run.contains("PRIVATE KEY") && !run.contains("duetjoin1_"), "{run}");
}

#[test]
fn a_power_cut_while_secrets_move_loses_none() {
    let key = key();
    // They were kept, and the ESP still has them.
    let toy = Toy::seeded(&key);
    toy.boot();
    let certificate = toy.read(IDENTITY_CERTIFICATE);
    toy.write(SEED_SECRETS, secrets(0));
    assert_eq!(codes(&toy.boot()), [""; 0]);
    assert!(!toy.exists(SEED_SECRETS));
    // They were being written, or the machine's key was.
    let toy = Toy::seeded(&key);
    toy.write(&format!("{KEPT_SECRETS}.new"), &secrets(0)[..100]);
    toy.write("/var/lib/duet/identity.new/node.key", "-----BEGIN PRIV");
    assert_eq!(codes(&toy.boot()), [""; 0]);
    assert_eq!(toy.read(KEPT_SECRETS), secrets(0));
    assert_ne!(toy.read(IDENTITY_CERTIFICATE), certificate, "another machine has another key");
    // They were overwritten, and not yet removed.
    toy.write(SEED_SECRETS, &"\0".repeat(secrets(0).len()));
    assert_eq!(codes(&toy.boot()), ["secrets.other"]);
    assert!(toy.exists(STORE_SETTINGS));
}

#[test]
fn a_machine_without_its_rooms_secrets_takes_no_part() {
    let key = key();
    for (change, code) in [
        (None, "secrets.missing"),
        (Some(secrets(1).to_owned()), "secrets.bad"),
        (Some(secrets(0)[..300].to_owned()), "secrets.bad"),
    ] {
        let toy = Toy::seeded(&key);
        match &change {
            None => fs::remove_file(toy.root.path(SEED_SECRETS)).unwrap(),
            Some(text) => toy.write(SEED_SECRETS, text),
        }
        assert_eq!(codes(&toy.boot()), [code]);
        assert!(!toy.exists(STORE_SETTINGS) && !toy.exists(AGENT_SETTINGS));
        assert!(toy.exists(AUTHORIZED_KEYS), "somebody can log in and help");
        assert_eq!(toy.exists(SEED_SECRETS), change.is_some(), "nothing is destroyed");
        // The right ones are copied to the ESP.
        toy.write(SEED_SECRETS, secrets(0));
        assert_eq!(codes(&toy.boot()), [""; 0]);
        assert!(toy.exists(STORE_SETTINGS) && toy.exists(AGENT_SETTINGS));
    }
}

#[test]
fn a_damaged_machine_key_is_made_again() {
    let toy = Toy::seeded(&key());
    toy.boot();
    for path in [IDENTITY_KEY, IDENTITY_CERTIFICATE, IDENTITY_SOURCE] {
        let before = toy.read(IDENTITY_KEY);
        toy.write(path, "");
        assert_eq!(codes(&toy.boot()), [""; 0]);
        assert!(toy.read(IDENTITY_KEY) != before && !toy.read(path).is_empty(), "{path}");
    }
}
