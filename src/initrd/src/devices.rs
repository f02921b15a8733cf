//! Finds the machine's devices and loads their drivers. Start at [`Drivers::load_next`].
//!
//! Which module drives what is decided in [`crate::drivers`]; here are only /sys, the modules' files
//! and the kernel's announcements.

use crate::console::Log;
use crate::drivers::{Catalogue, rank};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with,
};
use rustix::system::finit_module;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Where the image builder lays the modules.
const MODULES: &str = "/modules";

/// The drivers of this machine, loaded step by step.
pub struct Drivers<'a> {
    log: &'a Log,
    catalogue: Catalogue,
    /// Modules that were tried, with or without success.
    tried: BTreeSet<String>,
    /// Devices, by modalias, that were seen.
    seen: BTreeSet<String>,
    /// Those of them whose drivers are still to be looked for; the most urgent one last.
    waiting: Vec<String>,
    /// The kernel's announcements of new devices; without it time alone tells.
    announcements: Option<OwnedFd>,
}

impl<'a> Drivers<'a> {
    /// Reads the catalogue and begins to listen for new devices.
    pub fn open(log: &'a Log) -> Self {
        let text = |name| {
            let path = Path::new(MODULES).join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|error| {
                log.note(format!("cannot read {} of the initramfs: {error}", path.display()));
                String::new()
            })
        };
        let announcements = listen();
        if let Err(error) = &announcements {
            log.note(format!("cannot listen for new devices, looking for them instead: {error}"));
        }
        Self {
            log,
            catalogue: Catalogue::parse(&text("load"), &text("alias"), &text("dep")),
            tried: BTreeSet::new(),
            seen: BTreeSet::new(),
            waiting: Vec::new(),
            announcements: announcements.ok(),
        }
    }

    /// Loads what every machine needs.
    pub fn load_always(&mut self) {
        let names = self.catalogue.always();
        self.load(&names);
    }

    /// Loads the module `name` and what it needs.
    pub fn load_named(&mut self, name: &str) {
        let names = self.catalogue.named(name);
        self.load(&names);
    }

    /// Loads the driver of one more device, the most urgent one that is there; false if every
    /// device has what is known to drive it.
    pub fn load_next(&mut self) -> bool {
        for modalias in modaliases() {
            if rank(&modalias).is_some() && self.seen.insert(modalias.clone()) {
                self.waiting.push(modalias);
            }
        }
        self.waiting.sort_by_key(|modalias| std::cmp::Reverse(rank(modalias)));
        while let Some(modalias) = self.waiting.pop() {
            let names = self.catalogue.for_device(&modalias);
            if self.load(&names) > 0 {
                return true;
            }
        }
        false
    }

    fn load(&mut self, names: &[String]) -> usize {
        let mut loaded = 0;
        for name in names {
            if !self.tried.insert(name.clone()) {
                continue;
            }
            match load_module(name) {
                Ok(()) => loaded += 1,
                // EEXIST: it is there already, perhaps as a part of the kernel.
                Err(Errno::EXIST) => {}
                // ENODEV: it looked and found no hardware for it (crc32c_intel, for one).
                Err(Errno::NODEV) => self.log.say(&format!("module {name}: nothing to drive")),
                Err(error) => self.log.note(format!("cannot load the module {name}: {error}")),
            }
        }
        loaded
    }

    /// Waits until the kernel announces a device, or `limit` is over. True if it did.
    pub fn wait(&self, limit: Duration) -> bool {
        let Some(announcements) = &self.announcements else {
            std::thread::sleep(limit);
            return false;
        };
        let limit =
            Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        let heard = poll(&mut [PollFd::new(announcements, PollFlags::IN)], Some(&limit));
        let mut announcement = [0u8; 4096];
        // What is said is not read: /sys says the same and cannot be forged by another process. An
        // overflow (ENOBUFS) is an announcement as well.
        while matches!(
            recv(announcements, &mut announcement[..], RecvFlags::DONTWAIT),
            Ok(_) | Err(Errno::NOBUFS)
        ) {}
        heard.is_ok_and(|count| count > 0)
    }
}

fn listen() -> rustix::io::Result<OwnedFd> {
    /// The group of the kernel itself; group 2 is udev's.
    const KERNEL: u32 = 1;
    let (family, kind) = (AddressFamily::NETLINK, SocketType::DGRAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(netlink::KOBJECT_UEVENT))?;
    bind(&socket, &netlink::SocketAddrNetlink::new(0, KERNEL))?;
    Ok(socket)
}

fn load_module(name: &str) -> Result<(), Errno> {
    let file =
        open(format!("{MODULES}/{name}.ko"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    finit_module(&file, c"", 0)
}

/// The modaliases of all devices. Every device that a driver can be found for hangs on a bus, and
/// /sys/bus is a tenth of /sys/devices.
fn modaliases() -> BTreeSet<String> {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    entries(Path::new("/sys/bus"))
        .flat_map(|bus| entries(&bus.path().join("devices")))
        .filter_map(|device| std::fs::read_to_string(device.path().join("modalias")).ok())
        .map(|modalias| modalias.trim().to_owned())
        .filter(|modalias| !modalias.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_computer_has_devices_with_modaliases() {
        // A container may hide /sys; then there is nothing to see.
        if Path::new("/sys/bus/pci/devices")
            .read_dir()
            .is_ok_and(|mut found| found.next().is_some())
        {
            assert!(modaliases().iter().any(|modalias| modalias.starts_with("pci:v")));
        }
    }

    #[test]
    fn waiting_ends() {
        let log = Log::silent();
        let drivers = Drivers::open(&log);
        let before = std::time::Instant::now();
        drivers.wait(Duration::from_millis(20));
        assert!(before.elapsed() < Duration::from_secs(10));
        // The three files are not there, and each is named.
        assert_eq!(log.notes.borrow().iter().filter(|note| note.contains("/modules/")).count(), 3);
    }
}
