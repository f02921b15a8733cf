//! What a build leaves behind: the same bytes wherever it runs, and right in the eyes of others.
//!
//! The demo image is built once. The first test builds it a second time under other circumstances; the
//! others hand the artefacts to Debian's own tools.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tests::bytes::{cut, first_difference, flip};
use tests::demo::{Built, build, cache, demo, extract, finish};
use tests::judge::{ask, ask_tool, spdx_validator};
use tests::programs::{checkout, kept, plain};
use tests::run::{Said, run};

/// What is quick: copying, asking for a version.
const SHORT: Duration = Duration::from_secs(60);

/// Sections of a UKI in the order in which systemd-stub measures them (systemd-stub(7)), those that
/// ours has.
const SECTIONS: [&str; 6] = [".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".uname"];

/// GPT types of the Discoverable Partitions Specification, in the order of our partitions.
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const ROOT: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
const VERITY: &str = "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5";
const VAR: &str = "4D21B016-B534-45C2-A9FB-5C16E091FD2D";

#[test]
fn another_place_time_and_cache_give_the_same_bytes() {
    let demo = demo();
    let first = &demo.rooms[0];

    // The second build shares nothing with the first but the packages, and may not fetch.
    let place = kept("elsewhere");
    let _ = fs::remove_dir_all(&place);
    let elsewhere = place.join("a rather long way down/to another place");
    fs::create_dir_all(&elsewhere).unwrap();
    let objects = run(
        plain("cp").args(["--recursive", "--link"]).arg(cache().join("objects")).arg(&place),
        SHORT,
    );
    let _ = objects.well();
    for folder in ["profiles", "overlays", "firmware"] {
        copy(&checkout().join(folder), &elsewhere.join(folder));
    }
    let site = elsewhere.join("site");
    copy(demo.site.parent().unwrap(), &site);

    let ordinary = build(&site.join("site.toml"), "a", &elsewhere.join("out"));
    let mut odd = plain("sh");
    // umask cannot be set from outside; faketime puts the clock years ahead, but must leave the
    // one alone that measures durations.
    odd.args(["-c", "umask 0027; exec faketime '2031-02-03 04:05:06' \"$0\" \"$@\" --offline"]);
    odd.arg(ordinary.get_program()).args(ordinary.get_args());
    odd.current_dir(&elsewhere)
        .env("DUET_CACHE", &place)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("HOME", "/nonexistent")
        .env("LANG", "tr_TR.UTF-8")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("SOURCE_DATE_EPOCH", "86400")
        .env("TZ", "Pacific/Kiritimati");
    let _ = finish(&mut odd).well();
    let second = Built::read(&elsewhere.join("out"));

    assert_eq!(visible(first), visible(&second));
    for name in visible(first) {
        let (one, other) = (first.out.join(&name), second.out.join(&name));
        if let Some(at) = first_difference(&one, &other) {
            panic!("{} and {} differ at byte {at}", one.display(), other.display());
        }
    }
    fs::remove_dir_all(&place).unwrap();
}

#[test]
fn both_rooms_have_one_root() {
    let [a, b] = &demo().rooms;
    assert_eq!(a.says("root_hash"), b.says("root_hash"));
    for shared in [".root.erofs", ".root.verity", ".efi", ".netboot.efi", ".spdx.json"] {
        assert_eq!(first_difference(&a.artefact(shared), &b.artefact(shared)), None, "{shared}");
    }
    assert!(first_difference(&a.disk(), &b.disk()).is_some(), "the seeds must differ");
}

#[test]
fn nothing_unfinished_is_left_and_the_manifest_names_all() {
    let built = &demo().rooms[0];
    assert!(!built.names().iter().any(|name| name.contains("building")), "{:?}", built.names());
    let listed = built.manifest["artefacts"].as_array().unwrap();
    assert!(listed.len() >= 6, "{listed:?}");
    for artefact in listed {
        let path = built.out.join(artefact["name"].as_str().unwrap());
        let said = ask("sha256sum", &[&path]).well().out;
        assert_eq!(said.split(' ').next(), artefact["sha256"].as_str(), "{}", path.display());
        assert_eq!(fs::metadata(&path).unwrap().len(), artefact["size"].as_u64().unwrap());
    }
}

#[test]
fn veritysetup_accepts_the_hash_tree_and_no_other() {
    let built = &demo().rooms[0];
    let (root, tree) = (built.artefact(".root.erofs"), built.artefact(".root.verity"));
    let verify =
        |root: &Path| ask("veritysetup", &[&"verify", &root, &tree, &built.says("root_hash")]);
    let _ = verify(&root).well();

    // The judge must be able to say no.
    let damaged = kept("damaged").join("root.erofs");
    fs::copy(&root, &damaged).unwrap();
    flip(&damaged, fs::metadata(&root).unwrap().len() / 2);
    assert_ne!(verify(&damaged).code, Some(0));
    fs::remove_file(damaged).unwrap();
}

#[test]
fn fsck_accepts_the_root_and_dpkg_reads_its_packages() {
    let built = &demo().rooms[0];
    let tree = kept("root");
    // fsck.erofs ends with 0 in spite of what it complains about.
    let complains = |said: &Said| said.code != Some(0) || said.err.contains("<E>");
    let said = extract(built, &tree);
    assert!(!complains(&said), "{said}");

    // The judge must be able to say no: here to a superblock whose checksum is wrong.
    let damaged = kept("damaged").join("super.erofs");
    fs::copy(built.artefact(".root.erofs"), &damaged).unwrap();
    flip(&damaged, 1024 + 80);
    assert!(complains(&ask_tool(&cache(), "usr/bin/fsck.erofs", &[&damaged])));
    fs::remove_file(damaged).unwrap();

    // What `files.txt` says is what is there.
    let list = fs::read_to_string(built.artefact(".files.txt")).unwrap();
    let mut wrong = Vec::new();
    for line in list.lines() {
        let (kind, path) =
            (&line[..1], line[line.find(" /").unwrap() + 2..].split(" -> ").next().unwrap());
        let found = fs::symlink_metadata(tree.join(path)).map(|file| file.file_type());
        let same = match &found {
            Ok(found) => match kind {
                "d" => found.is_dir(),
                "l" => found.is_symlink(),
                _ => found.is_file(),
            },
            Err(_) => false,
        };
        if !same {
            wrong.push(line.to_owned());
        }
    }
    assert!(wrong.is_empty() && list.lines().count() > 2000, "{wrong:?}");

    let admin = ["usr/lib/sysimage/dpkg", "var/lib/dpkg"].map(|path| tree.join(path));
    let admin = admin.into_iter().find(|path| path.join("status").exists()).unwrap();
    let admin = format!("--admindir={}", admin.display());
    let format = "--showformat=${Package} ${Version} ${db:Status-Status}\\n";
    let said = ask("dpkg-query", &[&admin, &"--show", &format]).well().out;
    let mut installed: Vec<String> = said.lines().map(str::to_owned).collect();
    installed.sort();
    let text = |package: &Value, key: &str| package[key].as_str().unwrap().to_owned();
    let packages = built.manifest["packages"].as_array().unwrap();
    let mut expected: Vec<String> = packages
        .iter()
        .map(|package| format!("{} {} installed", text(package, "name"), text(package, "version")))
        .collect();
    expected.sort();
    assert!(installed.len() > 50, "{said}");
    assert_eq!(installed, expected);
    fs::remove_dir_all(&tree).unwrap();
}

#[test]
fn sfdisk_accepts_the_disk_and_finds_the_partitions_by_their_types() {
    let built = &demo().rooms[0];
    let disk = built.disk();
    let verified = ask("sfdisk", &[&"--verify", &disk]).well();
    assert!(verified.out.contains("No errors detected"), "{verified}");

    let partitions = partitions(&disk);
    let of = |key: &str| -> Vec<String> {
        partitions.iter().map(|part| part[key].as_str().unwrap_or_default().to_owned()).collect()
    };
    let names =
        ["duet-esp", "duet-root-a", "duet-verity-a", "duet-root-b", "duet-verity-b", "duet-state"];
    assert_eq!(of("name"), names);
    assert_eq!(of("type"), [ESP, ROOT, VERITY, ROOT, VERITY, VAR]);

    let hash = built.says("root_hash");
    let plain: Vec<String> =
        of("uuid").iter().map(|id| id.replace('-', "").to_lowercase()).collect();
    assert_eq!([&*plain[1], &*plain[2]], [&hash[..32], &hash[32..]]);
    assert_eq!(plain.iter().collect::<BTreeSet<_>>().len(), 6, "{plain:?}");

    // What lies in the partitions is what was judged by itself.
    for (at, ending) in [(1, ".root.erofs"), (2, ".root.verity")] {
        let artefact = built.artefact(ending);
        let part = take(&disk, &partitions[at], fs::metadata(&artefact).unwrap().len());
        assert_eq!(first_difference(&part, &artefact), None, "{ending}");
    }
    let file = fs::metadata(&disk).unwrap();
    assert!(file.blocks() * 512 < file.len() / 2, "the image is not sparse: {file:?}");
}

#[test]
fn fsck_accepts_the_esp_and_mtools_read_it() {
    let built = &demo().rooms[0];
    let disk = built.disk();
    let part = &partitions(&disk)[0];
    let esp = take(&disk, part, part["size"].as_u64().unwrap() * 512);
    let _ = ask("fsck.fat", &[&"-nv", &esp]).well();

    let said = ask("mdir", &[&"-/b", &"-i", &esp]).well().out;
    let mut files: Vec<&str> = said.lines().filter(|line| !line.ends_with('/')).collect();
    files.sort_unstable();
    let name = built.says("version");
    assert_eq!(
        files,
        [
            "::/EFI/BOOT/BOOTX64.EFI",
            // Counted, and no uncounted twin beside it.
            &format!("::/EFI/Linux/duet-lab-{name}+3-0.efi"),
            "::/duet/seed.secrets",
            "::/duet/seed.sig",
            "::/duet/seed.toml",
            "::/loader/loader.conf",
        ]
    );
    let uki = kept("esp").join("uki.efi");
    let _ = fs::remove_file(&uki);
    let _ = ask("mcopy", &[&"-i", &esp, &files[1], &uki]).well();
    assert_eq!(first_difference(&uki, &built.artefact(".efi")), None);
}

#[test]
fn objdump_finds_the_uki_s_sections_in_order() {
    let built = &demo().rooms[0];
    let uki = built.artefact(".efi");
    let said = ask("objdump", &[&"-h", &uki]).well().out;
    let sections: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|name| SECTIONS.contains(name))
        .collect();
    assert_eq!(sections, SECTIONS, "{said}");

    let section = |name: &str| {
        let to = kept("uki").join(&name[1..]);
        let only = format!("--only-section={name}");
        let _ = ask("objcopy", &[&"-O", &"binary", &only, &uki, &to]).well();
        fs::read(to).unwrap()
    };
    let text = |name: &str| {
        let bytes = section(name);
        String::from_utf8(bytes).unwrap().trim_end_matches('\0').trim_end().to_owned()
    };
    assert_eq!(text(".cmdline"), built.says("cmdline"));
    assert!(text(".cmdline").contains(&format!("duet.root={}", built.says("root_hash"))));
    assert!(!text(".cmdline").contains(" roothash="), "that would wake systemd's generator");
    assert_eq!(text(".uname"), built.says("kernel"));
    assert!(
        text(".osrel").lines().any(|line| line == "VERSION_CODENAME=trixie"),
        "{}",
        text(".osrel")
    );

    // The kernel looks for microcode under these names (Documentation/arch/x86/microcode.rst).
    let listed = judge_fed("cpio", &["--list", "--quiet"], &section(".ucode"));
    for vendor in ["GenuineIntel.bin", "AuthenticAMD.bin"] {
        let path = format!("kernel/x86/microcode/{vendor}");
        assert!(listed.lines().any(|line| line == path), "no {path} in {listed}");
    }
}

