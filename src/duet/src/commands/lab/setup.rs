//! What a lab is made of, as a person says it: shared by `duet lab up` and `duet lab run`. Start at
//! [`Setup::up`].

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use image::fetch::FetchOptions;
use image::progress::{Progress, Task, Unit};
use lab::{DiskBus, Lab, LabPlan, Login, MachinePlan, Step, WirePlan, WitnessPlan};
use miette::IntoDiagnostic;
use site::{Label, Room};

use super::{CABLE, Dir, data_disk, short};
use crate::commands::options::{CacheDir, Offline, ProfilesDir};
use crate::console::Console;
use crate::load;
use crate::places::Places;

/// Large enough for the state partition to have something to grow into; the file is sparse.
const DISK_GIB: u32 = 8;
/// How the disk images of workers begin; all others are those of control machines.
const WORKER: &str = "duet-worker-";
/// A machine that is not of the site.
const STRANGER: &str = "x1";
/// The program that is the witness, beside the node's other programs.
const WITNESS_PROGRAM: &str = "duetd";
/// What is in the witness' folder.
const WITNESS_CERT: &str = "witness.crt";
const WITNESS_KEY: &str = "witness.key";
/// The certificate of the site's authority, from the site's folder.
const SITE_CA: &str = "keys/ca.crt";

/// Nothing was named, and nothing is there.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no disk image of a {profile} machine of room {room} in {}", folder.display())]
#[diagnostic(
    code(usage::image),
    help(
        "build both rooms first:\n  duet build {profile} --site {site} --room a\n  \
         duet build {profile} --site {site} --room b\nor name the images with --image-a and --image-b",
        site = site.display()
    )
)]
struct NoImage {
    profile: &'static str,
    room: Room,
    folder: PathBuf,
    site: PathBuf,
}

/// Why the lab cannot be as it was asked for.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum SetupError {
    #[error("a site has one control machine in each room, not {count}")]
    #[diagnostic(code(usage::lab), help("further machines are workers: --workers"))]
    Control { count: u8 },
    #[error("a site file has one worker in each room, and {count} were asked for")]
    #[diagnostic(
        code(usage::lab),
        help("name the image of each with --image-worker-a and --image-worker-b")
    )]
    Workers { count: u8 },
    #[error("a data disk is for machine {name}, which the lab does not have")]
    #[diagnostic(code(usage::lab), help("its machines are a1, b1 and, with workers, a2, b2"))]
    DataDisk { name: Label },
    #[error("the witness needs to know the site, and no site file was found")]
    #[diagnostic(code(usage::lab), help("name the site file with --site"))]
    Site,
}

/// The machines of a lab, and what is beside them.
#[derive(Debug, clap::Args)]
pub(super) struct Setup {
    /// The site whose builds are started; without it the one in this folder
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,

    /// Room a's disk image
    #[arg(long, value_name = "FILE", requires = "image_b")]
    image_a: Option<PathBuf>,

    /// Room b's disk image
    #[arg(long, value_name = "FILE", requires = "image_a")]
    image_b: Option<PathBuf>,

    /// Control machines of each room; a site has one
    #[arg(long, value_name = "N", default_value_t = 1)]
    control: u8,

    /// Workers of each room, from the newest builds of the profile `worker`
    #[arg(long, value_name = "N", default_value_t = 0)]
    workers: u8,

    /// Disk image of a worker of room a; once for each
    #[arg(long, value_name = "FILE")]
    image_worker_a: Vec<PathBuf>,

    /// Disk image of a worker of room b; once for each
    #[arg(long, value_name = "FILE")]
    image_worker_b: Vec<PathBuf>,

    /// Disk image of a machine `x1` at the same wire that is not of the site
    #[arg(long, value_name = "FILE")]
    stranger: Option<PathBuf>,

    /// Give the lab a witness at 10.0.3.100:7411; its witness.crt and witness.key are in this folder
    #[arg(long, value_name = "FOLDER")]
    witness: Option<PathBuf>,

    /// The program that is the witness; without it the node's own, as .ci/programs built it
    #[arg(long, value_name = "FILE", requires = "witness")]
    duetd: Option<PathBuf>,

    /// The private key for `duet lab ssh`; without it `keys/ssh` beside the site file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Put a switch into each room, so that something can be between them: `duet lab narrow-link`
    #[arg(long)]
    pub(super) switches: bool,

    /// Memory of each machine in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,

    /// Processors of each machine; one is the safest choice without KVM
    #[arg(long, value_name = "N", default_value_t = 1)]
    cpus: u8,

    /// Give each machine a TPM 2.0 of its own, to which it seals its secrets
    #[arg(long)]
    tpm: bool,

    /// Give each machine, or the one named, a further disk of so many GiB: blank, or with what is in a
    /// file; may be repeated
    #[arg(long, value_name = "GIB[,machine=NAME][,serial=TEXT][,file=FILE]")]
    data_disk: Vec<data_disk::Wanted>,

    #[command(flatten)]
    profiles: ProfilesDir,

    #[command(flatten)]
    cache: CacheDir,

    #[command(flatten)]
    offline: Offline,
}

