//! The lab with the real QEMU and firmware, without an operating system: power, cables, consoles,
//! and that nothing stays behind.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::process::ProcessId;
use lab::{
    Accelerator, DiskBus, Goal, Lab, LabError, LabPlan, Leave, Login, MachinePlan, Power, Sight,
    Stage, Step, Switch, Tools, WirePlan, WitnessPlan, free_ports,
};
use site::Room;
use tests::certificates::Authority;
use tests::programs::{Hold, duet, hold};
use tests::rooms::lab_tools;
use tests::server::duetd;

/// Four times what the firmware needs on two busy cores.
const LIMIT: Duration = Duration::from_secs(90);

/// A lab in a directory of its own, ended also if the test fails.
struct Scratch {
    tools: Tools,
    dir: tempfile::TempDir,
    _alone: Hold,
}

impl Scratch {
    fn new() -> Scratch {
        let tools = lab_tools();
        let alone = hold("machines");
        let dir = tempfile::tempdir().unwrap();
        // Nothing to boot from: the firmware ends in its own shell.
        fs::write(dir.path().join("image"), vec![0; 4 << 20]).unwrap();
        Scratch { tools, dir, _alone: alone }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn plan(&self) -> LabPlan {
        let ports = free_ports(4).unwrap();
        let machine = |name: &str, room, ports: &[u16], disk_bus| MachinePlan {
            name: name.parse().unwrap(),
            room,
            image: self.place("image"),
            disk_gib: 1,
            disk_bus,
            memory_mib: 128,
            cpus: 1,
            ssh_port: ports[0],
            page_port: ports[1],
            tpm: false,
            data_disks: Vec::new(),
            clock: None,
        };
        LabPlan {
            dir: self.place("lab"),
            machines: vec![
                machine("a1", Room::A, &ports[..2], DiskBus::Nvme),
                machine("b1", Room::B, &ports[2..], DiskBus::VirtioBlk),
            ],
            wires: vec![WirePlan {
                name: "rooms".parse().unwrap(),
                ends: vec!["a1".parse().unwrap(), "b1".parse().unwrap()],
                switches: false,
            }],
            witness: None,
            login: Login { user: "root".into(), key: self.place("key") },
            duet: self.place("duet"),
            accelerator: Some(Accelerator::Tcg),
        }
    }

    fn up(&self, plan: LabPlan) -> Result<Lab, LabError> {
        Lab::up(&self.tools, plan, Path::new("/tmp"), &mut |_| {})
    }

    fn open(&self) -> Result<Lab, LabError> {
        Lab::open(&self.place("lab"), Path::new("/tmp"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Ok(lab) = self.open() {
            lab.down(Leave::Nothing).unwrap();
        }
    }
}

fn pid(lab: &Lab, name: &str) -> u32 {
    match power(lab, name) {
        Power::On { pid, .. } => pid,
        other => panic!("{name} is {other:?}"),
    }
}

fn power(lab: &Lab, name: &str) -> Power {
    let machines = lab.status().unwrap().machines;
    machines.into_iter().find(|machine| machine.name.as_str() == name).unwrap().power
}

fn wait(lab: &Lab, names: &[&'static str], until: fn(&Sight<'_>) -> bool) -> Vec<Sight<'static>> {
    let goal = Goal { what: "the firmware's shell", limit: LIMIT };
    lab.wait_for(names, goal, &mut |sight| until(sight), &mut |_| {}).unwrap()
}

fn shell(sight: &Sight<'_>) -> bool {
    sight.screen.contains("Shell>")
}

/// Processes that were told to use a file in the directory.
fn processes_in(dir: &Path) -> Vec<u32> {
    let dir = dir.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let told = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&told).contains(dir)
    })
    .collect()
}

