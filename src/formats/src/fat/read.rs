//! The reader: names and contents of a volume that anybody may have written.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::date::Stamp;
use super::geometry::Geometry;
use super::name::{self, Gatherer, Short};
use super::{ENTRY, FatError, MAX_FOLDER, SECTOR, attribute};
use crate::field::{array, le16, le32};
use crate::{ReadAt, show};

/// An ESP holds some dozens.
const MAX_ITEMS: usize = 100_000;
/// Deeper than any path that firmware takes.
const MAX_DEPTH: usize = 32;
/// Numbers of a table that are read at once.
const PAGE: u64 = 4096;

/// A volume, opened.
pub struct Reader<'a> {
    device: &'a dyn ReadAt,
    geometry: Geometry,
    /// The number that stands for its UUID.
    pub id: u32,
    /// The label in its boot sector.
    pub label: String,
}

/// A file or folder that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Path from the root, without a leading `/`, in the case that the volume keeps.
    pub path: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Bytes of a file.
    pub size: u32,
    /// Time of the last change in seconds of the epoch, if the clock that set it showed universal
    /// time.
    pub modified: u64,
    stamp: Stamp,
    start: u32,
}

impl<'a> Reader<'a> {
    /// Opens the volume of a whole partition or image.
    ///
    /// # Errors
    /// If it cannot be read or is no FAT32 of 512-byte sectors.
    pub fn open(device: &'a dyn ReadAt) -> Result<Self, FatError> {
        let mut boot = [0; SECTOR as usize];
        device.read_at(0, &mut boot).map_err(|source| FatError::Read { at: 0, source })?;
        let geometry = Geometry::parse(&boot, device.len())?;
        let label: Short = array(&boot, 71).unwrap_or_default();
        let label = String::from_utf8_lossy(&label).trim_end_matches(' ').to_owned();
        Ok(Reader { device, geometry, id: le32(&boot, 67).unwrap_or(0), label })
    }

    /// Everything on the volume; a folder stands before what is in it, in the volume's own order.
    ///
    /// # Errors
    /// If a folder is damaged or cannot be read, or there is more than any ESP holds.
    pub fn list(&self) -> Result<Vec<Item>, FatError> {
        let mut items = Vec::new();
        let mut seen = BTreeSet::new();
        self.walk("", self.geometry.root, 0, &mut seen, &mut items)?;
        Ok(items)
    }

    fn walk(
        &self,
        above: &str,
        start: u32,
        depth: usize,
        seen: &mut BTreeSet<u32>,
        items: &mut Vec<Item>,
    ) -> Result<(), FatError> {
        if depth > MAX_DEPTH {
            return Err(FatError::Damaged { what: "its folders are nested more than 32 deep" });
        }
        let runs = self.folder_chain(start)?;
        // No cluster is read twice, so all the folders together are no larger than the volume.
        for (first, count) in &runs {
            if !(*first..).take(*count as usize).all(|cluster| seen.insert(cluster)) {
                return Err(FatError::Damaged { what: "one folder is in two places" });
            }
        }
        for item in self.items(above, &runs)? {
            if items.len() == MAX_ITEMS {
                return Err(FatError::Damaged { what: "it has more than 100,000 files" });
            }
            items.push(item.clone());
            if item.folder {
                self.walk(&item.path, item.start, depth + 1, seen, items)?;
            }
        }
        Ok(())
    }

    /// Finds a path, whatever the case of its letters.
    ///
    /// # Errors
    /// If it is not there, or a folder on the way is damaged.
    pub fn find(&self, path: &str) -> Result<Item, FatError> {
        let missing = || FatError::Missing { path: path.to_owned() };
        let mut found: Option<Item> = None;
        for name in path.split('/') {
            let (above, start) = match &found {
                None => ("", self.geometry.root),
                Some(item) if item.folder => (item.path.as_str(), item.start),
                Some(_) => return Err(missing()),
            };
            let wanted = name::folded(name);
            let matches = |item: &Item| {
                name::folded(item.path.rsplit('/').next().unwrap_or_default()) == wanted
            };
            let items = self.items(above, &self.folder_chain(start)?)?;
            found = Some(items.into_iter().find(matches).ok_or_else(missing)?);
        }
        found.ok_or_else(missing)
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// If it is not there or a folder, or its chain of clusters is damaged.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, FatError> {
        let item = self.find(path)?;
        if item.folder {
            return Err(FatError::Missing { path: path.to_owned() });
        }
        let size = u64::from(item.size);
        let count = size.div_ceil(self.geometry.cluster_bytes());
        let runs = self.chain(item.start, count, Some(count))?;
        self.gather(&runs, size)
    }

    fn folder_chain(&self, start: u32) -> Result<Vec<(u32, u64)>, FatError> {
        let most = (MAX_FOLDER as u64).div_ceil(self.geometry.cluster_bytes());
        self.chain(start, most, None)
    }

