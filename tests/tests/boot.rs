//! The images, booted under UEFI: they show who they are, remember what they should, and refuse what
//! is damaged.
//!
//! A boot takes half a minute to a minute without KVM, so each test asks much of one boot. Only one
//! runs at a time, whatever the number of test threads.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lab::Stage;
use serde_json::Value;
use tests::bytes::{first_difference, flip};
use tests::demo::{Built, Demo, build, cache, demo, finish, login_key};
use tests::judge::{ask, ask_tool};
use tests::programs::{kept, plain};
use tests::rooms::{BOOT, Machines};
use tests::run::run;

/// The machines of the lab, in the order of the demo's rooms.
const NAMES: [&str; 2] = ["a1", "b1"];

#[test]
fn both_rooms_say_who_they_are_and_remember() {
    let demo = demo();
    let (room_a, data_disks) = with_data_disks(demo);
    let room_b = &demo.rooms[1];
    let mut machines = Machines::both(demo, [&room_a.disk(), &room_b.disk()], &data_disks);

    for (name, room) in NAMES.into_iter().zip(["room A", "room B"]) {
        let screen = machines.wait_for_screen(name, room).screen;
        assert!(screen.contains("control"), "{screen}");
        assert!(!screen.contains("Needs help"), "{screen}");
    }
    for (name, built) in NAMES.into_iter().zip([&room_a, room_b]) {
        wait_until_settled(&machines, name);
        says_what_it_is(&machines, name, built);
        runs_what_it_should(&machines, name);
        lets_nothing_change(&machines, name);
    }
    let ids = NAMES.map(|name| machine_id(&machines, name));
    assert_ne!(ids[0], ids[1], "both rooms' machines have one identity");
    takes_the_disks_that_it_may(&machines, ["taken", "erased"]);
    refuses_other_keys(&machines, "a1");
    remembers_after_a_restart(&machines, "a1", &ids[0]);
    takes_the_disks_that_it_may(&machines, ["ours", "ours"]);
    machines.pull_plug("a1");
    leaves_the_other_disk_as_it_was(&machines);
}

#[test]
#[ignore = "four boots; `make soak`"]
fn what_one_tpm_sealed_another_does_not_open() {
    let demo = demo();
    let mut machines = Machines::one_with_tpm("sealed", &demo.rooms[0].disk(), &login_key(demo));
    let secrets = |machines: &Machines| status(machines, "a1")["secrets"].clone();
    assert_eq!(secrets(&machines), "sealed");
    let listed = |machines: &Machines| {
        let list = "ls /efi/duet /var/lib/duet/secrets | grep secrets";
        machines.ssh("a1", list).well().out
    };
    let sealed = "/var/lib/duet/secrets:\nseed.secrets.cred\n";
    assert_eq!(listed(&machines), sealed, "they are nowhere as they are");
    let failed = machines.ssh("a1", "systemctl list-units --failed --plain --no-legend");
    assert_eq!(failed.well().out, "");
    let _ = machines.ssh("a1", "sync").well();

    machines.pull_plug("a1");
    machines.switch_on("a1");
    assert_eq!(secrets(&machines), "sealed", "the next boot opens them");

    machines.pull_plug("a1");
    let chip = machines.lab().places().machine("a1").dir.join("tpm/data");
    fs::remove_dir_all(chip).unwrap();
    machines.switch_on("a1");
    let status = status(&machines, "a1");
    assert_eq!(status["secrets"], Value::Null, "{status:#}");
    assert_eq!(status["findings"][0]["code"], "secrets.sealed", "{status:#}");
    assert_eq!(listed(&machines), sealed, "nothing is destroyed");
}

#[test]
fn a_flipped_byte_in_the_root_is_not_run() {
    let built = &demo().rooms[0];
    let disk = kept("damaged").join("flipped.raw");
    copy_sparse(&built.disk(), &disk);
    flip(&disk, partition(&disk, "duet-root-a").0 + byte_of_systemd(built));

    let machines = Machines::one("flipped", &disk, &login_key(demo()));
    // The kernel restarts the machine as soon as it reads the block, and the boot loader tries again.
    let seen = machines.wait("a1", "a second restart", 2 * BOOT, |sight| {
        let status = sight.stages.reached(Stage::StatusScreen);
        assert!(status.is_none(), "a damaged system came up:\n{}", sight.screen);
        sight.stages.restarts() >= 2
    });
    assert!(seen.on);
    assert!(!machines.lab().ssh_answers("a1").unwrap());
    drop(machines);
    fs::remove_file(disk).unwrap();
}

