//! Where everything of a lab lies. Start at [`Places::new`]. Decides names only; touches no file.
//!
//! ```text
//! DIR/lab.json           the plan, and which wires are cut
//! DIR/lab.lock           held while a command changes the lab
//! DIR/known_hosts        ssh host keys of the machines
//! DIR/a1/disk.img        the machine's disk, and beside it
//!        data-1.img …    its further disks
//!        variables.fd    its firmware's variables
//!        run.json        its process, while it is on
//!        serial.log      what it said since it was switched on; serial-1.log the time before
//!        qemu.log        what QEMU said about it
//!        tpm/            its TPM's data, run.json and log, if it has one
//! DIR/rooms.switch/      the switches of a wire with more than two ends: run.json and log
//! DIR/witness/           the witness' data, run.json and log, if there is one
//! SOCKETS/a1.qmp …       sockets: DIR/lab.run, or a short place if that is too long for a socket
//! ```
//!
//! A machine's name holds no dot, so that none can take the place of the lab's own files.

use std::path::{Path, PathBuf};

use site::Room;

/// The longest path of a unix socket: `sun_path` without its final NUL (unix(7)).
const LONGEST_SOCKET: usize = 107;
/// The longest name of a machine or a wire.
pub(crate) const LONGEST_NAME: usize = 32;
/// The longest name of a file in the sockets' directory.
const LONGEST_FILE: usize = LONGEST_NAME + ".control".len();

/// The places of one lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    dir: PathBuf,
    sockets: PathBuf,
}

/// The places of a program that runs beside the machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DaemonPlaces {
    /// Everything of it.
    pub(crate) dir: PathBuf,
    /// What it keeps.
    pub(crate) data: PathBuf,
    /// Its process, while it runs.
    pub(crate) run: PathBuf,
    /// What it said.
    pub(crate) log: PathBuf,
}

impl DaemonPlaces {
    fn new(dir: PathBuf, log: &str) -> DaemonPlaces {
        let (data, run, log) = (dir.join("data"), dir.join("run.json"), dir.join(log));
        DaemonPlaces { dir, data, run, log }
    }
}

/// The places of a wire's switches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SwitchPlaces {
    /// Those of the program that plays them.
    pub(crate) daemon: DaemonPlaces,
    /// Where the machines of the rooms are plugged in.
    pub(crate) sides: [PathBuf; 2],
    /// Where the cable between the switches is cut.
    pub(crate) control: PathBuf,
}

impl SwitchPlaces {
    /// Where machines of a room are plugged in.
    pub(crate) fn side(&self, room: Room) -> PathBuf {
        self.sides[usize::from(room == Room::B)].clone()
    }
}

/// The places of a machine's TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TpmPlaces {
    /// Those of the program that plays it.
    pub(crate) daemon: DaemonPlaces,
    /// Where QEMU reaches it.
    pub(crate) socket: PathBuf,
}

/// The places of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachinePlaces {
    /// Everything of the machine but its sockets.
    pub dir: PathBuf,
    /// Its disk.
    pub disk: PathBuf,
    /// Its firmware's variables.
    pub variables: PathBuf,
    /// Its process, while it is on.
    pub run: PathBuf,
    /// What its serial console said since it was switched on.
    pub serial_log: PathBuf,
    /// What QEMU said about it.
    pub qemu_log: PathBuf,
    /// QEMU's number, written by QEMU.
    pub pid: PathBuf,
    /// QEMU's control socket.
    pub qmp: PathBuf,
    /// Its serial console.
    pub serial: PathBuf,
    /// Its TPM.
    pub(crate) tpm: TpmPlaces,
}

impl Places {
    /// The places of the lab in `dir`. `short` is where sockets go if paths in `dir` are too long
    /// for them: a directory that is emptied when this computer restarts, such as
    /// `$XDG_RUNTIME_DIR` or `/tmp`.
    pub fn new(dir: &Path, short: &Path) -> Places {
        let beside = dir.join("lab.run");
        let fits = beside.as_os_str().len() + 1 + LONGEST_FILE <= LONGEST_SOCKET;
        let sockets = if fits {
            beside
        } else {
            short.join(format!("duet-lab-{:016x}", fingerprint(dir.as_os_str().as_encoded_bytes())))
        };
        Places { dir: dir.into(), sockets }
    }