#[test]
fn a_lab_comes_up_is_found_again_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let mut steps = Vec::new();
    let lab = Lab::up(&scratch.tools, scratch.plan(), Path::new("/tmp"), &mut |step| {
        if let Step::On(name) = step {
            steps.push(name.to_owned());
        }
    })
    .unwrap();
    assert_eq!(steps, ["a1", "b1"]);
    let sights = wait(&lab, &["a1", "b1"], shell);
    for sight in &sights {
        let firmware = sight.stages.reached(Stage::Firmware).unwrap();
        let loader = sight.stages.reached(Stage::BootLoader).unwrap();
        assert!(firmware <= loader && loader <= sight.since, "{sight:?}");
        assert_eq!(sight.stages.last(), Some(Stage::BootLoader));
    }
    drop(lab);

    let lab = scratch.open().unwrap();
    assert!(matches!(
        power(&lab, "a1"),
        Power::On { condition: Some(condition), .. } if condition == "running"
    ));
    assert_eq!(processes_in(scratch.dir.path()).len(), 2);
    assert!(matches!(scratch.up(scratch.plan()), Err(LabError::Up { .. })));
    assert!(lab.screen("b1").unwrap().contains("UEFI Interactive Shell"));
    let picture = scratch.place("a1.png");
    lab.screendump("a1", &picture).unwrap();
    assert!(fs::read(picture).unwrap().starts_with(b"\x89PNG"));
    assert!(!lab.ssh_answers("a1").unwrap(), "a shell of the firmware is no ssh server");

    let processes: Vec<_> =
        ["a1", "b1"].map(|name| ProcessId::of(pid(&lab, name)).unwrap().unwrap()).into();
    lab.down(Leave::Logs).unwrap();
    assert!(processes.iter().all(|process| !process.runs()));
    assert!(processes_in(scratch.dir.path()).is_empty());
    assert!(matches!(scratch.open(), Err(LabError::None { .. })));
    let mut left = Vec::new();
    list(&scratch.place("lab"), &mut left);
    left.sort();
    assert_eq!(left, ["a1/qemu.log", "a1/serial.log", "b1/qemu.log", "b1/serial.log", "lab.lock"]);
}

