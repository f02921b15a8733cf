//! Shows any artefact to a person: what it is, what is in it, whether it is whole.
//!
//! Start at [`inspect`]. The kind is told by the bytes, never by the file's name. A root that is
//! there is verified block by block against its root hash.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use formats::fat::{FatError, Reader};
use formats::gpt::{self, GptError, Guid, Partition, Table};
use formats::uki::{Uki, UkiError};
use formats::verity::{self, Superblock, VerityError};
use formats::{Opened, ReadAt, Window};
use serde::Serialize;
use site::seed::Secrets;
use zeroize::Zeroizing;

use crate::digest::hex;
use crate::manifest::Manifest;

/// Text artefacts are small; a larger file is not one of them.
const MAX_TEXT: u64 = 64 << 20;
/// No UKI is larger: the netboot image holds a whole root.
const MAX_UKI: u64 = 4 << 30;
/// Where EROFS' superblock lies, and its magic number (Linux, fs/erofs/erofs_fs.h).
const EROFS_SUPERBLOCK: u64 = 1024;
const EROFS_MAGIC: [u8; 4] = [0xe2, 0xe1, 0xf5, 0xe0];

/// Why an artefact cannot be shown.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum InspectError {
    /// The file could not be read.
    #[error("cannot read {path}")]
    #[diagnostic(code(input::artefact), help("is the path right, and may you read it?"))]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Nothing that Duet makes.
    #[error("{path} is no artefact of Duet's")]
    #[diagnostic(
        code(input::artefact),
        help("it can be a disk image, a UKI, a root, a hash tree, a manifest or an SBOM")
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// It is one, and it is damaged.
    #[error("{path} is damaged: {what}")]
    #[diagnostic(code(integrity::artefact), help("fetch or build it again; do not install it"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and how.
        what: String,
    },
}

/// An artefact, read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Report {
    /// A disk image, or a disk.
    Disk(Disk),
    /// A unified kernel image.
    Uki(Boot),
    /// An EROFS root.
    Root {
        /// Bytes.
        size: u64,
        /// The file system's identifier.
        uuid: String,
    },
    /// A dm-verity hash tree.
    Verity {
        /// Blocks of 4096 bytes that it covers.
        data_blocks: u64,
        /// Hexadecimal.
        salt: String,
        /// Its superblock's identifier.
        uuid: String,
    },
    /// A build's manifest.
    Manifest(Box<Manifest>),
    /// A software bill of materials.
    Sbom {
        /// The SPDX version.
        version: String,
        /// The document's name.
        name: String,
        /// How many packages it names.
        packages: usize,
    },
}

/// A disk: partitions, slots, boot entries, seed.
#[derive(Debug, Serialize)]
pub struct Disk {
    /// Bytes.
    pub size: u64,
    /// Its GUID.
    pub guid: String,
    /// Whether a copy of the partition table is damaged.
    pub table: &'static str,
    /// In the table's order.
    pub partitions: Vec<PartitionReport>,
    /// What can be booted, in the ESP.
    pub boot: Vec<BootEntry>,
    /// What each slot holds.
    pub slots: Vec<SlotReport>,
    /// The seed's facts, when there is one.
    pub seed: Option<SeedReport>,
}

/// One partition.
#[derive(Debug, Serialize)]
pub struct PartitionReport {
    /// From 1.
    pub number: u32,
    /// Its label.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// Its GUID.
    pub guid: String,
    /// Bytes.
    pub size: u64,
}

/// A slot and what is in it.
#[derive(Debug, Serialize)]
pub struct SlotReport {
    /// `a` or `b`.
    pub slot: String,
    /// The release that boots it, when there is one.
    pub version: Option<String>,
    /// The root hash, when a boot entry names it.
    pub root_hash: Option<String>,
    /// `empty`, or `verified`.
    pub state: &'static str,
}

/// A UKI in the ESP.
#[derive(Debug, Serialize)]
pub struct BootEntry {
    /// Path in the ESP.
    pub path: String,
    /// Boots left before the loader gives it up; `None` once it is blessed.
    pub tries_left: Option<u32>,
    /// What it is.
    #[serde(flatten)]
    pub boot: Boot,
}

/// What a UKI boots.
#[derive(Debug, Serialize)]
pub struct Boot {
    /// The image's name in os-release.
    pub image: String,
    /// Its version.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// The command line.
    pub cmdline: String,
    /// The root's hash, from the command line.
    pub root_hash: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Section and bytes.
    pub sections: Vec<(String, u64)>,
}