#[test]
fn power_cuts_in_the_first_boots_leave_a_machine_that_starts() {
    let demo = demo();
    let mut machines = Machines::one("cuts", &demo.rooms[0].disk(), &login_key(demo));
    let disk = machines.lab().places().machine("a1").disk;
    let state = partition(&disk, "duet-state").0;
    let length = || partition(&disk, "duet-state").1;
    let in_the_image = length();

    // First cut: the partition has just been made larger, and has no file system yet.
    cut_when(&mut machines, "the state partition to grow", || length() > in_the_image);
    let grown = length();
    // Second cut: the file system has just got its superblock (magic number at byte 1080, see the
    // kernel's Documentation/filesystems/ext4/super.rst).
    let magic = || read(&disk, state + 1080, 2) == [0x53, 0xef];
    assert!(!magic(), "the first cut came too late to mean anything");
    machines.switch_on("a1");
    cut_when(&mut machines, "the state partition's superblock", magic);
    // Third cut: services are being started for the first time.
    machines.switch_on("a1");
    let _ = machines.wait("a1", "the real root", BOOT, |sight| {
        sight.stages.reached(Stage::SwitchRoot).is_some()
    });
    thread::sleep(Duration::from_secs(4));
    machines.pull_plug("a1");

    machines.switch_on("a1");
    let _ = machines.wait_for_screen("a1", "room A");
    wait_until_settled(&machines, "a1");
    assert_eq!(length(), grown);
    says_what_it_is(&machines, "a1", &demo.rooms[0]);
    runs_what_it_should(&machines, "a1");
}

/// What the node itself says about itself.
fn status(machines: &Machines, name: &str) -> Value {
    let said = machines.ssh(name, "duetd status --json || true").well().out;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error} in {said}"))
}

/// Waits until the boot is judged: services are up, and the boot loader no longer counts. A machine whose
/// other room is not there goes on looking for it.
fn wait_until_settled(machines: &Machines, name: &str) {
    let deadline = Instant::now() + BOOT;
    let alone = machines.lab().plan().machines.len() == 1;
    loop {
        let status = status(machines, name);
        let looked = !status["disks"].is_null();
        let started = status["health"] != "starting"
            || (alone && status["pair"]["epoch"].as_u64().unwrap_or(0) == 0);
        if status["boot"]["state"] == "good" && started && looked {
            return;
        }
        assert!(Instant::now() < deadline, "{name} does not settle: {status:#}");
        thread::sleep(Duration::from_secs(3));
    }
}

fn says_what_it_is(machines: &Machines, name: &str, built: &Built) {
    let status = status(machines, name);
    assert_eq!(status["node"]["role"], "control", "{status:#}");
    assert_eq!(status["node"]["room"], name[..1], "{status:#}");
    assert_eq!(status["boot"]["slot"], "a", "{status:#}");
    assert_eq!(status["boot"]["verified"], true, "{status:#}");
    assert_eq!(status["boot"]["root_hash"], built.says("root_hash"), "{status:#}");
    assert_eq!(status["release"]["version"], built.says("version"), "{status:#}");
    let findings = status["findings"].as_array().unwrap();
    let alone = machines.lab().plan().machines.len() == 1;
    let expected = |one: &Value| alone && one["code"] == "pair.unmet";
    let bad: Vec<&Value> =
        findings.iter().filter(|one| one["severity"] == "bad" && !expected(one)).collect();
    assert!(bad.is_empty(), "{status:#}");
    // What the image was built without is told, and is no reason to have a look.
    let components = built.manifest["components"].as_array().unwrap();
    for (told, built) in status["components"].as_array().unwrap().iter().zip(components) {
        for key in ["name", "version", "present", "why"] {
            assert_eq!(told[key], built[key], "{status:#}");
        }
    }
    assert_eq!(status["components"].as_array().map(Vec::len), Some(components.len()));
    let address = &status["network"][0]["addresses"][0]["address"];
    assert!(address.is_string(), "no address: {status:#}");

    let uki = format!("duet-lab-{}.efi", built.says("version"));
    let listed = machines.ssh(name, "ls /efi/EFI/Linux").well().out;
    assert_eq!(listed.trim(), uki, "the boot loader still counts");
}

