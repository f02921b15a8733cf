//! What a person does with sites: add, remove, renew, look. Start at [`add`]. The witness may run meanwhile: it
//! notices within a second.
//!
//! The order of the writes is what makes each safe to break off: a site is there once its definition is,
//! and a new generation counts before anything that it allows to be forgotten is forgotten.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use pair::Register;
use pair::witness::Witness;
use site::Label;

use crate::definition::{AuthorityError, Definition, Generation, SUFFIX};
use crate::disk::{Disk, Folder, PlaceError, place};
use crate::load;
use crate::record::Record;
use crate::registers::MAX_SITES;

/// Why a site cannot be changed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EditError {
    /// It is there already.
    #[error("the site {0} is there already")]
    #[diagnostic(
        code(input::witness_site),
        help("`duetd witness site remove` takes it away, with what is held for it")
    )]
    Exists(Label),
    /// It is not there.
    #[error("there is no site {0}")]
    #[diagnostic(
        code(input::witness_site),
        help("`duetd witness site list` shows which there are")
    )]
    Unknown(Label),
    /// There are as many as one witness takes.
    #[error("there are {MAX_SITES} sites, and a witness takes no more")]
    #[diagnostic(code(input::witness_site), help("put this one on another witness"))]
    Full,
    /// The authority's certificate cannot be used.
    #[error("the certificate of {0}'s authority cannot be used")]
    #[diagnostic(
        code(input::witness_ca),
        help("it is the CERTIFICATE of who signs the rooms' ones")
    )]
    Authority(Label, #[source] AuthorityError),
    /// The definition is damaged, so that nobody knows whose rooms may ask.
    #[error("the site {site} cannot be renewed: {reason}")]
    #[diagnostic(
        code(integrity::witness),
        help("remove the site, and add it again with its authority's certificate")
    )]
    Damaged {
        /// The site.
        site: Label,
        /// What is wrong.
        reason: String,
    },
    /// The folder cannot be read.
    #[error("cannot read the data folder")]
    #[diagnostic(code(output::witness), help("are you the user that it belongs to, or root?"))]
    Read(#[from] io::Error),
    /// The folder cannot be written.
    #[error("the site {0} could not be written")]
    #[diagnostic(
        code(output::witness),
        help("see that the disk has room, and look at `duetd witness site list` before you go on")
    )]
    Write(Label, #[source] PlaceError),
}

/// A site as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub site: Label,
    /// What it is like, or what is damaged.
    pub state: Result<State, String>,
    /// How many bytes its files have.
    pub disk_bytes: u64,
    /// When it last asked, to the minute; none if never.
    pub asked: Option<SystemTime>,
}

/// A site that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its generation.
    pub generation: u64,
    /// What is held.
    pub held: Option<Register>,
    /// When it was decided, in milliseconds since 1970.
    pub changed_ms: Option<u64>,
}

/// Adds a site. `generation` is random.
///
/// # Errors
/// [`EditError`].
pub fn add(
    disk: &dyn Disk,
    site: &Label,
    authority: &str,
    generation: Generation,
) -> Result<(), EditError> {
    let definition = Definition::new(site.clone(), generation, authority)
        .map_err(|error| EditError::Authority(site.clone(), error))?;
    if exists(disk, site)? {
        return Err(EditError::Exists(site.clone()));
    }
    if names(disk)?.len() >= MAX_SITES {
        return Err(EditError::Full);
    }
    write_record(disk, site, generation)?;
    write_definition(disk, &definition)
}

/// Removes a site, with what is held for it.
///
/// # Errors
/// [`EditError`].
pub fn remove(disk: &dyn Disk, site: &Label) -> Result<(), EditError> {
    if !exists(disk, site)? {
        return Err(EditError::Unknown(site.clone()));
    }
    disk.remove(Folder::Sites, &Definition::file_name(site))?;
    disk.sync_names(Folder::Sites)?;
    match disk.remove(Folder::Registers, site.as_str()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(disk.sync_names(Folder::Registers)?),
    }
}

/// Gives a site a new, random generation: after its files were restored from a backup, or are damaged. What
/// is held stays if it can be read.
///
/// # Errors
/// [`EditError`].
pub fn renew(disk: &dyn Disk, site: &Label, generation: Generation) -> Result<(), EditError> {
    if !exists(disk, site)? {
        return Err(EditError::Unknown(site.clone()));
    }
    let definition = load::read_definition(disk, site)
        .map_err(|reason| EditError::Damaged { site: site.clone(), reason })?;
    write_definition(disk, &Definition { generation, ..definition })?;
    // Only now may a register be forgotten: under the new generation nobody is granted anything before both
    // rooms have registered.
    if look(disk, site)?.state.is_err() {
        write_record(disk, site, generation)?;
    }
    Ok(())
}

/// Every site's name.
///
/// # Errors
/// If the folder cannot be read.
pub fn names(disk: &dyn Disk) -> io::Result<Vec<Label>> {
    let names = disk.names(Folder::Sites)?.into_iter();
    Ok(names.filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect())
}

/// How a site is, from its files.
///
/// # Errors
/// If there is no such site, or the folder cannot be read.
pub fn look(disk: &dyn Disk, site: &Label) -> Result<Listed, EditError> {
    let stamp = match disk.stamp(Folder::Sites, &Definition::file_name(site)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EditError::Unknown(site.clone()));
        }
        stamp => stamp?,
    };
    let read = load::read(disk, site, stamp);
    // The running witness notes the time of a question on the register's file; who adds a site notes 1970.
    let asked = disk.stamp(Folder::Registers, site.as_str()).ok().map(|stamp| stamp.modified);
    let state = read.state.map(|held| State {
        generation: held.witness.generation,
        held: held.witness.held,
        changed_ms: held.changed_ms,
    });
    let disk_bytes = stamp.len + read.record_bytes;
    let asked = asked.filter(|at| *at > UNIX_EPOCH);
    Ok(Listed { site: site.clone(), state, disk_bytes, asked })
}

fn exists(disk: &dyn Disk, site: &Label) -> io::Result<bool> {
    match disk.stamp(Folder::Sites, &Definition::file_name(site)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_definition(disk: &dyn Disk, definition: &Definition) -> Result<(), EditError> {
    let name = Definition::file_name(&definition.site);
    place(disk, Folder::Sites, &[(name, definition.to_text().into_bytes())])
        .map_err(|error| EditError::Write(definition.site.clone(), error))
}

fn write_record(disk: &dyn Disk, site: &Label, generation: Generation) -> Result<(), EditError> {
    let witness = Witness::new(generation.get());
    let record = Record { site: site.clone(), witness, changed_ms: None };
    place(disk, Folder::Registers, &[(site.to_string(), record.encode())])
        .map_err(|error| EditError::Write(site.clone(), error))?;
    Ok(disk.touch(Folder::Registers, site.as_str(), UNIX_EPOCH)?)
}
