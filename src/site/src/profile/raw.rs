//! [`RawProfile`]: one profile's file as it stands, without what it inherits.

use std::ops::RangeInclusive;
use std::path::Path;

use super::component::read_wishes;
use super::request::PackageRequest;
use super::words::{
    Architecture, Component, Compression, KernelWord, Module, PackageName, PathPattern,
    ProfileName, RelativePath, Suite, Unit, Uri,
};
use super::{Files, Initrd, Need, Packages};
use crate::Role;
use crate::document::{Document, Found, Table};
use crate::problem::InputErrors;

/// What one file says. Each value is good by itself; whether enough is said shows when profiles are
/// merged.
#[derive(Debug, Clone)]
pub struct RawProfile {
    /// The file's name without `.toml`.
    pub name: String,
    /// The profile that this one adds to.
    pub inherit: Option<String>,
    /// The profile whose lock is this one's too.
    pub lock: Option<String>,
    pub(super) summary: String,
    pub(super) role: Option<Role>,
    pub(super) repositories: Vec<RawRepository>,
    pub(super) packages: Packages,
    pub(super) kernel: Option<String>,
    pub(super) cmdline: Vec<String>,
    pub(super) microcode: Vec<String>,
    pub(super) initrd: Initrd,
    pub(super) image: RawImage,
    pub(super) overlays: Vec<String>,
    pub(super) enable: Vec<String>,
    pub(super) files: Files,
    /// What is said of each component; `None` for one that is not wanted.
    pub(super) components: Vec<(String, Option<Need>)>,
}

/// What one file says of a repository.
#[derive(Debug, Clone)]
pub(super) struct RawRepository {
    pub(super) name: String,
    pub(super) uris: Option<Vec<String>>,
    pub(super) snapshot: Option<String>,
    pub(super) suite: Option<String>,
    pub(super) components: Option<Vec<String>>,
    pub(super) keyring: Option<String>,
    pub(super) architectures: Option<Vec<String>>,
}

/// What one file says of the image.
#[derive(Debug, Clone, Default)]
pub(super) struct RawImage {
    pub(super) esp_mib: Option<u32>,
    pub(super) root_mib: Option<u32>,
    pub(super) verity_mib: Option<u32>,
    pub(super) state_mib: Option<u32>,
    pub(super) compression: Option<String>,
    pub(super) cluster: Option<u32>,
}

/// Sizes in MiB. An ESP below 64 MiB holds no UKI, a root below 64 MiB no system; the upper bounds
/// are what a slip of the finger should not exceed.
const ESP_MIB: RangeInclusive<u32> = 64..=4096;
const ROOT_MIB: RangeInclusive<u32> = 64..=65536;
const VERITY_MIB: RangeInclusive<u32> = 1..=1024;
const STATE_MIB: RangeInclusive<u32> = 16..=1_048_576;

/// What EROFS can compress as one: from one block to a MiB (mkfs.erofs(1), `-C`).
const CLUSTER: RangeInclusive<u32> = 4096..=1_048_576;

impl RawProfile {
    /// Reads a profile. `file` gives the profile's name and is named in errors.
    pub fn parse(text: &str, file: &Path) -> Result<RawProfile, InputErrors> {
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        Document::read(text, file, "input::profile", |table| read(table, name))
    }
}

fn read(file: &Table<'_>, name: String) -> Option<RawProfile> {
    let hint = "write summary = \"what the profile is for\" above the first [table]";
    let summary = file.require("summary", file.text("summary"), hint);
    let inherit = file.parsed::<ProfileName>("inherit");
    if let Some(found) = inherit.as_ref().filter(|found| found.value.0 == name) {
        file.report(found.span.clone(), "the profile inherits from itself", "name another profile");
    }
    let lock = file.parsed::<ProfileName>("lock");
    if let Some(found) = lock.as_ref().filter(|found| found.value.0 == name) {
        let hint = "leave the key out: a profile has a lock of its own";
        file.report(found.span.clone(), "the profile names its own lock", hint);
    }
    let role = file.choice("role", &[("control", Role::Control), ("worker", Role::Worker)]);
    let overlays = texts(file, "overlays", |RelativePath(text)| text).unwrap_or_default();
    let repositories = file.table("repositories").map(|table| read_repositories(&table));
    let packages = file.table("packages").map(|table| read_packages(&table));
    let (kernel, cmdline, microcode) =
        file.table("kernel").map(|table| read_kernel(&table)).unwrap_or_default();
    let initrd = file.table("initrd").map(|table| read_initrd(&table));
    let image = file.table("image").map(|table| read_image(&table));
    let enable = file.table("services").map(|table| {
        let units = texts(&table, "enable", |Unit(text)| text);
        table.finish();
        units.unwrap_or_default()
    });
    let files = file.table("files").map(|table| read_files(&table));
    let components = file.table("components").map(|table| read_wishes(&table));
    file.finish();
    Some(RawProfile {
        name,
        inherit: inherit.map(|found| found.value.0),
        lock: lock.map(|found| found.value.0),
        summary: summary?.value.to_owned(),
        role: role.map(|found| found.value),
        repositories: repositories.unwrap_or_default(),
        packages: packages.unwrap_or_default(),
        kernel,
        cmdline,
        microcode,
        initrd: initrd.unwrap_or_default(),
        image: image.unwrap_or_default(),
        overlays,
        enable: enable.unwrap_or_default(),
        files: files.unwrap_or_default(),
        components: components.unwrap_or_default(),
    })
}

