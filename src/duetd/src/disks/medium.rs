//! The disks of the machine that this program runs on. Start at [`ThisMachine`].

use std::fs::{File, OpenOptions};
use std::io::{Error, Result};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::thread;
use std::time::{Duration, Instant};

use formats::Opened;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::write::Medium;
use super::{Disk, Machine, facts};
use crate::process::ask;
use crate::root::Root;

/// How a disk is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// For reading, whoever else uses it.
    Look,
    /// For reading, unless somebody else uses it.
    Alone,
    /// For writing, unless somebody else uses it.
    Write,
}

/// The machine that this program runs on.
pub(super) struct ThisMachine(Root);

/// How long udev may hold a disk's lock while it looks at it, and the kernel may take to show a partition.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is tried again meanwhile.
const AGAIN: Duration = Duration::from_millis(200);

/// From util-linux: asks the kernel to read a disk's table (BLKRRPART).
const BLOCKDEV: &str = "/usr/sbin/blockdev";

impl ThisMachine {
    /// The machine below `root`.
    pub(super) fn new(root: Root) -> ThisMachine {
        ThisMachine(root)
    }

    /// /sys writes the slash of an old controller's disks (cciss/c0d0) as an exclamation mark.
    fn node(&self, disk: &str) -> std::path::PathBuf {
        self.0.path("/dev").join(disk.replace('!', "/"))
    }
}

impl Machine for ThisMachine {
    fn disks(&self) -> Vec<Disk> {
        facts::look(&self.0)
    }

    /// O_EXCL of a block device says that it is for us alone (open(2)): the kernel refuses it while the
    /// disk or one of its partitions is mounted, is swap space, or has anything built on it.
    fn open(&self, disk: &str, access: Access) -> Result<Box<dyn Medium + '_>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::Write);
        if access != Access::Look {
            options.custom_flags(OFlags::EXCL.bits() as i32);
        }
        let file = options.open(self.node(disk))?;
        if access == Access::Write {
            // udev keeps its hands off a disk that is locked (systemd's Block Device Locking).
            lock(&file)?;
        }
        Ok(Box::new(Opened::new(file)?))
    }

    fn show_partition(&self, disk: &str) -> std::result::Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let node = self.node(disk);
        loop {
            // udev may be reading it at this moment, and then the kernel refuses.
            let asked = ask(BLOCKDEV, &["--rereadpt", &node.to_string_lossy()], PATIENCE);
            if facts::shows_partition(&self.0, disk) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let why = asked.err().map(|error| error.to_string());
                return Err(why.unwrap_or_else(|| "the kernel does not show it".to_owned()));
            }
            thread::sleep(AGAIN);
        }
    }
}

fn lock(file: &File) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(AGAIN),
            Err(Errno::INTR) => {}
            done => return done.map_err(Error::from),
        }
    }
}

/// Closing it ends the lock, and udev then looks at the disk anew.
impl Medium for Opened {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file().write_all_at(bytes, offset)
    }

    fn sync(&self) -> Result<()> {
        self.file().sync_all()
    }
}
