//! [`Component`]: something in an image that is no Debian package, as `profiles/components/NAME.toml`
//! describes it. Start at [`Component::parse`]. Which bytes of it go into an image is said by its lock,
//! which the crate `image` reads.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::raw::texts;
use super::words::{
    Address, ComponentName, FileMode, Licence, Module, RelativePath, Release, RootPath, Unit,
};
use super::{Need, PackageRequest, Wish};
use crate::document::{Document, Found, Table};
use crate::problem::InputErrors;

/// A component, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// The file's name without `.toml`.
    pub name: String,
    /// What it is for, in one sentence.
    pub summary: String,
    /// The release, as its makers call it.
    pub version: String,
    /// Its licence, as SPDX names it.
    pub licence: String,
    /// The address of its project; for the SBOM.
    pub homepage: String,
    /// What it consists of; at least one file.
    pub files: Vec<ComponentFile>,
    /// Debian packages that it does not work without; they join those of the profile.
    pub packages: Vec<PackageRequest>,
    /// Kernel modules that are loaded at boot where the component is present.
    pub modules: Vec<String>,
    /// The folder below `overlays/` that is laid in where the component is present.
    pub overlay: Option<String>,
    /// Units that are started at boot where the component is present.
    pub enable: Vec<String>,
}

/// One file of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentFile {
    /// Where the release has it, with the version filled in.
    pub url: String,
    /// Where the release says its SHA-256: lines as sha256sum(1) writes them.
    pub sums: String,
    /// Where it lies in the root, beginning with `/`.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
}

impl ComponentFile {
    /// The name under which the release's list of sums has the file.
    pub fn released_name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}

impl Component {
    /// Reads a component. `file` gives its name and is named in errors.
    pub fn parse(text: &str, file: &Path) -> Result<Component, InputErrors> {
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        Document::read(text, file, "input::component", |table| read(table, name))
    }
}

fn read(file: &Table<'_>, name: String) -> Option<Component> {
    let hint = "write summary = \"what it is for\" above the first [[file]]";
    let summary = file.require("summary", file.text("summary"), hint);
    let version = file.parsed::<Release>("version");
    let version = file.require("version", version, "write version = \"v1.2.3\"");
    let licence = file.parsed::<Licence>("licence");
    let licence = file.require("licence", licence, "write licence = \"Apache-2.0\"");
    let homepage = file.parsed::<Address>("homepage");
    let homepage = file.require("homepage", homepage, "write homepage = \"https://…\"");
    let overlay = file.parsed::<RelativePath>("overlay").map(|found| found.value.0);
    let packages = file.parsed_list::<PackageRequest>("packages").unwrap_or_default();
    let modules = texts(file, "modules", |Module(text)| text.replace('-', "_"));
    let enable = texts(file, "enable", |Unit(text)| text).unwrap_or_default();
    let release = version.as_ref().map_or("", |found| found.value.0.as_str());
    let read = |table: &Table<'_>| read_file(table, release);
    let tables = file.tables("file");
    if tables.is_empty() {
        let nothing: Option<()> = None;
        file.require("file", nothing, "write [[file]] and below it url, sums, path and mode");
    }
    let files: Option<Vec<ComponentFile>> = tables.iter().map(read).collect();
    file.finish();
    let files = files?;
    let mut places = BTreeSet::new();
    if let Some(twice) = files.iter().find(|file| !places.insert(file.path.clone())) {
        let message = format!("{} is written by two files", twice.path);
        file.report(tables[0].span(), message, "give each [[file]] a path of its own");
    }
    Some(Component {
        name,
        summary: summary?.value.to_owned(),
        version: version?.value.0,
        licence: licence?.value.0,
        homepage: homepage?.value.0,
        files,
        packages: packages.into_iter().map(|found| found.value).collect(),
        modules: modules.unwrap_or_default(),
        overlay,
        enable,
    })
}

fn read_file(table: &Table<'_>, version: &str) -> Option<ComponentFile> {
    // GitHub's addresses have the `+` of a release's name escaped.
    let whole = |Found { value: Address(text), .. }: Found<Address>| {
        text.replace("{version}", &version.replace('+', "%2B"))
    };
    let hint = "write the address of the release's file; {version} stands for the version";
    let url = table.require("url", table.parsed::<Address>("url").map(whole), hint);
    let hint = "write the address of the release's list of SHA-256 sums";
    let sums = table.require("sums", table.parsed::<Address>("sums").map(whole), hint);
    let path = table.parsed::<RootPath>("path").map(|found| found.value.0);
    let path = table.require("path", path, "write path = \"/usr/bin/NAME\"");
    let mode = table.parsed::<FileMode>("mode");
    let mode = table.require("mode", mode, "write mode = \"0755\" for a program");
    table.finish();
    let mode = u32::from_str_radix(&mode?.value.0, 8).ok()?;
    Some(ComponentFile { url: url?, sums: sums?, path: path?, mode })
}

/// The wishes of one profile's `[components]`.
pub(super) fn read_wishes(table: &Table<'_>) -> Vec<(String, Option<Need>)> {
    let words =
        [("required", Some(Need::Required)), ("optional", Some(Need::Optional)), ("none", None)];
    table.words(&words, |name, span| {
        let good = name.parse::<ComponentName>();
        if let Err(error) = &good {
            let hint = "name a file below profiles/components without its .toml, such as \"k3s\"";
            table.report(span, error.to_string(), hint);
        }
        good.ok().map(|ComponentName(name)| name)
    })
}

/// Lays what `upper` says of components over what `base` says; of two words for one the upper counts.
pub(super) fn overlay_wishes(
    base: &mut Vec<(String, Option<Need>)>,
    upper: Vec<(String, Option<Need>)>,
) {
    for (name, need) in upper {
        match base.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = need,
            None => base.push((name, need)),
        }
    }
}

/// What is wanted, once everything is laid over one another.
pub(super) fn wishes(said: Vec<(String, Option<Need>)>) -> Vec<Wish> {
    said.into_iter().filter_map(|(name, need)| Some(Wish { name, need: need? })).collect()
}