fn list(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let mut inner = Vec::new();
            list(&path, &mut inner);
            let name = path.file_name().unwrap().to_str().unwrap();
            found.extend(inner.into_iter().map(|file| format!("{name}/{file}")));
            assert!(!found.is_empty(), "{name} is empty and stays");
        } else {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn a_plug_is_pulled_and_the_machine_comes_back_with_its_disk() {
    let scratch = Scratch::new();
    let mut lab = scratch.up(scratch.plan()).unwrap();
    wait(&lab, &["a1"], shell);
    let old = pid(&lab, "a1");
    lab.power_off("a1", Switch::Plug).unwrap();
    assert_eq!(power(&lab, "a1"), Power::Off);
    assert!(ProcessId::of(old).unwrap().is_none());
    assert!(matches!(lab.power_off("a1", Switch::Plug), Err(LabError::Off { .. })));
    assert!(matches!(lab.ssh("a1", &[]), Err(LabError::Off { .. })));
    fs::write(scratch.place("lab/a1/serial.log"), "said before").unwrap();

    lab.power_on("a1").unwrap();
    assert!(matches!(lab.power_on("a1"), Err(LabError::On { .. })));
    wait(&lab, &["a1"], shell);
    assert_eq!(fs::read(scratch.place("lab/a1/serial-1.log")).unwrap(), b"said before");
    assert_eq!(fs::metadata(scratch.place("lab/a1/disk.img")).unwrap().len(), 1 << 30);

    // Its QEMU ends without the lab.
    let process = ProcessId::of(pid(&lab, "a1")).unwrap().unwrap();
    let held = process.hold().unwrap().unwrap();
    held.kill().unwrap();
    assert!(held.ends_within(LIMIT).unwrap());
    assert_eq!(power(&lab, "a1"), Power::WentOff);
    let goal = Goal { what: "the moon", limit: LIMIT };
    let error = lab.wait_for(&["a1"], goal, &mut |_| false, &mut |_| {}).unwrap_err();
    assert!(matches!(error, LabError::Died { .. }), "{error}");
    lab.power_on("a1").unwrap();
    assert!(matches!(power(&lab, "a1"), Power::On { .. }));
}

#[test]
fn a_tpm_is_on_while_its_machine_is_and_keeps_what_it_holds() {
    let scratch = Scratch::new();
    let mut plan = scratch.plan();
    plan.machines[0].tpm = true;
    let mut lab = scratch.up(plan).unwrap();
    wait(&lab, &["a1"], shell);
    let all = || processes_in(scratch.dir.path()).len();
    assert_eq!(all(), 3, "two machines, and one TPM");
    let chip = scratch.place("lab/a1/tpm/data/tpm2-00.permall");
    // Each chip is made with seeds of its own, so its bytes tell it from another one.
    let first = fs::read(&chip).unwrap();

    lab.power_off("a1", Switch::Plug).unwrap();
    assert_eq!(all(), 1, "the TPM has no power either");
    assert_eq!(fs::read(&chip).unwrap(), first);
    lab.power_on("a1").unwrap();
    wait(&lab, &["a1"], shell);
    // QEMU ends without the lab, and a command was interrupted before it wrote its note.
    let process = ProcessId::of(pid(&lab, "a1")).unwrap().unwrap();
    process.hold().unwrap().unwrap().kill().unwrap();
    fs::remove_file(scratch.place("lab/a1/tpm/run.json")).unwrap();
    lab.power_off("b1", Switch::Plug).unwrap();
    let deadline = Instant::now() + LIMIT;
    while all() > 0 {
        assert!(Instant::now() < deadline, "the TPM stays though its machine is gone");
        std::thread::sleep(Duration::from_millis(20));
    }

    lab.new_disk("a1").unwrap();
    assert!(!chip.exists(), "a new machine has a chip that was never used");
    lab.power_on("a1").unwrap();
    assert_ne!(fs::read(&chip).unwrap_or_default(), first);
    lab.down(Leave::Nothing).unwrap();
    assert_eq!(all(), 0);
    assert!(!scratch.place("lab").exists());
}

#[test]
fn an_interrupted_start_is_found_again_and_ended() {
    let scratch = Scratch::new();
    let lab = scratch.up(scratch.plan()).unwrap();
    let process = ProcessId::of(pid(&lab, "b1")).unwrap().unwrap();
    fs::remove_file(scratch.place("lab/b1/run.json")).unwrap();
    assert_eq!(pid(&lab, "b1"), process.pid, "found by the number that QEMU wrote");
    lab.down(Leave::Nothing).unwrap();
    assert!(!process.runs());
    assert!(!scratch.place("lab").exists());
}

#[test]
fn a_cut_wire_carries_nothing_and_stays_cut_over_a_power_off() {
    let scratch = Scratch::new();
    let mut lab = scratch.up(scratch.plan()).unwrap();
    wait(&lab, &["a1", "b1"], shell);
    let mut a1 = Shell::open(&lab, "a1");
    let mut b1 = Shell::open(&lab, "b1");
    a1.run("ifconfig -s eth1 static 10.0.0.1 255.255.255.0 10.0.0.2");
    b1.run("ifconfig -s eth1 static 10.0.0.2 255.255.255.0 10.0.0.1");
    assert!(a1.reaches("10.0.0.2"));

    lab.cut_link("rooms").unwrap();
    assert!(lab.status().unwrap().wires[0].cut);
    assert_eq!([a1.media(), b1.media()], ["disconnected", "disconnected"]);
    assert!(!a1.reaches("10.0.0.2"));

    lab.power_off("b1", Switch::Plug).unwrap();
    lab.power_on("b1").unwrap();
    wait(&lab, &["b1"], shell);
    let mut b1 = Shell::open(&lab, "b1");
    assert_eq!(b1.media(), "disconnected");

    // By another command, while this one still believes that the wire is cut.
    let mut other = scratch.open().unwrap();
    other.mend_link("rooms").unwrap();
    assert!(!other.status().unwrap().wires[0].cut);
    assert_eq!([a1.media(), b1.media()], ["present", "present"]);
    b1.run("ifconfig -s eth1 static 10.0.0.2 255.255.255.0 10.0.0.1");
    assert!(a1.reaches("10.0.0.2"));
    assert!(matches!(lab.cut_link("room"), Err(LabError::Wire { .. })));
}

#[test]
fn the_witness_runs_beside_the_machines_and_each_has_a_cable_to_it() {
    let scratch = Scratch::new();
    let mut plan = scratch.plan();
    let port = free_ports(1).unwrap()[0];
    let keys = scratch.place("keys");
    let (cert, key) = Authority::new(&keys, "witness").sign("witness", "witness.duet.internal");
    plan.witness = Some(WitnessPlan {
        program: duetd(),
        cert,
        key,
        site: "demo".parse().unwrap(),
        ca: Authority::new(&keys, "site").file,
        port,
    });
    let mut lab = scratch.up(plan).unwrap();
    let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    let pid = |lab: &Lab| lab.status().unwrap().witness.unwrap().pid;
    assert!(listens());
    let first = ProcessId::of(pid(&lab).unwrap()).unwrap().unwrap();

    // By another command, as after a lab's start.
    let mut other = scratch.open().unwrap();
    assert!(matches!(other.witness_start(), Err(LabError::DaemonRuns { .. })));
    other.witness_stop().unwrap();
    assert!(!listens() && !first.runs());
    assert_eq!(pid(&lab), None);
    assert!(matches!(other.witness_stop(), Err(LabError::DaemonOff { .. })));
    other.witness_start().unwrap();
    assert!(listens());
    let second = ProcessId::of(pid(&lab).unwrap()).unwrap().unwrap();

    wait(&lab, &["a1"], shell);
    let mut a1 = Shell::open(&lab, "a1");
    lab.cut_link("third-a1").unwrap();
    let cut: Vec<_> = lab.status().unwrap().wires.into_iter().filter(|wire| wire.cut).collect();
    assert_eq!(cut.len(), 1);
    let ends: Vec<_> = cut[0].ends.iter().map(|end| end.as_str()).collect();
    assert_eq!(ends, ["a1", "witness"]);
    let media = ["eth1", "eth2"].map(|card| a1.media_of(card));
    assert_eq!(media, ["present", "disconnected"], "the cable between the rooms is whole");
    lab.mend_link("third-a1").unwrap();
    assert_eq!(a1.media_of("eth2"), "present");

    lab.down(Leave::Nothing).unwrap();
    assert!(!second.runs() && !scratch.place("lab").exists());
}

#[test]
fn a_witness_that_does_not_start_is_told_and_takes_the_lab_with_it() {
    let scratch = Scratch::new();
    let mut plan = scratch.plan();
    let missing = scratch.place("nothing.crt");
    plan.witness = Some(WitnessPlan {
        program: duetd(),
        cert: missing.clone(),
        key: missing,
        site: "demo".parse().unwrap(),
        ca: Authority::new(&scratch.place("keys"), "site").file,
        port: free_ports(1).unwrap()[0],
    });
    let error = scratch.up(plan).unwrap_err();
    assert!(error.to_string().contains("nothing.crt"), "{error}");
    assert!(processes_in(scratch.dir.path()).is_empty());
    assert!(matches!(scratch.open(), Err(LabError::None { .. })));
}

#[test]
fn three_machines_share_a_wire_that_is_cut_between_the_rooms() {
    let scratch = Scratch::new();
    let mut plan = scratch.plan();
    plan.duet = duet().get_program().into();
    let ports = free_ports(2).unwrap();
    let mut x1 = plan.machines[0].clone();
    x1.name = "x1".parse().unwrap();
    (x1.ssh_port, x1.page_port) = (ports[0], ports[1]);
    plan.machines.push(x1);
    plan.wires[0].ends.push("x1".parse().unwrap());
    let mut lab = scratch.up(plan).unwrap();
    wait(&lab, &["a1", "b1", "x1"], shell);
    let mut shells = ["a1", "b1", "x1"].map(|name| Shell::open(&lab, name));
    for (shell, own) in shells.iter_mut().zip(["10.0.0.1", "10.0.0.2", "10.0.0.3"]) {
        shell.run(&format!("ifconfig -s eth1 static {own} 255.255.255.0 10.0.0.254"));
    }
    let [a1, b1, _x1] = &mut shells;
    assert!(a1.reaches("10.0.0.2") && a1.reaches("10.0.0.3"));

    lab.cut_link("rooms").unwrap();
    assert!(a1.reaches("10.0.0.3"), "machines of a room still hear each other");
    assert!(!a1.reaches("10.0.0.2"));
    assert_eq!(b1.media(), "present", "the cut is behind b1's switch");

    lab.mend_link("rooms").unwrap();
    assert!(b1.reaches("10.0.0.3"));
    lab.power_off("b1", Switch::Plug).unwrap();
    lab.down(Leave::Nothing).unwrap();
    assert!(processes_in(scratch.dir.path()).is_empty(), "the switches are gone, too");
    assert!(!scratch.place("lab").exists());
}

#[test]
fn a_blank_disk_makes_a_new_machine() {
    let scratch = Scratch::new();
    let mut lab = scratch.up(scratch.plan()).unwrap();
    assert!(matches!(lab.new_disk("b1"), Err(LabError::On { .. })));
    lab.power_off("b1", Switch::Plug).unwrap();
    let disk = scratch.place("lab/b1/disk.img");
    fs::write(&disk, "full").unwrap();
    fs::write(lab.places().known_hosts(), "a1 ssh-ed25519 AA\nb1 ssh-ed25519 BB\n").unwrap();
    lab.new_disk("b1").unwrap();
    assert_eq!(fs::metadata(&disk).unwrap().len(), 1 << 30);
    let known = fs::read_to_string(lab.places().known_hosts()).unwrap();
    assert_eq!(known, "a1 ssh-ed25519 AA\n");
    lab.power_on("b1").unwrap();
}

#[test]
fn a_machine_that_cannot_start_takes_the_others_with_it() {
    let scratch = Scratch::new();
    let plan = scratch.plan();
    let taken = std::net::TcpListener::bind(("127.0.0.1", plan.machines[1].ssh_port)).unwrap();
    let error = scratch.up(plan).unwrap_err();
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("choose another one"), "{error}: {help}");
    drop(taken);
    assert!(processes_in(scratch.dir.path()).is_empty());
    assert!(matches!(scratch.open(), Err(LabError::None { .. })));
}