fn runs_what_it_should(machines: &Machines, name: &str) {
    let ask = |command: &str| machines.ssh(name, command);
    let failed = ask("systemctl --failed --plain --no-legend").well().out;
    assert_eq!(failed, "", "failed units on {name}");
    assert_eq!(ask("systemctl is-system-running").out.trim(), "running");
    // Nobody logs in at a console.
    assert_eq!(ask("pgrep -l getty").with(1).out, "");
    assert!(ask("journalctl --header").well().out.contains("/var/log/journal/"));
    // What an administrator reads first.
    assert!(ask("duetd status").out.contains("room "));
    keeps_its_store(machines, name);
}

/// The state store runs, answers where the control plane will ask, and can be backed up.
fn keeps_its_store(machines: &Machines, name: &str) {
    let ask = |command: &str| machines.ssh(name, command);
    assert_eq!(ask("systemctl is-active duet-store.service").out.trim(), "active");
    let socket = "/run/duet-store/store.sock";
    let health = ask(&format!("curl --silent --unix-socket {socket} http://localhost/health"));
    // A new room that has not met the other one holds nothing, and says so.
    if machines.lab().plan().machines.len() == 1 {
        assert!(health.clone().well().out.contains("RAFT NO LEADER"), "{health}");
        return;
    }
    assert!(health.clone().well().out.contains(r#""health":"true""#), "{health}");
    let file = "/var/lib/duet/backup";
    let backup = format!("duetd store backup --endpoint unix://{socket} {file} --json");
    let said = ask(&backup).well().out;
    let backup: Value =
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(backup["backup"]["revision"], 1, "{said}");
    let _ = ask(&format!("rm {file}")).well();
}

fn lets_nothing_change(machines: &Machines, name: &str) {
    let ask = |command: &str| machines.ssh(name, command);
    let root = ask("findmnt --noheadings --output FSTYPE,OPTIONS /").well().out;
    let (kind, options) = root.trim().split_once(' ').unwrap();
    assert_eq!(kind, "erofs");
    assert!(options.trim().split(',').any(|option| option == "ro"), "{root}");
    for path in ["/etc/x", "/usr/x", "/x", "/efi/x"] {
        let touched = ask(&format!("touch {path}")).with(1);
        assert!(touched.err.contains("Read-only file system"), "{touched}");
    }
    // The state partition fills the disk, which is larger than the image.
    let size = ask("findmnt --noheadings --bytes --output FSTYPE,SIZE /var").well().out;
    let (kind, bytes) = size.trim().split_once(' ').unwrap();
    assert_eq!(kind, "ext4");
    assert!(bytes.trim().parse::<u64>().unwrap() > 1 << 30, "{size}");
}

fn machine_id(machines: &Machines, name: &str) -> String {
    let said = machines.ssh(name, "cat /etc/machine-id /var/lib/duet/machine-id").well().out;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 2 && lines[0] == lines[1], "{said}");
    assert!(lines[0].len() == 32 && lines[0].chars().all(|c| c.is_ascii_hexdigit()), "{said}");
    lines[0].to_owned()
}

fn refuses_other_keys(machines: &Machines, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let _ = ask("ssh-keygen", &[&"-q", &"-t", &"ed25519", &"-N", &"", &"-f", &key]).well();
    let mut words = machines.lab().ssh(name, &["true".to_owned()]).unwrap();
    let at = words.iter().position(|word| word == "-i").unwrap();
    words[at + 1] = key.into();
    let refused = run(plain(&words[0]).args(&words[1..]), Duration::from_secs(120)).with(255);
    assert!(refused.err.contains("Permission denied (publickey)"), "{refused}");
}

fn remembers_after_a_restart(machines: &Machines, name: &str, id: &str) {
    let host_key = status(machines, name)["ssh_host_key"].clone();
    assert!(host_key.is_string());
    let _ = machines.ssh(name, "echo kept >/var/lib/kept && sync").well();
    // The connection ends with the machine.
    let _ = machines.ssh(name, "systemctl reboot");
    let _ = machines.wait(name, "the status screen after a restart", BOOT, |sight| {
        sight.stages.restarts() == 1 && sight.stages.reached(Stage::StatusScreen).is_some()
    });
    wait_until_settled(machines, name);

    assert_eq!(machines.ssh(name, "cat /var/lib/kept").well().out, "kept\n");
    assert_eq!(machine_id(machines, name), id);
    assert_eq!(status(machines, name)["ssh_host_key"], host_key);
    let boots = machines.ssh(name, "journalctl --list-boots --no-pager --quiet").well().out;
    let boots = boots.lines().filter(|line| !line.trim_start().starts_with("IDX")).count();
    assert_eq!(boots, 2, "the log of the first boot is lost");
    runs_what_it_should(machines, name);
}

/// What room a's site file says of its disks. Room b's says nothing.
const RULES: &str = "[room.a.disks]\nempty = true\nmin_gib = 1\nerase = [\"named\"]\n";

/// The data disks of room a by serial number: blank, with a file system, and with the same file system
/// although the site file names it.
const DATA_DISKS: [&str; 3] = ["blank", "other", "named"];

/// Room a's image for a site file with rules for disks, and the words that give it such disks.
fn with_data_disks(demo: &Demo) -> (Built, Vec<OsString>) {
    // Beside the demo's own, as the keys are.
    let site = demo.site.with_file_name("with-disks.toml");
    let text = fs::read_to_string(&demo.site).unwrap();
    fs::write(&site, format!("{text}\n{RULES}")).unwrap();
    let out = kept("with-disks").join("a");
    let _ = finish(&mut build(&site, "a", &out)).well();

    let ext4 = ext4();
    let _ = fs::remove_file(&ext4);
    File::create(&ext4).unwrap().set_len(1 << 30).unwrap();
    let _ = ask("mkfs.ext4", &[&"-q", &"-L", &"letters", &ext4]).well();
    let words = DATA_DISKS.map(|serial| {
        let mut word = OsString::from(format!("1,machine=a1,serial={serial}"));
        if serial != "blank" {
            word.push(",file=");
            word.push(&ext4);
        }
        word
    });
    let words = words.into_iter().flat_map(|word| [OsString::from("--data-disk"), word]);
    (Built::read(&out), words.collect())
}

/// The file system that is on two of the disks.
fn ext4() -> PathBuf {
    kept("with-disks").join("ext4.img")
}

/// What became of the blank disk and of the named one; the others are left, each for its reason.
fn takes_the_disks_that_it_may(machines: &Machines, states: [&str; 2]) {
    let status = status(machines, "a1");
    let of = |serial: &str| {
        let mut disks = status["disks"].as_array().unwrap().iter();
        disks.find(|disk| disk["serial"] == serial).unwrap_or_else(|| panic!("{status:#}")).clone()
    };
    let why = |serial: &str| of(serial)["why"].as_str().unwrap_or_default().to_owned();
    for serial in ["duet-a1", "other"] {
        assert_eq!(of(serial)["state"], "left", "{status:#}");
        assert_eq!(of(serial)["partition"], Value::Null, "{status:#}");
    }
    assert!(why("other").contains("ext4 file system"), "{status:#}");
    assert!(why("duet-a1").contains("this system runs from"), "{status:#}");
    for (serial, state) in ["blank", "named"].into_iter().zip(states) {
        assert_eq!(of(serial)["state"], state, "{status:#}");
        let partition = of(serial)["partition"].as_str().unwrap().to_owned();
        if state == "ours" {
            let read = machines.ssh("a1", &format!("head -c 6 {partition}"));
            assert_eq!(read.well().out, "volume", "what was in it is lost");
        } else {
            let write = format!("test -b {partition} && printf volume >{partition} && sync");
            let _ = machines.ssh("a1", &write).well();
        }
    }
    let codes = status["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str());
    let of_disks = codes.flatten().filter(|code| code.starts_with("disks."));
    assert_eq!(of_disks.count(), 0, "{status:#}");
    let there = machines.ssh("a1", "ls /dev/disk/by-partlabel").well().out;
    assert!(there.lines().any(|name| name == "duet-data"), "{there}");
    // Room b's site file has no rule: it has nothing to say, and takes nothing.
    let b1 = self::status(machines, "b1");
    let left = b1["disks"].as_array().unwrap().iter().all(|disk| disk["state"] == "left");
    assert!(left, "{b1:#}");
}

/// Judged from outside, on a machine that is off.
fn leaves_the_other_disk_as_it_was(machines: &Machines) {
    let places = machines.lab().places().machine("a1");
    let disk = |serial: &str| {
        let at = DATA_DISKS.iter().position(|one| *one == serial).unwrap();
        places.data_disk(at)
    };
    assert_eq!(first_difference(&ext4(), &disk("other")), None, "a byte was written");
    for serial in ["blank", "named"] {
        let verified = ask("sfdisk", &[&"--verify", &disk(serial)]).well();
        assert!(verified.out.contains("No errors detected"), "{verified}");
        let said = ask("sfdisk", &[&"--json", &disk(serial)]).well().out;
        let table: Value = serde_json::from_str(&said).unwrap();
        let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
        assert_eq!(partitions.len(), 1, "{said}");
        assert_eq!(partitions[0]["name"], "duet-data", "{said}");
        assert_eq!(partitions[0]["type"], "E6D6D379-F507-44C2-A23C-238F2A3DF928", "{said}");
        assert_eq!(partitions[0]["start"], 2048, "{said}");
        let blkid = ask("blkid", &[&"-p", &"-s", &"TYPE", &"-o", &"value", &disk(serial)]);
        assert_eq!(blkid.out.trim(), "", "an old file system still shows: {blkid}");
    }
}

/// A byte that is read whenever the system starts: within the program that is process 1.
fn byte_of_systemd(built: &Built) -> u64 {
    let erofs = built.artefact(".root.erofs");
    let path = "--path=/usr/lib/systemd/systemd";
    let said = ask_tool(&cache(), "usr/bin/dump.erofs", &[&"-e", &path, &erofs]).well().out;
    // `   0:        0..   12345 |   12345 :   987136..  995328 |    8192`
    let extent = said.lines().find(|line| line.trim_start().starts_with("0:")).unwrap();
    let physical = extent.split('|').nth(1).unwrap().split(':').nth(1).unwrap();
    let (from, to) = physical.split_once("..").unwrap();
    let [from, to] = [from, to].map(|number| number.trim().parse::<u64>().unwrap());
    from + (to - from) / 2
}

/// Switches `a1` off at the moment when the condition becomes true.
fn cut_when(machines: &mut Machines, what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + BOOT;
    while !reached() {
        assert!(Instant::now() < deadline, "waited in vain for {what}:\n{}", machines.said("a1"));
        thread::sleep(Duration::from_millis(2));
    }
    machines.pull_plug("a1");
}

/// First byte and length of the partition with this name, read straight from the table, since a
/// running machine may be changing it (UEFI Specification 2.10, 5.3.3: entries of 128 bytes from the
/// third block on; first and last block at 32 and 40, the name at 56).
fn partition(disk: &Path, name: &str) -> (u64, u64) {
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let table = read(disk, 1024, 128 * 128);
    let entry = table.chunks_exact(128).find(|entry| entry[56..].starts_with(&name)).unwrap();
    let number = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap());
    (number(32) * 512, (number(40) - number(32) + 1) * 512)
}

fn read(file: &Path, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    File::open(file).unwrap().read_exact_at(&mut bytes, at).unwrap();
    bytes
}

fn copy_sparse(from: &Path, to: &Path) {
    let mut command = plain("cp");
    let _ = run(command.arg("--sparse=always").arg(from).arg(to), Duration::from_secs(300)).well();
}
