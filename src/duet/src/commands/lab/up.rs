//! `duet lab up`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use image::fetch::FetchOptions;
use image::progress::{Progress, Task, Unit};
use lab::{
    DiskBus, Goal, Lab, LabError, LabPlan, Login, MachinePlan, Sight, Stage, Step, WirePlan,
};
use miette::IntoDiagnostic;
use site::Room;

use super::{CABLE, Dir, Ended, short};
use crate::commands::options::{CacheDir, Offline, ProfilesDir};
use crate::console::Console;
use crate::load;
use crate::places::Places;

/// Four times what two emulated machines on two busy cores take to their status screens.
const PATIENCE: Duration = Duration::from_secs(600);
/// What `duetd` writes at the top of a status screen that needs nobody (see its `screen` module).
const SETTLED: [&str; 2] = ["All is well", "Have a look"];
/// Large enough for the state partition to have something to grow into; the file is sparse.
const DISK_GIB: u32 = 8;

/// Nothing was named, and nothing is there.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no disk image of room {room} in {}", folder.display())]
#[diagnostic(
    code(usage::image),
    help(
        "build both rooms first:\n  duet build control --site {site} --room a\n  \
         duet build control --site {site} --room b\nor name the images with --image-a and --image-b",
        site = site.display()
    )
)]
struct NoImage {
    room: Room,
    folder: PathBuf,
    site: PathBuf,
}

/// Start both rooms, each from its disk image
///
/// Without images: the newest ones that `duet build` made for the site. The images are copied and
/// never written to. KVM is used where it really works, else emulation.
#[derive(Debug, clap::Args)]
pub(super) struct Up {
    #[command(flatten)]
    dir: Dir,

    /// The site whose builds are started; without it the one in this folder
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,

    /// Room a's disk image
    #[arg(long, value_name = "FILE", requires = "image_b")]
    image_a: Option<PathBuf>,

    /// Room b's disk image
    #[arg(long, value_name = "FILE", requires = "image_a")]
    image_b: Option<PathBuf>,

    /// The private key for `duet lab ssh`; without it `keys/ssh` beside the site file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Wait until both status screens are settled
    #[arg(long)]
    wait: bool,

    /// Memory of each machine in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,

    /// Processors of each machine; one is the safest choice without KVM
    #[arg(long, value_name = "N", default_value_t = 1)]
    cpus: u8,

    #[command(flatten)]
    profiles: ProfilesDir,

    #[command(flatten)]
    cache: CacheDir,

    #[command(flatten)]
    offline: Offline,
}

