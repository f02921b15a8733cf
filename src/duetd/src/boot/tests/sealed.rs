//! The seed's secrets on a machine with a TPM: one that works, one that is broken or another machine's, and
//! when the power goes off in between.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::node::Keeping;
use crate::root::SEALED_SECRETS;
use crate::status::{Health, Seen, Status, Storage, collect};
use crate::systemd::Units;

/// A machine with a seed and this TPM.
fn with(tpm: Tpm) -> Toy {
    let toy = Toy::seeded(&key());
    toy.tpm.replace(tpm);
    toy
}

/// Where the secrets can be read as they are.
fn in_clear(toy: &Toy) -> Vec<String> {
    let folders = ["/efi", "/var", "/run"].into_iter().flat_map(|folder| {
        let mut found = Vec::new();
        let mut folders = vec![toy.root.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path => found.push(path),
                }
            }
        }
        found
    });
    let secret = &secrets(0).as_bytes()[..100];
    let holds = |path: &std::path::PathBuf| {
        fs::read(path).unwrap().windows(secret.len()).any(|window| window == secret)
    };
    let name = |path: std::path::PathBuf| {
        format!("/{}", path.strip_prefix(toy._dir.path()).unwrap().display())
    };
    folders.filter(holds).map(name).collect()
}

fn notices(node: &Node) -> Vec<&str> {
    node.notices.iter().map(|notice| notice.code.as_str()).collect()
}

/// The machine does its work, with its secrets in these files and kept so.
#[track_caller]
fn check(toy: &Toy, node: &Node, keeping: Keeping, clear: &[&str]) {
    assert_eq!(codes(node), [""; 0]);
    assert_eq!(node.secrets, Some(keeping));
    assert_eq!(in_clear(toy), clear);
    assert!(toy.exists(STORE_SETTINGS) && toy.exists(AGENT_SETTINGS));
    assert!(!*toy.esp_is_open.borrow());
}

#[test]
fn a_tpm_seals_what_is_kept() {
    let toy = with(Tpm::Chip(1));
    let node = toy.boot();
    check(&toy, &node, Keeping::Sealed, &[]);
    assert_eq!(notices(&node), [""; 0]);
    assert!(!toy.exists(SEED_SECRETS) && !toy.exists(KEPT_SECRETS));
    let mode = |path| fs::metadata(toy.root.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(SEALED_SECRETS), mode("/var/lib/duet/secrets")], [0o600, 0o700]);
    let sealed = fs::read(toy.root.path(SEALED_SECRETS)).unwrap();
    let again = toy.boot();
    check(&toy, &again, Keeping::Sealed, &[]);
    assert_eq!(again, node);
    assert_eq!(fs::read(toy.root.path(SEALED_SECRETS)).unwrap(), sealed, "it is sealed once");
}

#[test]
fn a_machine_that_gets_a_tpm_later_seals_what_it_kept() {
    let toy = with(Tpm::None);
    check(&toy, &toy.boot(), Keeping::File, &[KEPT_SECRETS]);
    toy.tpm.replace(Tpm::Chip(1));
    check(&toy, &toy.boot(), Keeping::Sealed, &[]);
}

#[test]
fn a_power_cut_while_secrets_are_sealed_loses_none() {
    // The sealed file is there, and what it was made of still is, too: on the ESP, in the state partition,
    // or half overwritten there.
    for (path, text) in [
        (SEED_SECRETS, secrets(0).to_owned()),
        (KEPT_SECRETS, secrets(0).to_owned()),
        (KEPT_SECRETS, format!("{}{}", "\0".repeat(50), &secrets(0)[50..])),
        (KEPT_SECRETS, "\0".repeat(secrets(0).len())),
    ] {
        let toy = with(Tpm::Chip(1));
        toy.boot();
        toy.write(path, &text);
        check(&toy, &toy.boot(), Keeping::Sealed, &[]);
        assert!(!toy.exists(path), "{path}");
    }
    // The sealed file was being written, with all else as it was.
    for source in [SEED_SECRETS, KEPT_SECRETS] {
        let toy = with(Tpm::None);
        if source == KEPT_SECRETS {
            toy.boot();
        }
        toy.tpm.replace(Tpm::Chip(1));
        toy.write(&format!("{SEALED_SECRETS}.new"), "half");
        check(&toy, &toy.boot(), Keeping::Sealed, &[]);
        assert!(!toy.exists(&format!("{SEALED_SECRETS}.new")));
    }
    // An earlier start, without a TPM, was interrupted while it wrote the other file.
    let toy = with(Tpm::Chip(1));
    toy.write(&format!("{KEPT_SECRETS}.new"), secrets(0));
    check(&toy, &toy.boot(), Keeping::Sealed, &[]);
}