#[test]
fn the_sbom_is_valid_and_names_every_package() {
    let built = &demo().rooms[0];
    let sbom = built.artefact(".spdx.json");
    let judge = spdx_validator();
    let judged = run(plain(judge).arg("--infile").arg(&sbom), 5 * SHORT);
    assert!(judged.well().err.trim().is_empty());

    let text = fs::read_to_string(&sbom).unwrap();
    let sbom: Value = serde_json::from_str(&text).unwrap();
    // A vulnerability scanner goes by the package URL.
    let urls: Vec<&str> = sbom["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|package| package["externalRefs"][0]["referenceLocator"].as_str())
        .collect();
    let packages = built.manifest["packages"].as_array().unwrap();
    assert_eq!(urls.len(), packages.len());
    let systemd = packages.iter().find(|package| package["name"] == "systemd").unwrap();
    let url = format!("pkg:deb/debian/systemd@{}?arch=amd64", systemd["version"].as_str().unwrap());
    assert!(urls.iter().any(|found| found.starts_with(&url)), "no {url} in {urls:?}");
}

/// A judge that reads its standard input.
fn judge_fed(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let path = kept("fed").join(program);
    fs::write(&path, input).unwrap();
    let said = run(
        plain("sh").args(["-c", "exec \"$@\" <\"$0\""]).arg(&path).arg(program).args(arguments),
        SHORT,
    );
    said.well().out
}

fn partitions(disk: &Path) -> Vec<Value> {
    let said = ask("sfdisk", &[&"--json", &disk]).well().out;
    let table: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(table["partitiontable"]["label"], "gpt");
    table["partitiontable"]["partitions"].as_array().unwrap().clone()
}

/// The first `length` bytes of a partition, as a file of their own.
fn take(disk: &Path, partition: &Value, length: u64) -> PathBuf {
    let to = kept("cut").join(partition["name"].as_str().unwrap());
    cut(disk, partition["start"].as_u64().unwrap() * 512, length, &to);
    to
}

/// Artefacts, without what the builder keeps for itself.
fn visible(built: &Built) -> Vec<String> {
    built.names().into_iter().filter(|name| !name.starts_with('.')).collect()
}

fn copy(from: &Path, to: &Path) {
    let mut command = plain("cp");
    command.arg("--recursive").arg("--preserve=mode").arg(from).arg(to);
    let _ = run(&mut command, SHORT).well();
}