#[test]
fn the_console_bridges_a_terminal_to_the_firmwares_shell() {
    let scratch = Scratch::new();
    let lab = scratch.up(scratch.plan()).unwrap();
    wait(&lab, &["a1"], shell);
    let (person, terminal) = UnixStream::pair().unwrap();
    let bridge = std::thread::spawn(move || lab.console("a1", &terminal, &terminal).unwrap());
    let mut shell = Shell(person);
    assert!(shell.run("echo two%nothing%words").contains("twowords"));
    shell.0.write_all(b"\x1d").unwrap();
    assert_eq!(bridge.join().unwrap(), lab::Left::ByPerson);
}

#[test]
fn the_probe_decides_within_its_time() {
    let tools = lab_tools();
    let start = Instant::now();
    let probe = Accelerator::probe(&tools);
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(!probe.reason.is_empty());
    if !Path::new("/dev/kvm").exists() {
        assert_eq!(probe.accelerator, Accelerator::Tcg);
    }
}

/// The firmware's shell at the other end of a serial line.
struct Shell(UnixStream);

impl Shell {
    fn open(lab: &Lab, name: &str) -> Shell {
        let mut shell = Shell(UnixStream::connect(lab.places().machine(name).serial).unwrap());
        // Firmware starts the drivers of what it boots from, and no others.
        shell.run("connect -r");
        shell
    }