#[test]
fn a_tpm_that_fails_to_seal_is_done_without_and_is_no_call_for_help() {
    for tpm in [Tpm::Broken, Tpm::Forgetful] {
        let toy = with(tpm);
        for _ in 0..2 {
            let node = toy.boot();
            check(&toy, &node, Keeping::File, &[KEPT_SECRETS]);
            assert_eq!(notices(&node), ["secrets.not-sealed"]);
            assert!(!toy.exists(SEALED_SECRETS), "nothing is kept that does not open");
        }
        toy.tpm.replace(Tpm::Chip(1));
        let node = toy.boot();
        check(&toy, &node, Keeping::Sealed, &[]);
        assert_eq!(notices(&node), [""; 0]);
    }
}

#[test]
fn a_sealed_file_that_cannot_be_written_is_done_without() {
    let toy = with(Tpm::Chip(1));
    // The name of the fresh file is taken by something that cannot be removed as a file.
    fs::create_dir_all(toy.root.path(&format!("{SEALED_SECRETS}.new/x"))).unwrap();
    let node = toy.boot();
    check(&toy, &node, Keeping::File, &[KEPT_SECRETS]);
    assert_eq!(notices(&node), ["secrets.not-sealed"]);
    assert!(!toy.exists(SEED_SECRETS), "they are kept, so they leave the ESP");
}

#[test]
fn a_notice_is_worth_a_look_and_no_more() {
    let toy = with(Tpm::Broken);
    let node = toy.boot();
    toy.write(NODE, &serde_json::to_string(&node).unwrap());
    toy.write(crate::root::BOOT_RECORD, r#"{"root_hash":"3f9a1c20b7e4d5f6","slot":"a"}"#);
    let started = format!("{} loaded active active it\n", crate::status::judge::STARTED);
    let seen = Seen {
        verified: true,
        units: Ok(Units::parse(&started)),
        uptime_s: 100,
        storage: Storage { path: "/var".into(), used_bytes: 1, free_bytes: 99 },
        network: vec![],
        ..collect::files(&toy.root, &[])
    };
    let status = Status::of(&seen);
    let found: Vec<_> = status.findings.iter().map(|one| one.problem.code.as_str()).collect();
    assert_eq!(found, ["secrets.not-sealed"]);
    assert_ne!(status.health, Health::Bad);
    assert_eq!(status.secrets, Some(Keeping::File));
}

#[test]
fn a_machine_whose_tpm_does_not_open_its_secrets_says_so_and_destroys_nothing() {
    for (tpm, word) in [
        (Tpm::Chip(2), "TPM does not open them"),
        (Tpm::Broken, "TPM does not open them"),
        (Tpm::Forgetful, "is not the one"),
        (Tpm::None, "no TPM now"),
    ] {
        let toy = with(Tpm::Chip(1));
        toy.boot();
        let sealed = fs::read(toy.root.path(SEALED_SECRETS)).unwrap();
        toy.tpm.replace(tpm);
        let node = toy.boot();
        let [problem] = &node.problems[..] else { panic!("{:?}", node.problems) };
        if word == "is not the one" {
            // What opens, and is not what the seed names, is not the TPM's fault.
            assert_eq!(problem.code, "secrets.bad");
        } else {
            assert_eq!(problem.code, "secrets.sealed");
            assert!(problem.what.contains(word), "{problem:?}");
            assert!(problem.cure.contains("copy the three seed files"), "{problem:?}");
        }
        assert_eq!(node.secrets, None);
        assert!(!toy.exists(STORE_SETTINGS) && !toy.exists(AGENT_SETTINGS));
        assert!(toy.exists(AUTHORIZED_KEYS), "somebody can log in and help");
        assert_eq!(fs::read(toy.root.path(SEALED_SECRETS)).unwrap(), sealed);
        // The right TPM is there again.
        toy.tpm.replace(Tpm::Chip(1));
        check(&toy, &toy.boot(), Keeping::Sealed, &[]);
    }
}

#[test]
fn three_seed_files_cure_a_machine_with_another_tpm() {
    let toy = with(Tpm::Chip(1));
    toy.boot();
    toy.tpm.replace(Tpm::Chip(2));
    assert_eq!(codes(&toy.boot()), ["secrets.sealed"]);
    // Those of another seed do not, and are named before the TPM is.
    toy.write(SEED_SECRETS, secrets(1));
    assert_eq!(codes(&toy.boot()), ["secrets.bad"]);
    toy.write(SEED_SECRETS, secrets(0));
    check(&toy, &toy.boot(), Keeping::Sealed, &[]);
    check(&toy, &toy.boot(), Keeping::Sealed, &[]);
    // One that has no TPM now keeps them in a file, until the TPM is back.
    toy.tpm.replace(Tpm::None);
    toy.write(SEED_SECRETS, secrets(0));
    check(&toy, &toy.boot(), Keeping::File, &[KEPT_SECRETS]);
    toy.tpm.replace(Tpm::Chip(2));
    check(&toy, &toy.boot(), Keeping::Sealed, &[]);
}