/// A list of texts of one kind, each taken out of its type by `text`.
pub(super) fn texts<T>(
    table: &Table<'_>,
    key: &'static str,
    text: fn(T) -> String,
) -> Option<Vec<String>>
where
    T: std::str::FromStr<Err: miette::Diagnostic>,
{
    let list =
        table.parsed_list::<T>(key)?.into_iter().map(|found| (text(found.value), found.span));
    let mut texts: Vec<String> = Vec::new();
    for (text, span) in list {
        if texts.contains(&text) {
            table.report(span, format!("`{text}` is in the list twice"), "remove one of them");
        } else {
            texts.push(text);
        }
    }
    Some(texts)
}

fn read_repositories(table: &Table<'_>) -> Vec<RawRepository> {
    let read = |(name, table): (Found<&str>, Table<'_>)| {
        let without_slash = |Uri(text)| text.trim_end_matches('/').to_owned();
        let repository = RawRepository {
            name: name.value.to_owned(),
            uris: texts(&table, "uris", without_slash),
            snapshot: table.parsed("snapshot").map(|found| without_slash(found.value)),
            suite: table.parsed::<Suite>("suite").map(|found| found.value.0),
            components: texts(&table, "components", |Component(text)| text),
            keyring: table.parsed::<RelativePath>("keyring").map(|found| found.value.0),
            architectures: texts(&table, "architectures", |Architecture(text)| text),
        };
        for key in ["uris", "components", "architectures"] {
            if table.has(key) && table.length(key) == 0 {
                table.forbid(key, &format!("`{key}` is empty"), "name at least one");
            }
        }
        table.finish();
        repository
    };
    table.named_tables().into_iter().map(read).collect()
}

fn read_packages(table: &Table<'_>) -> Packages {
    let requests = |key| {
        let mut requests: Vec<PackageRequest> = Vec::new();
        for found in table.parsed_list::<PackageRequest>(key).unwrap_or_default() {
            let request = found.value;
            if requests.iter().any(|other| other.name == request.name) {
                let message = format!("`{}` is in the list twice", request.name);
                table.report(found.span, message, "remove one of them");
            } else {
                requests.push(request);
            }
        }
        requests
    };
    let packages = Packages {
        root: requests("root"),
        exclude: texts(table, "exclude", |PackageName(text)| text).unwrap_or_default(),
        tools: requests("tools"),
    };
    table.finish();
    packages
}

fn read_kernel(table: &Table<'_>) -> (Option<String>, Vec<String>, Vec<String>) {
    let package = table.parsed::<PackageName>("package").map(|found| found.value.0);
    let cmdline = texts(table, "cmdline", |KernelWord(text)| text).unwrap_or_default();
    let microcode = texts(table, "microcode", |PackageName(text)| text).unwrap_or_default();
    table.finish();
    (package, cmdline, microcode)
}

fn read_initrd(table: &Table<'_>) -> Initrd {
    // The kernel takes `-` and `_` in a module's name for the same sign.
    let module = |Module(text)| text.replace('-', "_");
    let initrd = Initrd {
        load: texts(table, "load", module).unwrap_or_default(),
        drivers: texts(table, "drivers", module).unwrap_or_default(),
    };
    table.finish();
    initrd
}

fn read_image(table: &Table<'_>) -> RawImage {
    let number = |key, range| table.number(key, range).map(|found| found.value);
    let image = RawImage {
        esp_mib: number("esp_mib", ESP_MIB),
        root_mib: number("root_mib", ROOT_MIB),
        verity_mib: number("verity_mib", VERITY_MIB),
        state_mib: number("state_mib", STATE_MIB),
        compression: table.parsed::<Compression>("compression").map(|found| found.value.0),
        cluster: table.number("cluster", CLUSTER).and_then(|found| {
            if found.value.is_power_of_two() {
                return Some(found.value);
            }
            let message = format!("`cluster = {}` is impossible", found.value);
            let hint = format!("write a power of two, such as {}", found.value.next_power_of_two());
            table.report(found.span, message, hint);
            None
        }),
    };
    table.finish();
    image
}

fn read_files(table: &Table<'_>) -> Files {
    let files = Files {
        remove: texts(table, "remove", |PathPattern(text)| text).unwrap_or_default(),
        keep: texts(table, "keep", |PathPattern(text)| text).unwrap_or_default(),
    };
    table.finish();
    files
}