    /// Where this user's short-lived files go by the environment's word.
    pub fn short(runtime_dir: Option<PathBuf>) -> PathBuf {
        // A relative XDG_RUNTIME_DIR is invalid and ignored (XDG Base Directory Specification).
        runtime_dir.filter(|dir| dir.is_absolute()).unwrap_or_else(|| "/tmp".into())
    }

    /// The lab's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of the sockets. Only its owner may enter it.
    pub fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// The lab's notes.
    pub fn notes(&self) -> PathBuf {
        self.dir.join("lab.json")
    }

    /// The file whose lock says that a command changes the lab.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lab.lock")
    }

    /// The machines' ssh host keys.
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// The socket in which the wire's two ends meet.
    pub fn wire(&self, name: &str) -> PathBuf {
        self.sockets.join(format!("{name}.wire"))
    }

    /// The places of the witness.
    pub(crate) fn witness(&self) -> DaemonPlaces {
        DaemonPlaces::new(self.dir.join(crate::plan::WITNESS), "witness.log")
    }

    /// The places of a wire's switches.
    pub(crate) fn switch(&self, wire: &str) -> SwitchPlaces {
        let socket = |end: &str| self.sockets.join(format!("{wire}.{end}"));
        SwitchPlaces {
            daemon: DaemonPlaces::new(self.dir.join(format!("{wire}.switch")), "switch.log"),
            sides: [socket("a"), socket("b")],
            control: socket("control"),
        }
    }

    /// The places of one machine.
    pub fn machine(&self, name: &str) -> MachinePlaces {
        let dir = self.dir.join(name);
        MachinePlaces {
            disk: dir.join("disk.img"),
            variables: dir.join("variables.fd"),
            run: dir.join("run.json"),
            serial_log: dir.join("serial.log"),
            qemu_log: dir.join("qemu.log"),
            pid: self.sockets.join(format!("{name}.pid")),
            qmp: self.sockets.join(format!("{name}.qmp")),
            serial: self.sockets.join(format!("{name}.serial")),
            tpm: TpmPlaces {
                daemon: DaemonPlaces::new(dir.join("tpm"), "tpm.log"),
                socket: self.sockets.join(format!("{name}.tpm")),
            },
            dir,
        }
    }
}

impl MachinePlaces {
    /// A further disk, counted from 0.
    #[must_use]
    pub fn data_disk(&self, index: usize) -> PathBuf {
        self.dir.join(format!("data-{}.img", index + 1))
    }

    /// The serial log of `ago` power-ons before this one.
    pub fn earlier_serial_log(&self, ago: u32) -> PathBuf {
        match ago {
            0 => self.serial_log.clone(),
            ago => self.dir.join(format!("serial-{ago}.log")),
        }
    }
}

/// A number that is the same for the same bytes at all times: 64-bit FNV-1a
/// (draft-eastlake-fnv). Not for secrets.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_lie_beside_the_disks_unless_the_path_is_too_long() {
        let near = Places::new(Path::new("/home/me/lab"), Path::new("/run/user/1"));
        assert_eq!(near.sockets(), Path::new("/home/me/lab/lab.run"));
        let deep = PathBuf::from("/home/me").join("x".repeat(60));
        let far = Places::new(&deep, Path::new("/run/user/1"));
        assert!(far.sockets().starts_with("/run/user/1/"), "{far:?}");
        assert_ne!(far.sockets(), Places::new(&deep.join("y"), Path::new("/run/user/1")).sockets());
        for places in [near, far] {
            let longest = places.machine(&"m".repeat(LONGEST_NAME)).serial;
            assert!(longest.as_os_str().len() <= LONGEST_SOCKET, "{longest:?}");
        }
    }

    #[test]
    fn the_fingerprint_is_the_published_one() {
        // Test vectors of draft-eastlake-fnv, appendix C.
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_relative_runtime_directory_is_ignored() {
        assert_eq!(Places::short(Some("run".into())), Path::new("/tmp"));
        assert_eq!(Places::short(Some("/run/user/7".into())), Path::new("/run/user/7"));
    }
}