impl Setup {
    /// Switches all of it on, and tells how that goes.
    pub(super) fn up(&self, dir: &Dir, console: &Console) -> miette::Result<Lab> {
        let plan = self.plan(&dir.dir, &Places::now())?;
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
            Step::Witness => {
                copying = None;
                console.note("the witness is on");
            }
            Step::On(machine) => {
                copying = None;
                console.note(format!("{machine} is on"));
            }
        })?;
        Ok(lab)
    }

    fn plan(&self, dir: &Path, places: &Places) -> miette::Result<LabPlan> {
        if self.control != 1 {
            return Err(SetupError::Control { count: self.control }.into());
        }
        let site = match self.image_a {
            Some(_) => self.site.clone(),
            None => Some(places.site(self.site.as_deref())?),
        };
        let mut images = Vec::new();
        for room in [Room::A, Room::B] {
            images.extend(self.images(room, site.as_deref(), places)?);
        }
        if let Some(stranger) = &self.stranger {
            // At the switch of room a, as if somebody had plugged it in there.
            images.push((STRANGER.to_owned(), Room::A, stranger.clone()));
        }
        let key = self.key_file(site.as_deref(), &images[0].2);
        // Two ports for each machine, and the last one for the witness.
        let ports = lab::free_ports(2 * images.len() + 1).into_diagnostic()?;
        let machine = |((name, room, image), ports): (&(String, Room, PathBuf), &[u16])| {
            let name: Label = name.parse()?;
            Ok::<_, miette::Report>(MachinePlan {
                data_disks: data_disk::of(&name, &self.data_disk).into_diagnostic()?,
                name,
                room: *room,
                image: absolute(image)?,
                disk_gib: DISK_GIB,
                disk_bus: DiskBus::Nvme,
                memory_mib: self.memory,
                cpus: self.cpus,
                ssh_port: ports[0],
                page_port: ports[1],
                tpm: self.tpm,
                clock: None,
            })
        };
        let machines: Vec<MachinePlan> =
            images.iter().zip(ports.chunks(2)).map(machine).collect::<Result<_, _>>()?;
        let names: Vec<&Label> = machines.iter().map(|machine| &machine.name).collect();
        if let Some(name) = data_disk::stray(&self.data_disk, &names) {
            return Err(SetupError::DataDisk { name: name.clone() }.into());
        }
        let ends: Vec<Label> = machines.iter().map(|machine| machine.name.clone()).collect();
        Ok(LabPlan {
            dir: absolute(dir)?,
            machines,
            wires: vec![WirePlan { name: CABLE.parse()?, ends, switches: self.switches }],
            witness: self.witness_plan(site.as_deref(), &key, ports[ports.len() - 1], places)?,
            login: Login { user: "root".into(), key: absolute(&key)? },
            duet: std::env::current_exe().into_diagnostic()?,
            accelerator: None,
        })
    }

    /// Name, room and image of a room's machines, the control machine first.
    fn images(
        &self,
        room: Room,
        site: Option<&Path>,
        places: &Places,
    ) -> miette::Result<Vec<(String, Room, PathBuf)>> {
        let (control, workers) = match room {
            Room::A => (&self.image_a, &self.image_worker_a),
            Room::B => (&self.image_b, &self.image_worker_b),
        };
        let control = match (control, site) {
            (Some(image), _) => image.clone(),
            (None, Some(site)) => newest("control", room, site)?,
            (None, None) => newest("control", room, &places.site(None)?)?,
        };
        let mut workers = workers.clone();
        if workers.is_empty() && self.workers > 0 {
            if self.workers > 1 {
                return Err(SetupError::Workers { count: self.workers }.into());
            }
            workers.push(newest("worker", room, &places.site(site)?)?);
        }
        let images = std::iter::once(control).chain(workers).enumerate();
        Ok(images.map(|(index, image)| (format!("{room}{}", index + 1), room, image)).collect())
    }

    /// The key for logging in, which need not be there.
    fn key_file(&self, site: Option<&Path>, image: &Path) -> PathBuf {
        let of_site = || Some(load::beside(site?).join(load::SSH_KEY));
        let key = self.key.clone().or_else(of_site).or_else(|| key_above(image));
        key.unwrap_or(load::SSH_KEY.into())
    }

    fn witness_plan(
        &self,
        site: Option<&Path>,
        key: &Path,
        port: u16,
        places: &Places,
    ) -> miette::Result<Option<WitnessPlan>> {
        let Some(folder) = &self.witness else { return Ok(None) };
        // The site file lies beside the folder of its keys.
        let beside_key = || Some(key.parent()?.parent()?.join("site.toml"));
        let file = site.map(Path::to_owned).or_else(beside_key).filter(|file| file.is_file());
        let file = file.ok_or(SetupError::Site)?;
        let program = match &self.duetd {
            Some(program) => program.clone(),
            None => places.node_programs()?.join(WITNESS_PROGRAM),
        };
        Ok(Some(WitnessPlan {
            program: absolute(&program)?,
            cert: absolute(&folder.join(WITNESS_CERT))?,
            key: absolute(&folder.join(WITNESS_KEY))?,
            site: load::site(&file)?.name.to_string().parse()?,
            ca: absolute(&load::beside(&file).join(SITE_CA))?,
            port,
        }))
    }
}

