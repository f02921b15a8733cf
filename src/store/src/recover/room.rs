//! What a room of a pair keeps besides its data: which disk this is, how often its process began, and the
//! register. Start at [`open_room`]. Small files of text, replaced as a whole; each ends with a checksum.
//!
//! ```text
//! room      duet room, format 1 │ site │ room │ incarnation │ start
//! register  duet register, format 1 │ a sentence for people │ its bytes (pair::wire) as hexadecimal digits
//! void      duet void, format 1 │ why: the folder's data is void, and is removed at the next start
//! ```

use std::fmt::Write;

use pair::{Register, Room, wire};

use super::OpenError;
use super::folder::Folder;
use super::text::{damaged, lines, read, remove, sealed, write};
use crate::disk::Disk;

pub(super) const ROOM: &str = "room";
pub(super) const REGISTER: &str = "register";
pub(super) const VOID: &str = "void";

/// Whose folder it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The site.
    pub site: String,
    /// Which of its rooms.
    pub room: Room,
}

/// What is known of the room before its log is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomFiles {
    /// Which disk it is: larger at each replacement or restored copy, never 0.
    pub incarnation: u64,
    /// Which start of the process on it this is; larger at each.
    pub start: u64,
    /// As last persisted.
    pub register: Option<Register>,
    /// Why the data that was here before is void and has been removed.
    pub voided: Option<String>,
}

/// Begins a start of the process in a folder: durably counts it. An empty folder becomes the one of
/// `place`, as the disk `incarnation`; so does one whose data is void. The data of a store that has not
/// been part of a pair is refused, unless `found` says that a site is to begin with it.
///
/// # Errors
/// If the folder belongs to another place or cannot be read; nothing is changed then.
pub fn open_room(
    disk: &dyn Disk,
    place: &Place,
    incarnation: u64,
    found: bool,
) -> Result<RoomFiles, OpenError> {
    let folder = Folder::survey(disk)?;
    let known = read(disk, ROOM)?.map(|text| parse_room(&text)).transpose()?;
    if let Some((own, ..)) = known.as_ref().filter(|(own, ..)| own != place) {
        let what = format!("it is of room {} of site {}", own.room, own.site);
        return Err(OpenError::Foreign { file: ROOM.to_owned(), what });
    }
    let voided = read(disk, VOID)?.map(|text| parse_void(&text)).transpose()?;
    let register = match read(disk, REGISTER)? {
        Some(text) if voided.is_none() => Some(parse_register(&text)?),
        _ => None,
    };
    let has_data = !folder.segments.is_empty() || !folder.checkpoints.is_empty();
    if known.is_none() && has_data && !found {
        return Err(OpenError::Single);
    }
    if found && register.is_some() {
        return Err(OpenError::Founded);
    }
    let (incarnation, start) = match known {
        Some((_, known, start)) if voided.is_none() => (known, start + 1),
        // The number of starts goes on: who hears the new disk must not take it for an old process.
        Some((_, known, start)) => (incarnation.max(known + 1), start + 1),
        None => (incarnation.max(1), 1),
    };
    if voided.is_some() {
        clear(disk, &folder)?;
    }
    write(disk, ROOM, &room(place, incarnation, start))?;
    if voided.is_some() {
        remove(disk, VOID)?;
        disk.sync().map_err(OpenError::io("sync", "the names"))?;
    }
    Ok(RoomFiles { incarnation, start, register, voided })
}

/// Makes the register durable.
///
/// # Errors
/// If the disk refuses; whether it is durable is unknown then.
pub fn persist(disk: &dyn Disk, register: &Register) -> Result<(), OpenError> {
    write(disk, REGISTER, &register_text(register))
}

/// Durably says that the folder's data is void: the next start removes it and begins as a new disk.
///
/// # Errors
/// If the disk refuses.
pub fn void(disk: &dyn Disk, why: &str) -> Result<(), OpenError> {
    write(disk, VOID, &sealed(format!("duet void, format 1\n{why}\n")))
}

/// Whether the newest decision in a folder on which no store runs counts on this very disk: it holds what was
/// acknowledged.
///
/// # Errors
/// If a file is damaged or cannot be read.
pub fn counts(disk: &dyn Disk) -> Result<bool, OpenError> {
    let known = read(disk, ROOM)?.map(|text| parse_room(&text)).transpose()?;
    let register = register(disk)?;
    let counts = |(place, incarnation, _): (Place, u64, u64)| {
        register.is_some_and(|register| register.has_in_sync(place.room, incarnation))
    };
    Ok(known.is_some_and(counts))
}

/// The register in a folder on which no store runs.
///
/// # Errors
/// If it is damaged or cannot be read.
pub fn register(disk: &dyn Disk) -> Result<Option<Register>, OpenError> {
    read(disk, REGISTER)?.map(|text| parse_register(&text)).transpose()
}

fn room(place: &Place, incarnation: u64, start: u64) -> String {
    let Place { site, room } = place;
    sealed(format!(
        "duet room, format 1\nsite {site}\nroom {room}\nincarnation {incarnation}\nstart {start}\n"
    ))
}

fn parse_room(text: &str) -> Result<(Place, u64, u64), OpenError> {
    let lines = lines(ROOM, text, "duet room")?;
    let read = || {
        let [site, room, incarnation, start] = lines[..] else { return None };
        let room = match room.strip_prefix("room ")? {
            "a" => Room::A,
            "b" => Room::B,
            _ => return None,
        };
        let place = Place { site: site.strip_prefix("site ")?.to_owned(), room };
        let number = |line: &str, word| line.strip_prefix(word)?.parse().ok();
        Some((place, number(incarnation, "incarnation ")?, number(start, "start ")?))
    };
    read().ok_or_else(|| damaged(ROOM))
}

fn parse_void(text: &str) -> Result<String, OpenError> {
    match lines(VOID, text, "duet void")?[..] {
        [why] => Ok(why.to_owned()),
        _ => Err(damaged(VOID)),
    }
}

fn register_text(register: &Register) -> String {
    let mut text = format!("duet register, format 1\n{register}\n");
    for byte in wire::encode(register) {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    text.push('\n');
    sealed(text)
}

fn parse_register(text: &str) -> Result<Register, OpenError> {
    let lines = lines(REGISTER, text, "duet register")?;
    let [_, digits] = lines[..] else { return Err(damaged(REGISTER)) };
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    wire::decode(&bytes.ok_or_else(|| damaged(REGISTER))?).map_err(|_| damaged(REGISTER))
}

/// Whether it is one of these files, whole or not.
pub(super) fn is_ours(name: &str) -> bool {
    [ROOM, REGISTER, VOID].contains(&name.strip_suffix("-next").unwrap_or(name))
}

/// Removes the data; the names are synced by who calls.
fn clear(disk: &dyn Disk, folder: &Folder) -> Result<(), OpenError> {
    let parts = folder.segments.iter().chain(&folder.checkpoints).map(|part| &*part.name);
    let small = [super::folder::META, super::install::INSTALL, REGISTER];
    for name in parts.chain(folder.unfinished.iter().map(String::as_str)).chain(small) {
        remove(disk, name)?;
    }
    Ok(())
}
