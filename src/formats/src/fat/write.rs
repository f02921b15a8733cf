//! The writer: a tree of names becomes clusters, tables and folders.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::date::Stamp;
use super::geometry::Geometry;
use super::name::{self, Short};
use super::{Content, ENTRY, Entry, Extent, FatError, MAX_FOLDER, SECTOR, Volume, attribute};
use crate::field::put;

/// End of a chain of clusters.
const END: u32 = 0x0fff_ffff;
/// What the first two numbers of a table hold: the kind of disk, and "cleanly unmounted".
const FIRST_TWO: [u32; 2] = [0x0fff_fff8, END];
/// Sizes are given in whole MiB, as partitions are.
const MIB: u64 = 1 << 20;

impl Volume {
    /// Lays out a volume with these entries. Nothing depends on their order.
    ///
    /// # Errors
    /// If they do not fit, a path cannot be on FAT or comes twice, or the label cannot be.
    pub fn write<'a>(&self, entries: &[Entry<'a>]) -> Result<Vec<Extent<'a>>, FatError> {
        let label = label(&self.label)?;
        let tree = Tree::plant(entries)?;
        let geometry = match Geometry::of(self.bytes) {
            Some(geometry) if tree.clusters(&geometry) <= geometry.clusters => geometry,
            _ => {
                let needed = tree.needed()?;
                return Err(match self.bytes < needed {
                    true => FatError::TooSmall { needed, available: self.bytes },
                    false => FatError::TooLarge { bytes: self.bytes },
                });
            }
        };
        Ok(Layout::of(&tree, geometry).extents(self.id, &label, Stamp::of(self.time)))
    }
}

/// Bytes of the smallest volume, in whole MiB, that holds these entries.
///
/// # Errors
/// If a path cannot be on FAT or comes twice, or they are more than FAT32 holds.
pub fn needed(entries: &[Entry<'_>]) -> Result<u64, FatError> {
    Tree::plant(entries)?.needed()
}

fn label(text: &str) -> Result<[u8; 11], FatError> {
    let known = |byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'-' | b'_');
    let fits = (1..=11).contains(&text.len()) && text.bytes().all(known);
    if !fits || text.starts_with(' ') {
        return Err(FatError::Label { label: text.to_owned() });
    }
    let mut label = [b' '; 11];
    put(&mut label, 0, text.as_bytes());
    Ok(label)
}

/// A file or folder with its place in the tree.
struct Node<'a> {
    name: String,
    short: Short,
    /// A folder's nodes by number, or a file's bytes.
    what: What<'a>,
    parent: usize,
}

enum What<'a> {
    Folder(Vec<usize>),
    File(Cow<'a, [u8]>),
}