    /// The items of one folder.
    fn items(&self, above: &str, runs: &[(u32, u64)]) -> Result<Vec<Item>, FatError> {
        let size = runs.iter().map(|(_, count)| count * self.geometry.cluster_bytes()).sum();
        let bytes = self.gather(runs, size)?;
        let mut gatherer = Gatherer::default();
        let mut items = Vec::new();
        for entry in bytes.chunks_exact(ENTRY) {
            let kind = entry[11] & attribute::KIND;
            match entry[0] {
                0 => break, // nothing behind this
                0xe5 => gatherer = Gatherer::default(),
                _ if kind == attribute::LONG_NAME => gatherer.take(entry),
                b'.' => {}
                _ if kind & attribute::LABEL != 0 => gatherer = Gatherer::default(),
                _ => items.push(self.item(above, entry, &mut gatherer)?),
            }
        }
        Ok(items)
    }

    fn item(&self, above: &str, entry: &[u8], names: &mut Gatherer) -> Result<Item, FatError> {
        const SHORT: FatError = FatError::Damaged { what: "an entry of a folder is cut off" };
        let mut short: Short = array(entry, 0).ok_or(SHORT)?;
        let long = names.give(&short);
        if short[0] == 0x05 {
            short[0] = 0xe5; // what would mean "deleted" in the first place
        }
        let name = long.unwrap_or_else(|| name::from_short(&short, entry[12]));
        let number = |at| le16(entry, at).ok_or(SHORT);
        let stamp = Stamp { time: number(22)?, date: number(24)? };
        let item = Item {
            path: if above.is_empty() { name } else { format!("{above}/{name}") },
            folder: entry[11] & attribute::FOLDER != 0,
            size: le32(entry, 28).ok_or(SHORT)?,
            modified: stamp.seconds(),
            stamp,
            start: u32::from(number(20)?) << 16 | u32::from(number(26)?),
        };
        let placed = item.size == 0 && !item.folder || self.geometry.has(item.start);
        match placed {
            true => Ok(item),
            false => Err(FatError::Damaged { what: "a file or folder lies outside of it" }),
        }
    }

    /// The runs of clusters of a chain, as first cluster and count: up to its end but not more
    /// than `most`, and if it `must` have so many, not fewer.
    fn chain(&self, start: u32, most: u64, must: Option<u64>) -> Result<Vec<(u32, u64)>, FatError> {
        let damaged = |what| Err(FatError::Damaged { what });
        if must.is_some_and(|must| must > self.geometry.clusters) {
            return damaged("a file is larger than the volume");
        }
        let mut runs: Vec<(u32, u64)> = Vec::new();
        let mut page = (u64::MAX, Vec::new());
        let (mut next, mut count) = (start, 0);
        while count < most && next < 0x0fff_fff8 {
            if !self.geometry.has(next) {
                return damaged("a chain of clusters leads outside of it");
            }
            match runs.last_mut() {
                Some((first, length)) if u64::from(*first) + *length == u64::from(next) => {
                    *length += 1;
                }
                _ => runs.push((next, 1)),
            }
            count += 1;
            // A chain cannot be longer than the volume has clusters unless it is a circle.
            if count > self.geometry.clusters {
                return damaged("a chain of clusters is a circle");
            }
            next = self.next(next, &mut page)?;
        }
        match must {
            Some(must) if count < must => damaged("a chain of clusters ends too early"),
            None if next < 0x0fff_fff8 => damaged("a folder has more than 65536 entries"),
            _ => Ok(runs),
        }
    }

    /// The number behind a cluster's in the table; `page` keeps the part last read.
    fn next(&self, cluster: u32, page: &mut (u64, Vec<u8>)) -> Result<u32, FatError> {
        let at = u64::from(cluster) * 4;
        if page.0 != at / PAGE {
            let start = at / PAGE * PAGE;
            let left = self.geometry.fat_sectors * SECTOR - start;
            page.1.resize(left.min(PAGE) as usize, 0);
            let at = self.geometry.fat_offset(0) + start;
            self.device.read_at(at, &mut page.1).map_err(|source| FatError::Read { at, source })?;
            page.0 = start / PAGE;
        }
        // The four high bits are not part of the number.
        Ok(le32(&page.1, (at % PAGE) as usize).unwrap_or(u32::MAX) & 0x0fff_ffff)
    }

    /// The first `size` bytes of runs of clusters, which hold at least so many.
    fn gather(&self, runs: &[(u32, u64)], size: u64) -> Result<Vec<u8>, FatError> {
        // No larger than the volume: see `chain`.
        let mut bytes = vec![0; size as usize];
        let mut left = &mut bytes[..];
        for &(first, count) in runs {
            let length = left.len().min((count * self.geometry.cluster_bytes()) as usize);
            let (run, rest) = std::mem::take(&mut left).split_at_mut(length);
            let at = self.geometry.offset(first);
            self.device.read_at(at, run).map_err(|source| FatError::Read { at, source })?;
            left = rest;
        }
        Ok(bytes)
    }

    /// What is on the volume, for a person.
    ///
    /// # Errors
    /// As [`Reader::list`].
    pub fn dump(&self) -> Result<String, FatError> {
        let (high, low) = (self.id >> 16, self.id & 0xffff);
        let (clusters, size) = (self.geometry.clusters, self.geometry.cluster_bytes());
        let label = show::line(&self.label);
        let mut text =
            format!("FAT32 {label:?} {high:04X}-{low:04X}, {clusters} clusters of {size} bytes\n");
        for item in self.list()? {
            let size = if item.folder { "folder".to_owned() } else { item.size.to_string() };
            let _ = writeln!(text, "  {size:>10}  {}  {}", item.stamp, show::line(&item.path));
        }
        Ok(text)
    }
}
