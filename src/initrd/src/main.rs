//! The static /init of Duet's initrd. Start at [`start`].
//!
//! Loads drivers, finds the root that the command line names, opens it through dm-verity, makes it
//! `/`, puts the state partition on /var, and becomes systemd. Every wait is bounded, there is no
//! shell, and whatever goes wrong ends in a screen that says so and in a restart.

pub mod choose;
pub mod cmdline;
pub mod command;
pub mod console;
pub mod content;
pub mod devices;
pub mod disks;
pub mod drivers;
pub mod failure;
pub mod find;
pub mod glob;
pub mod kernel;
pub mod machine_id;
pub mod netboot;
pub mod record;
pub mod root;
pub mod state;
pub mod var;
pub mod verity;

use cmdline::{Request, Source};
use console::Log;
use devices::Drivers;
use failure::Failure;
use find::Places;
use record::{Action, Record};
use std::convert::Infallible;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the machine becomes.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// Duet's own folder on /var.
const OWN_STATE: &str = "/var/lib/duet";

/// How long the error screen stays; the command line may change it.
static PANIC_SECONDS: AtomicU64 = AtomicU64::new(30);

fn main() -> ExitCode {
    if std::process::id() != 1 {
        // It would mount over this computer's files, and then restart it.
        let _ = writeln!(std::io::stderr(), "initrd: this is /init of a Duet image and only that");
        return ExitCode::from(2);
    }
    std::panic::set_hook(Box::new(|panic| {
        let failure = Failure::new("go on: /init itself has failed", panic, root::BUILD_AGAIN);
        console::give_up(&failure, PANIC_SECONDS.load(Ordering::Relaxed))
    }));
    let Err(failure) = start();
    console::give_up(&failure, PANIC_SECONDS.load(Ordering::Relaxed))
}

/// Everything, in order. Comes back only if it failed.
fn start() -> Result<Infallible, Failure> {
    root::mount_kernel()?;
    let log = Log::open();
    log.stage("init", "the kernel has started /init");
    let request = read_command_line(&log)?;

    let mut drivers = Drivers::open(&log);
    drivers.load_always();
    log.stage("drivers", "what every machine needs is loaded");
    let places = match request.source.clone() {
        Ok(Source::Disk(hash)) => find::on_disk(&log, &mut drivers, &request, hash)?,
        Ok(Source::Netboot(hash)) => find::in_initramfs(&log, &mut drivers, &request, hash)?,
        Err(problem) => return Err(Failure::new("read the command line", problem, WRONG_ENTRY)),
    };
    drop(drivers);
    log.stage("disk", &format!("the root is on {}", places.data));

    let device = match (&places.hash, &places.tree) {
        (Some(hash), Some(tree)) => verity::open(&places.data, tree, hash)?,
        _ => places.data.clone(),
    };
    root::mount_root(&device)?;
    log.stage("root", &format!("mounted {device}"));
    root::enter(&log)?;
    root::mount_run()?;

    let action = mount_var(&log, &places)?;
    log.stage("state", &format!("/var is {action:?}"));
    let esp = mount_esp(&log, &places);
    give_identity(&log)?;
    log.stage("switch", "systemd takes over");
    write_record(&log, places, action, esp)?;
    let error = Command::new(SYSTEMD).args(std::env::args_os().skip(1)).exec();
    Err(Failure::new(&format!("start {SYSTEMD}"), error, root::BUILD_AGAIN))
}

const WRONG_ENTRY: &str = "The boot loader's entry does not belong to a Duet image. Choose another \
     entry in its menu, or write the image again.";

fn read_command_line(log: &Log) -> Result<Request, Failure> {
    let line = std::fs::read_to_string("/proc/cmdline")
        .map_err(|error| Failure::new("read /proc/cmdline", error, root::BUILD_AGAIN))?;
    let request = Request::parse(&line);
    PANIC_SECONDS.store(request.panic_seconds, Ordering::Relaxed);
    for complaint in &request.complaints {
        log.note(complaint);
    }
    Ok(request)
}

fn mount_var(log: &Log, places: &Places) -> Result<Action, Failure> {
    match &places.state {
        Some(state) => var::mount_state(log, &state.node, state.bytes_before),
        None => root::mount_memory_var().map(|()| Action::Tmpfs),
    }
}

/// The machine can start without its ESP: duetd says what is missing. Returns why it is not there.
fn mount_esp(log: &Log, places: &Places) -> Option<String> {
    let problem = match &places.esp {
        None => "there is no partition duet-esp beside the state".to_owned(),
        Some(device) => match root::mount_esp(device) {
            Ok(()) => return None,
            Err(error) => format!("cannot mount {device} on /efi: {error}"),
        },
    };
    // A machine without a disk has no ESP, and nobody misses it.
    if places.disk.is_some() {
        log.note(problem.clone());
    }
    Some(problem)
}

/// Shows the machine's identity, which lives on /var, at /etc/machine-id.
fn give_identity(log: &Log) -> Result<(), Failure> {
    let file = Path::new(OWN_STATE).join("machine-id");
    let failed = |error: std::io::Error| {
        Failure::new(&format!("keep the machine's identity in {}", file.display()), error, FULL)
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(OWN_STATE).map_err(failed)?;
    if machine_id::read_or_make(&file).map_err(failed)? {
        log.say("the machine has a new identity");
    }
    if let Err(error) = root::bind_file(&file.to_string_lossy(), "/etc/machine-id") {
        log.note(format!("cannot show the machine's identity at /etc/machine-id: {error}"));
    }
    Ok(())
}

const FULL: &str = "If the state partition is full: use a larger disk, it grows at the next start. \
     Otherwise see what the kernel says of the disk.";

/// Leaves for duetd how the machine started.
fn write_record(
    log: &Log,
    places: Places,
    action: Action,
    esp: Option<String>,
) -> Result<(), Failure> {
    let record = Record {
        root_hash: places.hash.map(|hash| hash.to_string()),
        slot: places.slot,
        disk: places.disk,
        root_partition: Some(places.data),
        verity_partition: places.tree,
        state: Some((places.state.map(|state| state.node), action)),
        esp: (places.esp, esp),
        netboot: places.netboot,
        stages: log.stages.take(),
        notes: log.notes.take(),
    };
    let write = || -> std::io::Result<()> {
        let folder = Path::new("/run/duet");
        std::fs::DirBuilder::new().mode(0o755).create(folder)?;
        let file = folder.join("boot.json");
        std::fs::write(&file, record.to_json())?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))
    };
    write().map_err(|error| Failure::new("write /run/duet/boot.json", error, root::BUILD_AGAIN))
}