fn absolute(path: &Path) -> miette::Result<PathBuf> {
    std::path::absolute(path).into_diagnostic()
}

/// The last written disk image of a room, where `duet build` puts it.
fn newest(profile: &'static str, room: Room, site: &Path) -> Result<PathBuf, NoImage> {
    let folder = load::beside(site).join("build").join(room.to_string());
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|file| file.path());
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".raw") && name.starts_with(WORKER) == (profile == "worker")
    };
    let written = |path: &PathBuf| {
        let meta = path.metadata().and_then(|meta| meta.modified());
        meta.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let newest = files.filter(fits).max_by_key(written);
    newest.ok_or_else(|| NoImage { profile, room, folder, site: site.into() })
}

/// The site's ssh key in the nearest folder above the image that has one.
fn key_above(image: &Path) -> Option<PathBuf> {
    let image = std::path::absolute(image).ok()?;
    image.ancestors().skip(1).map(|folder| folder.join(load::SSH_KEY)).find(|key| key.is_file())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        setup: Setup,
    }

    /// The plan for these words, in a folder with a site's builds.
    fn plan(words: &str) -> miette::Result<LabPlan> {
        let dir = tempfile::tempdir().unwrap();
        for (room, name) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2")] {
            let folder = dir.path().join("build").join(room);
            std::fs::create_dir_all(&folder).unwrap();
            let profile = if name.ends_with('1') { "control" } else { "worker" };
            std::fs::write(folder.join(format!("duet-{profile}-0.1.0-demo-{name}.raw")), "")
                .unwrap();
        }
        let site = dir.path().join("site.toml");
        std::fs::write(
            &site,
            "name = \"demo\"\n[room.a]\ntitle = \"A\"\n[room.b]\ntitle = \"B\"\n",
        )
        .unwrap();
        let site = site.to_str().unwrap().to_owned();
        let words = ["up", "--site", &site].into_iter().chain(words.split_whitespace());
        Line::try_parse_from(words).unwrap().setup.plan(Path::new("/lab"), &Places::now())
    }

    fn machines(plan: &LabPlan) -> String {
        let name = |image: &Path| image.file_name().unwrap().to_string_lossy().into_owned();
        let one = |one: &MachinePlan| format!("{}/{}={}", one.room, one.name, name(&one.image));
        plan.machines.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn without_a_word_it_is_both_control_machines_on_one_cable() {
        let plan = plan("").unwrap();
        plan.check().unwrap();
        let expected = "a/a1=duet-control-0.1.0-demo-a1.raw b/b1=duet-control-0.1.0-demo-b1.raw";
        assert_eq!(machines(&plan), expected);
        assert_eq!(plan.wires[0].ends.len(), 2);
        assert_eq!(plan.witness, None);
        assert!(plan.machines.iter().all(|machine| !machine.tpm));
    }

    #[test]
    fn a_tpm_is_for_every_machine() {
        let plan = plan("--tpm --workers 1").unwrap();
        assert!(plan.machines.len() == 4 && plan.machines.iter().all(|machine| machine.tpm));
    }

    #[test]
    fn data_disks_are_for_machines_that_are_there() {
        let made = plan("--data-disk 16,machine=a1 --data-disk 1").unwrap();
        made.check().unwrap();
        let count = |at: usize| made.machines[at].data_disks.len();
        assert_eq!((count(0), count(1)), (2, 1));
        let error = plan("--data-disk 16,machine=a2").unwrap_err().to_string();
        assert!(error.contains("for machine a2, which the lab does not have"), "{error}");
    }

    #[test]
    fn switches_are_there_when_they_are_wanted() {
        let switches = |words| plan(words).unwrap().wires[0].switches;
        assert_eq!((switches(""), switches("--switches")), (false, true));
    }

    #[test]
    fn workers_and_a_stranger_share_the_wire() {
        let plan = plan("--workers 1 --stranger /x.raw").unwrap();
        plan.check().unwrap();
        let names: Vec<_> = plan.wires[0].ends.iter().map(|end| end.as_str()).collect();
        assert_eq!(names, ["a1", "a2", "b1", "b2", "x1"]);
        assert!(machines(&plan).contains("b/b2=duet-worker-0.1.0-demo-b2.raw"));
        assert!(machines(&plan).contains("a/x1=x.raw"));
    }

    #[test]
    fn the_witness_is_that_of_the_site() {
        let plan = plan("--witness /keys --duetd /duetd").unwrap();
        plan.check().unwrap();
        let witness = plan.witness.unwrap();
        assert_eq!(witness.site.as_str(), "demo");
        assert_eq!(witness.cert, Path::new("/keys/witness.crt"));
        assert!(witness.ca.ends_with("keys/ca.crt"));
    }

    #[test]
    fn what_no_site_has_is_refused() {
        let refused = |words| plan(words).unwrap_err().to_string();
        assert!(refused("--control 3").contains("one control machine in each room, not 3"));
        assert!(refused("--workers 2").contains("one worker in each room"));
    }
}