/// All nodes; the root is the first, and a folder stands before what is in it.
struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Tree<'a> {
    fn plant(entries: &[Entry<'a>]) -> Result<Self, FatError> {
        // By folded path, which is also the order on the volume.
        let mut paths: BTreeMap<String, (&str, &Content<'a>)> = BTreeMap::new();
        for entry in entries {
            let refuse = |what| FatError::Path { path: entry.path.to_string(), what };
            let large = |bytes: &[u8]| u32::try_from(bytes.len()).is_err();
            if matches!(&entry.content, Content::File(bytes) if large(bytes)) {
                return Err(refuse("it has 4 GiB or more"));
            }
            let ends = entry.path.match_indices('/').map(|(at, _)| at);
            for end in ends.chain([entry.path.len()]) {
                let path = &entry.path[..end];
                let name = path.rsplit('/').next().unwrap_or(path);
                name::check(name).map_err(refuse)?;
                let content =
                    if end == entry.path.len() { &entry.content } else { &Content::Folder };
                match paths.insert(name::folded(path), (path, content)) {
                    None => {}
                    Some((old, _)) if old != path => {
                        return Err(refuse("another path differs from it only in case"));
                    }
                    Some((_, old)) if *old == Content::Folder && *content == Content::Folder => {}
                    Some(_) => return Err(refuse("it is there twice")),
                }
            }
        }
        Self::grow(paths)
    }

    fn grow(paths: BTreeMap<String, (&str, &Content<'a>)>) -> Result<Self, FatError> {
        let root =
            Node { name: String::new(), short: [0; 11], what: What::Folder(vec![]), parent: 0 };
        let mut nodes = vec![root];
        let mut folders = BTreeMap::from([("", (0, BTreeSet::new()))]);
        for (path, content) in paths.into_values() {
            let refuse = |what| FatError::Path { path: path.to_owned(), what };
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            let (parent, taken) =
                folders.get_mut(above).ok_or_else(|| refuse("it lies in a file"))?;
            let parent = *parent;
            let short =
                name::short(name, taken).ok_or_else(|| refuse("too many names are alike"))?;
            let number = nodes.len();
            let what = match content {
                Content::Folder => {
                    folders.insert(path, (number, BTreeSet::new()));
                    What::Folder(vec![])
                }
                Content::File(bytes) => What::File(bytes.clone()),
            };
            nodes.push(Node { name: name.to_owned(), short, what, parent });
            if let What::Folder(children) = &mut nodes[parent].what {
                children.push(number);
            }
        }
        let tree = Tree { nodes };
        match tree
            .nodes
            .iter()
            .position(|node| tree.bytes(node) > MAX_FOLDER as u64 && node.is_folder())
        {
            Some(large) => {
                let path = tree.nodes[large].name.clone();
                Err(FatError::Path { path, what: "the folder has more than 65536 entries" })
            }
            None => Ok(tree),
        }
    }

    /// Bytes of a file or of a folder's entries.
    fn bytes(&self, node: &Node<'_>) -> u64 {
        match &node.what {
            What::File(bytes) => bytes.len() as u64,
            What::Folder(children) => {
                // The root bears the label, others bear `.` and `..`.
                let own = if node.name.is_empty() { 1 } else { 2 };
                let entries = children.iter().map(|child| self.nodes[*child].entries());
                ((own + entries.sum::<usize>()) * ENTRY) as u64
            }
        }
    }

    /// Clusters that all of it takes.
    fn clusters(&self, geometry: &Geometry) -> u64 {
        let size = geometry.cluster_bytes();
        self.nodes.iter().map(|node| self.bytes(node).div_ceil(size)).sum()
    }

    fn needed(&self) -> Result<u64, FatError> {
        let mut bytes = 33 * MIB; // no FAT32 is smaller
        loop {
            let geometry = Geometry::of(bytes).ok_or(FatError::TooLarge { bytes })?;
            let missing = self.clusters(&geometry).saturating_sub(geometry.clusters);
            if missing == 0 {
                return Ok(bytes);
            }
            // The tables grow too, so this may need another turn; never does it go too far, for a
            // whole MiB is the least step.
            bytes += (missing * geometry.cluster_bytes()).next_multiple_of(MIB);
        }
    }
}

impl Node<'_> {
    fn is_folder(&self) -> bool {
        matches!(self.what, What::Folder(_))
    }

    /// Entries that it takes in its folder.
    fn entries(&self) -> usize {
        match name::is_short(&self.name, &self.short) {
            true => 1,
            false => 1 + name::long_entries(&self.name),
        }
    }
}

/// A tree with the first cluster of each node; 0 for a file that is empty.
struct Layout<'t, 'a> {
    tree: &'t Tree<'a>,
    geometry: Geometry,
    starts: Vec<u32>,
    /// The table as far as it is filled.
    fat: Vec<u32>,
}

impl<'t, 'a> Layout<'t, 'a> {
    /// Gives out clusters: folders first, since firmware walks through them, then files.
    fn of(tree: &'t Tree<'a>, geometry: Geometry) -> Self {
        let mut fat = FIRST_TWO.to_vec();
        let mut starts = vec![0; tree.nodes.len()];
        for folders in [true, false] {
            for (node, start) in tree.nodes.iter().zip(&mut starts) {
                let count = tree.bytes(node).div_ceil(geometry.cluster_bytes()) as u32;
                if node.is_folder() != folders || count == 0 {
                    continue;
                }
                *start = fat.len() as u32;
                fat.extend(*start + 1..*start + count);
                fat.push(END);
            }
        }
        Layout { tree, geometry, starts, fat }
    }

    fn extents(&self, id: u32, label: &[u8; 11], stamp: Stamp) -> Vec<Extent<'a>> {
        let used = self.fat.len() as u64 - 2;
        let boot = self.geometry.encode(id, label, used);
        let mut extents = vec![Extent { offset: 0, bytes: boot.into() }];
        let mut table: Vec<u8> = self.fat.iter().flat_map(|number| number.to_le_bytes()).collect();
        table.resize(table.len().next_multiple_of(SECTOR as usize), 0);
        for index in 0..self.geometry.fats {
            let offset = self.geometry.fat_offset(index);
            extents.push(Extent { offset, bytes: table.clone().into() });
        }
        let mut files = Vec::new();
        for (node, start) in self.tree.nodes.iter().zip(&self.starts) {
            match &node.what {
                What::Folder(children) => extents.push(Extent {
                    offset: self.geometry.offset(*start),
                    bytes: self.folder(node, *start, children, label, stamp).into(),
                }),
                What::File(bytes) if bytes.is_empty() => {}
                What::File(bytes) => files
                    .push(Extent { offset: self.geometry.offset(*start), bytes: bytes.clone() }),
            }
        }
        extents.extend(files);
        extents
    }

    fn folder(
        &self,
        node: &Node<'_>,
        start: u32,
        children: &[usize],
        label: &[u8; 11],
        stamp: Stamp,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.tree.bytes(node) as usize);
        let put_entry = |out: &mut Vec<u8>, short: &Short, kind, start, size| {
            out.extend_from_slice(&entry(short, kind, start, size, stamp));
        };
        if node.name.is_empty() {
            put_entry(&mut out, label, attribute::LABEL, 0, 0);
        } else {
            // The root is 0 here, whatever its cluster: fatgen103, "FAT Directory Structure".
            let above = if node.parent == 0 { 0 } else { self.starts[node.parent] };
            put_entry(&mut out, b".          ", attribute::FOLDER, start, 0);
            put_entry(&mut out, b"..         ", attribute::FOLDER, above, 0);
        }
        for &number in children {
            let child = &self.tree.nodes[number];
            if !name::is_short(&child.name, &child.short) {
                name::put_long(&mut out, &child.name, &child.short);
            }
            let (kind, size) = match &child.what {
                What::Folder(_) => (attribute::FOLDER, 0),
                What::File(bytes) => (attribute::ARCHIVE, bytes.len() as u32),
            };
            put_entry(&mut out, &child.short, kind, self.starts[number], size);
        }
        out
    }
}

/// fatgen103, "FAT 32 Byte Directory Entry Structure".
fn entry(short: &Short, kind: u8, start: u32, size: u32, stamp: Stamp) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put(&mut entry, 0, short);
    entry[11] = kind;
    put(&mut entry, 14, &stamp.time.to_le_bytes());
    put(&mut entry, 16, &stamp.date.to_le_bytes());
    put(&mut entry, 18, &stamp.date.to_le_bytes());
    put(&mut entry, 20, &((start >> 16) as u16).to_le_bytes());
    put(&mut entry, 22, &stamp.time.to_le_bytes());
    put(&mut entry, 24, &stamp.date.to_le_bytes());
    put(&mut entry, 26, &(start as u16).to_le_bytes());
    put(&mut entry, 28, &size.to_le_bytes());
    entry
}