    /// Types a command and returns what was shown until the next prompt.
    fn run(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\r").as_bytes()).unwrap();
        self.0.set_read_timeout(Some(LIMIT)).unwrap();
        let (mut shown, mut chunk) = (Vec::new(), [0; 512]);
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = plain(&shown);
            // The command is echoed, then answered, then there is a new line to type on.
            let answered = text.split_once('\n').map(|(_, answer)| answer.to_owned());
            if let Some(answer) = answered.filter(|answer| answer.contains("Shell> ")) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{command}: {text}");
            let length = self.0.read(&mut chunk).unwrap();
            shown.extend_from_slice(&chunk[..length]);
        }
    }

    /// `present` or `disconnected`: the link of the card at the wire.
    fn media(&mut self) -> String {
        self.media_of("eth1")
    }

    fn media_of(&mut self, card: &str) -> String {
        let said = self.run(&format!("ifconfig -l {card}"));
        let media = said.lines().find_map(|line| line.strip_prefix("Media State  : Media "));
        media.unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    fn reaches(&mut self, address: &str) -> bool {
        let said = self.run(&format!("ping -n 2 {address}"));
        said.contains("2 received") || said.contains(" 1 received")
    }
}

/// Text without escape sequences and carriage returns.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace('\r', "");
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(
            part.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).get(1..).unwrap_or(""),
        );
    }
    plain
}
