//! What differs between two builds: settings, packages, files.
//!
//! Start at [`diff`]. It compares what the builds say of themselves (manifest and list of files),
//! which is exact: both are written from the tree that became the root.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::manifest::Manifest;

/// Why two builds cannot be compared.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DiffError {
    /// No manifest goes with the path.
    #[error("no manifest goes with {path}")]
    #[diagnostic(
        code(input::manifest),
        help("name a build's folder, its .manifest.json, or an artefact that lies beside it")
    )]
    NoManifest {
        /// As given.
        path: PathBuf,
    },
    /// Several builds in one folder.
    #[error("{path} holds {count} builds")]
    #[diagnostic(code(input::manifest), help("name the .manifest.json of one of them"))]
    Several {
        /// The folder.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    #[diagnostic(code(input::manifest), help("build it again: the file belongs to the build"))]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A manifest that is none.
    #[error("{path} is damaged")]
    #[diagnostic(code(integrity::manifest), help("build it again"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// How one thing changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "change")]
pub enum Change {
    /// Only in the second build.
    Added {
        /// Its name.
        name: String,
        /// What it is there.
        new: String,
    },
    /// Only in the first build.
    Removed {
        /// Its name.
        name: String,
        /// What it was.
        old: String,
    },
    /// In both, differently.
    Changed {
        /// Its name.
        name: String,
        /// What it was.
        old: String,
        /// What it is.
        new: String,
    },
}

/// All that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Version, kernel, command line, root hash, …
    pub settings: Vec<Change>,
    /// By package.
    pub packages: Vec<Change>,
    /// By path in the root.
    pub files: Vec<Change>,
}

impl Difference {
    /// Whether the two builds are the same.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.packages.is_empty() && self.files.is_empty()
    }
}

/// A build's account of itself.
#[derive(Debug)]
pub struct Account {
    manifest: Manifest,
    files: String,
}

impl Account {
    /// Loads the account of the build that `path` belongs to: its folder, its manifest, or one of
    /// its artefacts.
    ///
    /// # Errors
    /// When there is none, there are several, or it is damaged.
    pub fn load(path: &Path) -> Result<Self, DiffError> {
        let manifest_path = find(path)?;
        let read = |path: &Path| {
            let failed = |source| DiffError::Read { path: path.to_owned(), source };
            fs::read_to_string(path).map_err(failed)
        };
        let damaged = |source| DiffError::Damaged { path: manifest_path.clone(), source };
        let manifest = serde_json::from_str(&read(&manifest_path)?).map_err(damaged)?;
        let name = manifest_path.file_name().unwrap_or_default().to_string_lossy();
        let files = name.replace(".manifest.json", ".files.txt");
        Ok(Account { manifest, files: read(&manifest_path.with_file_name(files))? })
    }
}

fn find(path: &Path) -> Result<PathBuf, DiffError> {
    let is_manifest = |path: &Path| path.to_string_lossy().ends_with(".manifest.json");
    if is_manifest(path) {
        return Ok(path.to_owned());
    }
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder)
        .map_err(|source| DiffError::Read { path: folder.to_owned(), source })?;
    let mut manifests: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_manifest(path)).collect();
    if !path.is_dir() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        manifests.retain(|manifest| {
            let manifest = manifest.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(manifest.trim_end_matches(".manifest.json"))
        });
    }
    match manifests.len() {
        0 => Err(DiffError::NoManifest { path: path.to_owned() }),
        1 => Ok(manifests.remove(0)),
        count => Err(DiffError::Several { path: path.to_owned(), count }),
    }
}

/// Compares two builds.
pub fn diff(a: &Account, b: &Account) -> Difference {
    let settings = |manifest: &Manifest| -> BTreeMap<String, String> {
        let rows = [
            ("profile", &manifest.profile),
            ("role", &manifest.role),
            ("version", &manifest.version),
            ("kernel", &manifest.kernel),
            ("root hash", &manifest.root_hash),
            ("lock", &manifest.lock_sha256),
        ];
        let cmdline = manifest.cmdline.split(" duet.root=").next().unwrap_or_default();
        let rows = rows.map(|(name, value)| (name.to_owned(), value.clone()));
        rows.into_iter().chain([("cmdline".to_owned(), cmdline.to_owned())]).collect()
    };
    let packages = |manifest: &Manifest| -> BTreeMap<String, String> {
        let row = |one: &crate::manifest::Component| (one.name.clone(), one.version.clone());
        let component = |one: &crate::component::Record| {
            let local = if one.is_local() { " (a local file)" } else { "" };
            one.present.then(|| (one.name.clone(), format!("{}{local}", one.version)))
        };
        let components = manifest.components.iter().filter_map(component);
        manifest.packages.iter().map(row).chain(components).collect()
    };
    Difference {
        settings: changes(&settings(&a.manifest), &settings(&b.manifest)),
        packages: changes(&packages(&a.manifest), &packages(&b.manifest)),
        files: changes(&files(&a.files), &files(&b.files)),
    }
}

/// The list of files by path.
fn files(list: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let (facts, path) = line.split_once(" /")?;
        let (path, target) = path.split_once(" -> ").unwrap_or((path, ""));
        let arrow = if target.is_empty() { String::new() } else { format!(" -> {target}") };
        Some((format!("/{path}"), format!("{facts}{arrow}")))
    };
    list.lines().filter_map(row).collect()
}

fn changes(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<Change> {
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let change = |name: &String| match (a.get(name).cloned(), b.get(name).cloned()) {
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => Some(Change::Changed { name: name.clone(), old, new }),
        (Some(old), None) => Some(Change::Removed { name: name.clone(), old }),
        (None, new) => Some(Change::Added { name: name.clone(), new: new.unwrap_or_default() }),
    };
    names.into_iter().filter_map(change).collect()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Added { name, new } => write!(f, "+ {name}  {new}"),
            Change::Removed { name, old } => write!(f, "- {name}  {old}"),
            Change::Changed { name, old, new } => write!(f, "~ {name}  {old} => {new}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return write!(f, "no difference");
        }
        let parts =
            [("settings", &self.settings), ("packages", &self.packages), ("files", &self.files)];
        let shown = parts.iter().filter(|(_, changes)| !changes.is_empty());
        for (at, (name, changes)) in shown.enumerate() {
            let gap = if at == 0 { "" } else { "\n" };
            write!(f, "{gap}{name} ({})", changes.len())?;
            for change in *changes {
                write!(f, "\n  {change}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_by_path() {
        let a = files("d 0755 0 0 - - /etc\nf 0644 0 0 1 aa /etc/x\nl 0777 0 0 - - /etc/y -> x\n");
        let b = files("d 0755 0 0 - - /etc\nf 0600 0 0 1 aa /etc/x\nf 0644 0 0 2 bb /etc/z\n");
        let text: Vec<String> = changes(&a, &b).iter().map(ToString::to_string).collect();
        expect_test::expect![[r#"
            ~ /etc/x  f 0644 0 0 1 aa => f 0600 0 0 1 aa
            - /etc/y  l 0777 0 0 - - -> x
            + /etc/z  f 0644 0 0 2 bb"#]]
        .assert_eq(&text.join("\n"));
    }
}
