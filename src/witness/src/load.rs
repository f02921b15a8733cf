//! Reading the data folder: all of it at the start, and what changed while the witness runs. Start at
//! [`refresh`]. A site whose files are damaged is there, with its reason.

use std::collections::BTreeMap;
use std::io;

use site::Label;
use tracing::warn;

use crate::definition::{Definition, SUFFIX};
use crate::disk::{Disk, Folder, Stamp};
use crate::record::{self, Record};
use crate::registers::{Held, MAX_SITES, Registers, Site};

/// The longest definition: its authority, and the lines around.
pub(crate) const LONGEST_DEFINITION: usize = crate::definition::LONGEST_AUTHORITY + 1024;

/// Why the data folder cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LoadError {
    /// The disk does not say what is there.
    #[error("cannot read the sites in the data folder")]
    #[diagnostic(
        code(output::witness),
        help("see that the folder belongs to the user that runs the witness, and `journalctl -k`")
    )]
    Io(#[from] io::Error),
    /// More than one witness takes.
    #[error("the data folder has {0} sites; a witness takes at most {MAX_SITES}")]
    #[diagnostic(code(input::witness_folder), help("put some of them on another witness"))]
    Many(usize),
}

/// Takes over sites that were added, renewed and removed since the last time. Says how many of each kind:
/// new or other, and gone.
///
/// # Errors
/// [`LoadError`]; nothing has changed then.
pub(crate) fn refresh(
    registers: &mut Registers,
    disk: &dyn Disk,
) -> Result<(usize, usize), LoadError> {
    let mut there: BTreeMap<Label, Stamp> = BTreeMap::new();
    for name in disk.names(Folder::Sites)? {
        let Some(Ok(site)) = name.strip_suffix(SUFFIX).map(str::parse::<Label>) else {
            warn!(file = %name, "this is no site's file; it is left aside");
            continue;
        };
        match disk.stamp(Folder::Sites, &name) {
            Ok(stamp) => drop(there.insert(site, stamp)),
            // Removed since the names were read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    if there.len() > MAX_SITES {
        return Err(LoadError::Many(there.len()));
    }
    let before = registers.sites.len();
    registers.sites.retain(|site, _| there.contains_key(site));
    let gone = before - registers.sites.len();
    let mut new = 0;
    for (name, stamp) in there {
        let known = registers.sites.get(&name);
        // A damaged one may have been renewed, or its disk may read again.
        if known.is_some_and(|known| known.stamp == stamp && known.state.is_ok()) {
            continue;
        }
        let site = read(disk, &name, stamp);
        let state = |site: &Site| site.state.as_ref().err().cloned();
        let told = known.map(state);
        if let Err(reason) = &site.state {
            if told != Some(Some(reason.clone())) {
                warn!(site = %name, %reason, "the site is damaged, and is refused");
            }
        }
        new += usize::from(told != Some(state(&site)) || site.state.is_ok());
        registers.sites.insert(name, site);
    }
    Ok((new, gone))
}

/// Reads a site. What is wrong with its files becomes its state.
pub(crate) fn read(disk: &dyn Disk, name: &Label, stamp: Stamp) -> Site {
    let mut record_bytes = 0;
    let state = read_definition(disk, name).and_then(|definition| {
        let file = path(Folder::Registers, name);
        let bytes = disk
            .read(Folder::Registers, name.as_str(), record::LONGEST)
            // Adding a site makes this file first: if it is missing, something took it away.
            .map_err(|error| format!("{file}: {error}"))?;
        record_bytes = bytes.len() as u64;
        let record = Record::decode(&bytes, name).map_err(|error| format!("{file}: {error}"))?;
        Ok(Held::of(definition.generation, record))
    });
    Site { stamp, state, record_bytes, noted_ms: 0 }
}

/// The definition of a site, or what is wrong with it.
pub(crate) fn read_definition(disk: &dyn Disk, site: &Label) -> Result<Definition, String> {
    let name = Definition::file_name(site);
    let read = || -> Result<Definition, String> {
        let bytes = disk
            .read(Folder::Sites, &name, LONGEST_DEFINITION)
            .map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| "it is no text".to_owned())?;
        Definition::parse(text, site).map_err(|error| error.to_string())
    };
    read().map_err(|reason| format!("{}: {reason}", path(Folder::Sites, site)))
}

fn path(folder: Folder, site: &Label) -> String {
    match folder {
        Folder::Sites => format!("{}/{}", folder.name(), Definition::file_name(site)),
        Folder::Registers => format!("{}/{site}", folder.name()),
    }
}