/// The seed on a disk.
#[derive(Debug, Serialize)]
pub struct SeedReport {
    /// Site, room, role, host name.
    pub facts: Vec<(String, String)>,
    /// The signer's key, or what is wrong with the signature.
    pub signature: String,
    /// Whether the secrets are there: a machine moves them away on its first boot.
    pub secrets: &'static str,
}

/// Reads an artefact and says what it is.
///
/// # Errors
/// When it is none of Duet's, or damaged.
pub fn inspect(path: &Path) -> Result<Report, InspectError> {
    let read = |source| InspectError::Read { path: path.to_owned(), source };
    let damaged = |what: String| InspectError::Damaged { path: path.to_owned(), what };
    let device = File::open(path).and_then(Opened::new).map_err(read)?;
    let mut head = vec![0; device.len().min(4096) as usize];
    device.read_at(0, &mut head).map_err(read)?;
    if head.get(512..520) == Some(b"EFI PART") || head.get(510..512) == Some(&[0x55, 0xaa]) {
        return disk(&device).map(Report::Disk).map_err(damaged);
    }
    if head.starts_with(b"MZ") && device.len() <= MAX_UKI {
        let bytes = whole(&device).map_err(read)?;
        return boot(&bytes).map(Report::Uki).map_err(|error| damaged(chain(&error)));
    }
    let superblock = EROFS_SUPERBLOCK as usize;
    if head.get(superblock..superblock + 4) == Some(&EROFS_MAGIC) {
        return erofs(&device, &head).map_err(damaged);
    }
    if head.starts_with(b"verity\0\0") {
        let found = Superblock::parse(&device).map_err(|error| damaged(chain(&error)))?;
        let (salt, uuid) = (hex(&found.salt), found.uuid.to_string());
        return Ok(Report::Verity { data_blocks: found.data_blocks, salt, uuid });
    }
    if head.starts_with(b"{") && device.len() <= MAX_TEXT {
        return document(&whole(&device).map_err(read)?)
            .ok_or_else(|| damaged("it is neither a manifest nor an SPDX document".into()))?
            .map_err(|error| damaged(error.to_string()));
    }
    Err(InspectError::Unknown { path: path.to_owned() })
}

fn document(bytes: &[u8]) -> Option<Result<Report, serde_json::Error>> {
    let value: serde_json::Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => return Some(Err(error)),
    };
    if let Some(version) = value.get("spdxVersion").and_then(|version| version.as_str()) {
        let packages = value.get("packages").and_then(|all| all.as_array()).map_or(0, Vec::len);
        let name = value.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        return Some(Ok(Report::Sbom { version: version.into(), name: name.into(), packages }));
    }
    value.get("root_hash")?;
    Some(serde_json::from_value(value).map(|manifest| Report::Manifest(Box::new(manifest))))
}

/// All of a small file.
fn whole(device: &Opened) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; device.len() as usize];
    device.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn erofs(device: &Opened, head: &[u8]) -> Result<Report, String> {
    let field = |at: usize, len: usize| {
        head.get(EROFS_SUPERBLOCK as usize + at..).and_then(|rest| rest.get(..len))
    };
    let blocks = field(36, 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    let bits = field(12, 1).map_or(0, |bytes| bytes[0]);
    let uuid = field(48, 16).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; 16]);
    let size = u64::from(blocks) << bits.min(16);
    if size > device.len() {
        return Err(format!("it should have {size} bytes and has {}", device.len()));
    }
    Ok(Report::Root { size, uuid: Guid::from_bytes(uuid).to_string() })
}

fn disk(device: &Opened) -> Result<Disk, String> {
    let found = Table::parse(device).map_err(|error: GptError| chain(&error))?;
    let partitions = found.table.used().map(|(number, one)| PartitionReport {
        number,
        name: one.name.clone(),
        purpose: one.type_guid.type_name().unwrap_or("unknown").to_owned(),
        guid: one.guid.to_string(),
        size: one.bytes(),
    });
    let partitions: Vec<_> = partitions.collect();
    let esp = found.table.used().find(|(_, one)| one.type_guid == Guid::ESP);
    let (boot, seed) = match esp {
        Some((_, esp)) => esp_contents(&window(device, esp)?).map_err(|error| chain(&error))?,
        None => (Vec::new(), None),
    };
    let slots = ["a", "b"].map(|slot| slot_report(device, &found.table, slot, &boot));
    Ok(Disk {
        size: device.len(),
        guid: found.table.disk_guid.to_string(),
        table: match found.copy {
            gpt::Copy::Both => "sound",
            gpt::Copy::Primary => "the backup copy is damaged or not at the end",
            gpt::Copy::Backup => "the primary copy is damaged",
        },
        partitions,
        boot,
        slots: slots.into_iter().collect::<Result<_, _>>()?,
        seed,
    })
}

