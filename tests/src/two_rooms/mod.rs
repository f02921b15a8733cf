//! A site of two rooms that run: two processes of `duetd store`, each in a network of its own, joined by a
//! cable; a witness and a power switch outside. Start at [`alone()`], then [`Site::start`].
//!
//! ```text
//!   room a ══════════ the link ══════════ room b       each a network namespace
//!      ╲                                   ╱
//!       ╲───────────── outside ───────────╱            the test itself: witness, switch, clients
//! ```
//!
//! All of that lives in namespaces of the test's own, which the kernel ends with it, whatever ended it.

mod alone;
mod cables;
mod room;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::bad_wire::Wire;
use crate::certificates::Authority;
use crate::programs::{kept, plain, say};
use crate::run::run;
use crate::witnessing::Witness;

pub use alone::{alone, in_a_world_of_its_own};
pub use cables::{Cable, Cables, Netem};
pub use room::{Room, RoomPlan};

/// The name of the site.
pub const SITE: &str = "proof";

/// What takes longer than this does not come: some times what it takes on a busy computer.
pub const LONG: Duration = Duration::from_secs(30);

/// Where the witness listens: both rooms reach it, each at a host of its own.
const WITNESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 2377);

/// Which room is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::A, Side::B];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Side {
        if self == Side::A { Side::B } else { Side::A }
    }

    /// Its letter.
    #[must_use]
    pub fn letter(self) -> &'static str {
        if self == Side::A { "a" } else { "b" }
    }
}

/// Who grants, and with whom outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// A witness outside.
    Witness,
    /// A script that kills the other room's process.
    Power,
    /// Room a is preferred.
    PreferA,
    /// A person.
    Operator,
}

/// Both rooms and all that is between and around them.
#[derive(Debug)]
pub struct Site {
    /// In the order of [`Side::BOTH`].
    rooms: [Room; 2],
    /// The network.
    pub cables: Cables,
    /// There if it grants.
    pub witness: Option<Witness>,
    /// Certificates.
    pub authority: Authority,
    /// Where file systems were mounted.
    mounts: Vec<PathBuf>,
    folder: TempDir,
}

impl Site {
    /// Lays the cables, makes certificates and the witness, and starts nothing yet.
    ///
    /// # Panics
    /// If something cannot be made; also outside of [`alone()`].
    #[must_use]
    pub fn plan(grants: Grants) -> Site {
        let folder = TempDir::new_in(kept("two-rooms")).expect("the target folder can be written");
        let cables = Cables::lay();
        let authority = Authority::new(folder.path(), "site");
        let witness = (grants == Grants::Witness)
            .then(|| Witness::start(folder.path(), SITE, &authority.pem, WITNESS));
        let switch = switch(folder.path());
        let rooms = Side::BOTH.map(|side| {
            let mut plan = RoomPlan::new(side, folder.path(), &authority);
            match (grants, &witness) {
                (Grants::Witness, Some(witness)) => {
                    plan.words.extend(witness.words(&Side::BOTH.map(Cables::world)))
                }
                (Grants::Power, _) => {
                    plan.words.push("--authority=power".into());
                    plan.words.push(format!("--power-off-command={}", switch.display()));
                }
                (Grants::PreferA, _) => plan.words.push("--authority=preferred:a".into()),
                _ => plan.words.push("--authority=operator".into()),
            }
            Room::new(plan)
        });
        Site { rooms, cables, witness, authority, mounts: Vec::new(), folder }
    }

    /// Starts both rooms and waits until they are in sync, and would survive the loss of one.
    ///
    /// # Panics
    /// If that does not come.
    #[track_caller]
    #[must_use]
    pub fn start(grants: Grants) -> Site {
        let mut site = Site::plan(grants);
        for side in Side::BOTH {
            site.room_mut(side).start();
        }
        site.in_sync();
        site
    }

    /// Has each room dial the other one over a wire of this process, which can be slow: the way of a, the way
    /// of b. For rooms that are not started yet.
    ///
    /// # Panics
    /// If the wires cannot be made.
    #[must_use]
    pub fn over_wires(&mut self) -> [Wire; 2] {
        Side::BOTH.map(|side| {
            let address = |host: &str, port: u16| {
                SocketAddr::new(host.parse().expect("it is an address"), port)
            };
            let target = address(Cables::outside(side.other()), room::PEERS);
            let wire = Wire::new(address(Cables::world(side), 0), target);
            self.room_mut(side).plan.peer = wire.address().to_string();
            wire
        })
    }

