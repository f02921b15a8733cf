//! A machine that announces itself: `duetd discover --settings` in a network. Start at [`Machine::start`].

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::programs::plain;
use tests::run::{Said, run};
use tests::server::duetd;
use tests::two_rooms::{LONG, wait};

/// Who a machine says to be.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// Its network; none for that of the test.
    pub(crate) network: Option<&'static str>,
    pub(crate) site: &'static str,
    pub(crate) room: &'static str,
    pub(crate) role: &'static str,
    pub(crate) name: &'static str,
    pub(crate) store_port: u16,
    /// Where it was told that the other room is.
    pub(crate) other_room: Vec<&'static str>,
}

impl Who {
    /// The control machine of a room, in the network of its letter.
    pub(crate) fn control(site: &'static str, room: &'static str) -> Who {
        Who {
            network: Some(room),
            site,
            room,
            role: "control",
            name: if room == "a" { "node-a" } else { "node-b" },
            store_port: 2380,
            other_room: Vec::new(),
        }
    }
}

/// One that runs. It ends with its value.
pub(crate) struct Machine {
    child: Child,
    folder: PathBuf,
}

impl Machine {
    /// Starts it, with all that it writes in a folder beneath `folder`.
    #[track_caller]
    pub(crate) fn start(folder: &Path, who: &Who) -> Machine {
        let key = format!("{}-{}-{}", who.network.unwrap_or("here"), who.room, who.name);
        let folder = folder.join(&key);
        fs::create_dir_all(&folder).unwrap();
        let Who { site, room, role, name, store_port, other_room, .. } = who;
        let settings = format!(
            "site = {site:?}\nroom = {room:?}\nrole = {role:?}\nname = {name:?}\n\
             store_port = {store_port}\npage_port = 2382\ndiscovery = true\n\
             other_room = {other_room:?}\ncertificate_file = \"/c\"\nkey_file = \"/k\"\n\
             authority_file = \"/a\"\n"
        );
        fs::write(folder.join("agent.toml"), settings).unwrap();
        let mut command = within(who.network);
        command.arg(duetd()).args(["discover", "--settings"]).arg(folder.join("agent.toml"));
        command.arg("--into").arg(&folder).args(["--id", &id(&key)]);
        let log = File::create(folder.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Machine { child: command.spawn().unwrap(), folder }
    }

    /// The file for the store.
    pub(crate) fn peers_file(&self) -> PathBuf {
        self.folder.join("peers")
    }

    /// The candidates for the other room.
    pub(crate) fn peers(&self) -> Vec<String> {
        let text = fs::read_to_string(self.peers_file()).unwrap_or_default();
        let url = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
        text.lines().map(url).filter(|url| !url.is_empty()).collect()
    }

    /// Who is there, as the screen would read it; none if that was not written yet.
    pub(crate) fn neighbours(&self) -> Option<Value> {
        let text = fs::read_to_string(self.folder.join("neighbours.json")).ok()?;
        Some(serde_json::from_str(&text).expect("what is there is whole"))
    }

    /// What kind of neighbour the machine of this name is; empty if there is none.
    pub(crate) fn kind(&self, node: &str) -> String {
        let neighbours = self.neighbours().unwrap_or_default();
        let mut rooms = neighbours["rooms"].as_array().into_iter().flatten();
        let found = rooms.find(|room| room["node"] == node);
        found.and_then(|room| room["kind"].as_str()).unwrap_or_default().to_owned()
    }

    /// The words of the problem with this code; empty if there is none.
    pub(crate) fn problem(&self, code: &str) -> String {
        let neighbours = self.neighbours().unwrap_or_default();
        let mut problems = neighbours["problems"].as_array().into_iter().flatten();
        let found = problems.find(|problem| problem["code"] == code);
        found.and_then(|problem| problem["what"].as_str()).unwrap_or_default().to_owned()
    }

    /// What it has said for the journal.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits for what is to come.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is: impl FnMut(&Machine) -> bool) {
        if !wait(LONG, || is(self)) {
            let (peers, log) = (self.peers(), self.log());
            panic!("not in {LONG:?}: {what}\n{peers:?}\n{:#?}\n{log}", self.neighbours());
        }
    }

    /// Asks it to end, so that it says goodbye, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(process, Signal::TERM).unwrap();
        let mut status = None;
        let ended = wait(Duration::from_secs(10), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended && status.unwrap().success(), "it ended with {status:?}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has a person type `duetd discover --seconds 3 WORDS` in a network.
pub(crate) fn discover(network: &'static str, words: &[&str]) -> Said {
    let mut command = within(Some(network));
    command.arg(duetd()).args(["discover", "--seconds", "3"]).args(words);
    run(&mut command, LONG)
}

/// What starts a program in a network; it ends with the test.
pub(crate) fn within(network: Option<&str>) -> Command {
    let mut command = plain("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    if let Some(network) = network {
        // It becomes the program, so that the child's number is the program's.
        command.args(["ip", "netns", "exec", network]);
    }
    command
}

/// All machines of a test run on one kernel, in one boot: each is given what a boot of its own would give it.
fn id(key: &str) -> String {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", key.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}