fn window<'a>(device: &'a Opened, part: &Partition) -> Result<Window<&'a Opened>, String> {
    Window::new(device, part.offset(), part.bytes())
        .ok_or_else(|| format!("the partition {} lies beyond the end of the file", part.name))
}

fn slot_report(
    device: &Opened,
    table: &Table,
    slot: &str,
    boot: &[BootEntry],
) -> Result<SlotReport, String> {
    let find = |kind: &str| table.used().find(|(_, one)| one.name == format!("duet-{kind}-{slot}"));
    let empty = SlotReport { slot: slot.into(), version: None, root_hash: None, state: "empty" };
    let (Some((_, root)), Some((_, verity))) = (find("root"), find("verity")) else {
        return Ok(empty);
    };
    let names = |entry: &&BootEntry| {
        let hash = entry.boot.root_hash.as_deref().and_then(unhex);
        hash.is_some_and(|hash| Guid::of_verity(&hash) == (root.guid, verity.guid))
    };
    let Some(entry) = boot.iter().find(names) else { return Ok(empty) };
    let hash = entry.boot.root_hash.as_deref().and_then(unhex).unwrap_or_default();
    let checked: Result<_, VerityError> =
        verity::verify(&window(device, root)?, &window(device, verity)?, &hash);
    checked.map_err(|error| format!("slot {slot}: {}", chain(&error)))?;
    Ok(SlotReport {
        slot: slot.into(),
        version: Some(entry.boot.version.clone()),
        root_hash: entry.boot.root_hash.clone(),
        state: "verified",
    })
}

type EspContents = (Vec<BootEntry>, Option<SeedReport>);

fn esp_contents(esp: &dyn ReadAt) -> Result<EspContents, FatError> {
    let reader = Reader::open(esp)?;
    let items = reader.list()?;
    let mut entries = Vec::new();
    for item in &items {
        let in_linux = item.path.to_ascii_lowercase().starts_with("efi/linux/");
        if in_linux && !item.folder {
            let bytes = reader.read(&item.path)?;
            if let Ok(boot) = boot(&bytes) {
                let tries_left = tries_left(&item.path);
                entries.push(BootEntry { path: item.path.clone(), tries_left, boot });
            }
        }
    }
    let secrets = reader.read("duet/seed.secrets").ok();
    let seed = match (reader.read("duet/seed.toml"), reader.read("duet/seed.sig")) {
        (Ok(seed), Ok(signature)) => Some(seed_report(&seed, &signature, secrets)),
        (Ok(seed), Err(_)) => Some(seed_report(&seed, b"", secrets)),
        _ => None,
    };
    Ok((entries, seed))
}

/// `name+2-1.efi` → 2 (Boot Loader Specification, "Boot counting").
fn tries_left(path: &str) -> Option<u32> {
    let counts = path.strip_suffix(".efi")?.rsplit_once('+')?.1;
    counts.split('-').next()?.parse().ok()
}

/// The seed's facts; its validity in time is the node's to judge, whose clock it is.
fn seed_report(seed: &[u8], signature: &[u8], secrets: Option<Vec<u8>>) -> SeedReport {
    let secrets = secrets.map(Zeroizing::new);
    let then = site::Timestamp::from_unix(0).expect("1970 is a time");
    match site::seed::verify(seed, signature, None, then) {
        Ok(verified) => {
            let seed = verified.seed;
            let facts = [
                ("site", seed.site.to_string()),
                ("room", seed.room.to_string()),
                ("role", seed.role.to_string()),
                ("hostname", seed.hostname.to_string()),
                ("ssh keys", seed.ssh_keys.len().to_string()),
            ];
            let facts = facts.map(|(name, value)| (name.to_owned(), value)).into();
            let secrets = match secrets {
                None => "not here: the machine has them",
                Some(text) => match Secrets::parse(&text, &seed.secrets_sha256) {
                    Ok(_) => "here, until the machine starts",
                    Err(_) => "of another seed, or damaged",
                },
            };
            SeedReport { facts, signature: format!("valid, by {}", verified.signer), secrets }
        }
        Err(error) => {
            let secrets = if secrets.is_some() { "here" } else { "not here" };
            SeedReport { facts: Vec::new(), signature: error.to_string(), secrets }
        }
    }
}