impl Up {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let plan = self.plan(&Places::now())?;
        for machine in &plan.machines {
            console.detail(format!("{} starts from {}", machine.name, machine.image.display()));
        }
        if !plan.login.key.exists() {
            console.warning(format!(
                "there is no ssh key at {}: `duet lab ssh` will not get in",
                plan.login.key.display()
            ));
            console.hint("name the private key that belongs to site.toml's [ssh] with --key");
        }
        let tools = load::lab_tools(
            &self.profiles.find()?,
            &self.cache.find()?,
            &FetchOptions { offline: self.offline.offline, ..FetchOptions::default() },
            console,
        )?;
        let mut copying: Option<(String, u64, Box<dyn Task>)> = None;
        let lab = Lab::up(&tools, plan, &short(), &mut |step| match step {
            Step::Probing => console.detail("trying whether KVM works"),
            Step::Probed(probe) => {
                console
                    .note(format!("machines are run by {}: {}", probe.accelerator, probe.reason));
            }
            Step::Disk { machine, done, total } => {
                if copying.as_ref().is_none_or(|(name, ..)| name != machine) {
                    let what = format!("copy the disk of {machine}");
                    copying = Some((machine.into(), 0, console.begin(&what, total, Unit::Bytes)));
                }
                if let Some((_, before, task)) = &mut copying {
                    task.advance(done.saturating_sub(*before));
                    *before = done;
                }
            }
            Step::On(machine) => {
                copying = None;
                console.note(format!("{machine} is on"));
            }
        })?;
        if self.wait {
            wait(&lab, console)?;
        }
        console.hint("`duet lab screen` shows the machines, `duet lab down` ends them");
        Ok(ExitCode::SUCCESS)
    }

    fn plan(&self, places: &Places) -> miette::Result<LabPlan> {
        let given = self.image_a.clone().zip(self.image_b.clone());
        let (a, b, key) = match given {
            Some((a, b)) => {
                let key = key_above(&a);
                (a, b, key)
            }
            None => {
                let site = places.site(self.site.as_deref())?;
                let key = load::beside(&site).join(load::SSH_KEY);
                (newest(Room::A, &site)?, newest(Room::B, &site)?, Some(key))
            }
        };
        let of_site = || Some(load::beside(self.site.as_ref()?).join(load::SSH_KEY));
        let key = self.key.clone().or_else(of_site).or(key).unwrap_or(load::SSH_KEY.into());
        let absolute = |path: &Path| std::path::absolute(path).into_diagnostic();
        let ports = lab::free_ports(2).into_diagnostic()?;
        let machine = |name: &str, room, image: &Path, ssh_port| {
            Ok::<_, miette::Report>(MachinePlan {
                name: name.parse()?,
                room,
                image: absolute(image)?,
                disk_gib: DISK_GIB,
                disk_bus: DiskBus::Nvme,
                memory_mib: self.memory,
                cpus: self.cpus,
                ssh_port,
            })
        };
        Ok(LabPlan {
            dir: absolute(&self.dir.dir)?,
            machines: vec![
                machine("a1", Room::A, &a, ports[0])?,
                machine("b1", Room::B, &b, ports[1])?,
            ],
            wires: vec![WirePlan { name: CABLE.parse()?, ends: ["a1".parse()?, "b1".parse()?] }],
            login: Login { user: "root".into(), key: absolute(&key)? },
            accelerator: None,
        })
    }
}

/// The last written disk image of a room, where `duet build` puts it.
fn newest(room: Room, site: &Path) -> Result<PathBuf, NoImage> {
    let folder = load::beside(site).join("build").join(room.to_string());
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|file| file.path());
    let images = files.filter(|path| path.extension().is_some_and(|extension| extension == "raw"));
    let written = |path: &PathBuf| {
        let meta = path.metadata().and_then(|meta| meta.modified());
        meta.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let newest = images.max_by_key(written);
    newest.ok_or_else(|| NoImage { room, folder, site: site.into() })
}

/// The site's ssh key in the nearest folder above the image that has one.
fn key_above(image: &Path) -> Option<PathBuf> {
    let image = std::path::absolute(image).ok()?;
    image.ancestors().skip(1).map(|folder| folder.join(load::SSH_KEY)).find(|key| key.is_file())
}

/// Waits for both status screens, and tells each stage once.
fn wait(lab: &Lab, console: &Console) -> Result<(), LabError> {
    let machines: Vec<&str> = lab.plan().machines.iter().map(|one| one.name.as_str()).collect();
    let mut told: Vec<(String, Option<Stage>)> = Vec::new();
    let settled = |sight: &Sight<'_>| SETTLED.iter().any(|word| sight.screen.contains(word));
    lab.wait_for(
        &machines,
        Goal { what: "a settled status screen", limit: PATIENCE },
        &mut |sight| settled(sight),
        &mut |sight| {
            let at = (sight.machine.to_owned(), sight.stages.last());
            if let (_, Some(stage)) = &at {
                if !told.contains(&at) {
                    console.note(format!("{} {:>6.1} s  {stage}", at.0, sight.since.as_secs_f64()));
                    told.push(at);
                }
            }
        },
    )?;
    console.note("both status screens are settled");
    Ok(())
}