    /// Gives a room's data a file system of its own: `mount WORDS FOLDER`. A second time, with `remount`
    /// among the words, changes it.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn mount(&mut self, side: Side, words: &[&str]) {
        let data = self.room(side).plan.data.clone();
        fs::create_dir_all(&data).expect("the folder can be written");
        let _ = run(plain("mount").args(words).arg(&data), LONG).well();
        if !self.mounts.contains(&data) {
            self.mounts.push(data);
        }
    }

    /// A room.
    #[must_use]
    pub fn room(&self, side: Side) -> &Room {
        &self.rooms[side as usize]
    }

    /// A room, to start or to end it.
    pub fn room_mut(&mut self, side: Side) -> &mut Room {
        &mut self.rooms[side as usize]
    }

    /// The folder of all that the site has.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How room `side` says that it is; none if it does not answer.
    #[must_use]
    pub fn status(&self, side: Side) -> Option<Value> {
        self.room(side).page("/duet/pair")
    }

    /// Which room leads, as that room says.
    #[must_use]
    pub fn leader(&self) -> Option<Side> {
        let leads =
            |side: &Side| self.status(*side).is_some_and(|status| status["role"] == "leads");
        Side::BOTH.into_iter().find(leads)
    }

    /// Waits until a room leads, and says which.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn wait_for_leader(&self) -> Side {
        let mut leader = None;
        self.until("a room leads", || {
            leader = self.leader();
            leader.is_some()
        });
        leader.expect("it was waited for")
    }

    /// Waits until both rooms are in sync, and what grants knows it.
    ///
    /// # Panics
    /// If that does not come.
    #[track_caller]
    pub fn in_sync(&self) {
        self.until("both rooms are in sync", || {
            let Some(leader) = self.leader() else { return false };
            let (Some(leads), Some(follows)) = (self.status(leader), self.status(leader.other()))
            else {
                return false;
            };
            let both = |status: &Value| status["in_sync"].as_array().is_some_and(|s| s.len() == 2);
            both(&leads)
                && both(&follows)
                && follows["role"] == "follows"
                && leads["follower"].is_object()
                && (self.witness.is_none() || leads["authority"]["witnessed"] == true)
        });
    }

    /// Waits for what is to come.
    ///
    /// # Panics
    /// If it does not, with what both rooms say of themselves.
    #[track_caller]
    pub fn until(&self, what: &str, is: impl FnMut() -> bool) {
        if !wait(LONG, is) {
            let states = Side::BOTH.map(|side| self.status(side));
            panic!("not in {} s: {what}\n{:#?}\n{:#?}", LONG.as_secs(), states[0], states[1]);
        }
    }

    /// Both rooms' logs, as far as they fit.
    #[must_use]
    pub fn said(&self) -> String {
        let one = |room: &Room| format!("--- room {}\n{}", room.side().letter(), room.said());
        self.rooms.iter().map(one).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for room in &mut self.rooms {
            room.kill();
        }
        // What is mounted in a folder keeps it from being removed.
        for data in &self.mounts {
            let _ = run(plain("umount").arg("--lazy").arg(data), LONG);
        }
        if thread::panicking() {
            say(&format!("{}\n", self.said()));
        }
    }
}

/// Looks every few milliseconds; false if it does not become true within `limit`.
pub fn wait(limit: Duration, mut is: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    while !is() {
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A power switch: kills the process of a room, and says yes once it is gone. While the file `stuck` lies
/// beside it, it does nothing and says no.
fn switch(folder: &Path) -> PathBuf {
    let path = folder.join("switch");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = off ] || exit 2\n[ ! -e {0}/stuck ] || exit 1\n\
         pid=$(cat {0}/$2.pid) || exit 1\necho \"$2\" >>{0}/switched\nkill -9 $pid 2>/dev/null\n\
         while [ -e /proc/$pid/stat ] && ! grep -q ') Z ' /proc/$pid/stat; do sleep 0.02; done\n",
        folder.display()
    );
    fs::write(&path, script).expect("the folder can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it was just written");
    path
}