fn boot(bytes: &[u8]) -> Result<Boot, UkiError> {
    let uki = Uki::parse(bytes)?;
    let release = |key: &str| {
        let lines = uki.text(".osrel").unwrap_or_default().lines();
        let value = lines.filter_map(|line| line.split_once('=')).find(|(name, _)| *name == key);
        value.map_or_else(String::new, |(_, value)| value.trim_matches('"').to_owned())
    };
    let cmdline = uki.cmdline().unwrap_or_default().to_owned();
    let root_hash = cmdline.split(' ').find_map(|word| word.strip_prefix("duet.root="));
    let sections = formats::uki::SECTIONS.iter().filter_map(|name| {
        let bytes = uki.section(name)?.len() as u64;
        Some(((*name).to_owned(), bytes))
    });
    Ok(Boot {
        image: release("IMAGE_ID"),
        version: release("IMAGE_VERSION"),
        kernel: uki.text(".uname").unwrap_or_default().to_owned(),
        root_hash: root_hash.map(str::to_owned),
        size: bytes.len() as u64,
        sections: sections.collect(),
        cmdline,
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digit).collect();
    bytes?.try_into().ok()
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.size as f64 / f64::from(1 << 20);
        writeln!(f, "{} {}, kernel {}, {mib:.1} MiB", self.image, self.version, self.kernel)?;
        write!(f, "    cmdline {}", self.cmdline)
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        writeln!(
            f,
            "disk of {} MiB, {}; partition table {}",
            mib(self.size),
            self.guid,
            self.table
        )?;
        for part in &self.partitions {
            let PartitionReport { number, name, purpose, guid, size } = part;
            writeln!(f, "  {number}  {name:<14} {:>6} MiB  {guid}  {purpose}", mib(*size))?;
        }
        for slot in &self.slots {
            let version = slot.version.as_deref().unwrap_or("-");
            let hash = slot.root_hash.as_deref().map_or("", |hash| &hash[..16]);
            writeln!(f, "slot {}  {:<9} {version} {hash}", slot.slot, slot.state)?;
        }
        for entry in &self.boot {
            let tries = match entry.tries_left {
                Some(left) => format!("{left} tries left"),
                None => "known to be good".to_owned(),
            };
            writeln!(f, "boot    {} ({tries})\n    {}", entry.path, entry.boot)?;
        }
        match &self.seed {
            None => write!(f, "seed    none: the image belongs to no site yet"),
            Some(seed) => {
                let facts = seed.facts.iter().map(|(name, value)| format!("{name} {value}"));
                let facts: Vec<String> = facts.collect();
                let (facts, signature, secrets) = (facts.join(", "), &seed.signature, seed.secrets);
                write!(f, "seed    {facts}\n    signature {signature}\n    secrets {secrets}")
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Disk(disk) => disk.fmt(f),
            Report::Uki(boot) => {
                write!(f, "unified kernel image: {boot}")?;
                boot.sections
                    .iter()
                    .try_for_each(|(name, size)| write!(f, "\n    {name:<9} {size:>12} bytes"))
            }
            Report::Root { size, uuid } => write!(f, "EROFS root of {} MiB, {uuid}", size >> 20),
            Report::Verity { data_blocks, salt, uuid } => {
                write!(
                    f,
                    "dm-verity hash tree, {uuid}\n    covers {data_blocks} blocks of 4096 bytes\n    salt {salt}"
                )
            }
            Report::Manifest(manifest) => {
                writeln!(f, "manifest of {} {}", manifest.profile, manifest.version)?;
                writeln!(
                    f,
                    "    root hash {}\n    kernel    {}",
                    manifest.root_hash, manifest.kernel
                )?;
                write!(
                    f,
                    "    {} packages, {} unreviewed scripts",
                    manifest.packages.len(),
                    manifest.unreviewed.len()
                )?;
                for one in &manifest.components {
                    write!(f, "\n    {one}")?;
                }
                manifest.artefacts.iter().try_for_each(|one| {
                    write!(f, "\n    {}  {:>10} bytes  {}", &one.sha256[..16], one.size, one.name)
                })
            }
            Report::Sbom { version, name, packages } => {
                write!(f, "{version} document {name}: {packages} packages")
            }
        }
    }
}
