//! Two stores on the loopback as a site that scenarios are done to. Start at [`Loopback::start`].

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::LabError;
use lab::scenario::{Answers, Site, Words};
use site::{Label, Room};
use tempfile::TempDir;
use tests::bad_wire::Wire;
use tests::certificates::Authority;
use tests::programs::kept;
use tests::server::{Make, Plan, Server, duetd};
use tests::witnessing::Witness;

const SITE: &str = "demo";
const ROOMS: [Room; 2] = [Room::A, Room::B];

/// The site. Its stranger is a line in a file, and its status screens are there with the power.
pub(crate) struct Loopback {
    servers: Vec<Server>,
    power: [Arc<AtomicBool>; 2],
    /// On which each room dials the other one, and the witness.
    wires: [Wire; 2],
    third: Option<[Wire; 2]>,
    cut: Vec<Label>,
    begun: Instant,
    /// Whoever loses its power does not get it back.
    pub(crate) stays_off: bool,
    sockets: TempDir,
    folder: TempDir,
    _witness: Option<Witness>,
}

impl Loopback {
    /// Starts both rooms.
    pub(crate) fn start(grants: &str) -> Loopback {
        let folder = tempfile::tempdir_in(kept("stores")).unwrap();
        let sockets = tempfile::Builder::new().prefix("duet-site-").tempdir().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let authority = Authority::new(folder.path(), "site");
        let certificates = ROOMS.map(|room| {
            let name = format!("room-{room}");
            authority.sign(&name, &format!("{name}.{SITE}.duet.internal"))
        });
        let witness =
            (grants == "witness").then(|| Witness::start(folder.path(), SITE, &authority.pem, any));
        let third = witness.as_ref().map(|witness| {
            let there = port(&witness.words(&["127.0.0.1"]));
            ROOMS.map(|_| Wire::new(any, there))
        });
        let mut wires = None;
        let servers = Server::start_together(|| {
            let ports = lab::free_ports(2).unwrap();
            let at = |index: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[index]));
            let between = [Wire::new(any, at(1)), Wire::new(any, at(0))];
            let plan = |index: usize| {
                let (room, (cert, key)) = (ROOMS[index], &certificates[index]);
                let mut words = vec![
                    format!("--site={SITE}"),
                    format!("--room={room}"),
                    format!("--listen-peer-urls=https://{}", at(index)),
                    format!("--peer-urls=https://{}", between[index].address()),
                    format!("--peer-cert-file={}", cert.display()),
                    format!("--peer-key-file={}", key.display()),
                    format!("--peer-trusted-ca-file={}", authority.file.display()),
                ];
                match (&witness, &third) {
                    (Some(witness), Some(third)) => {
                        words.extend(witness.words(&["127.0.0.1"]));
                        words.retain(|word| !word.starts_with("--witness-urls="));
                        words.push(format!("--witness-urls=https://{}", third[index].address()));
                    }
                    _ => words.push(format!("--authority={grants}")),
                }
                let plan = Plan::new(Make::Duet, folder.path().join(format!("room-{room}")));
                let plan = plan.socket(sockets.path().join(room.to_string()));
                words.into_iter().map(OsString::from).fold(plan, Plan::word)
            };
            let plans = vec![plan(0), plan(1)];
            wires = Some(between);
            plans
        });
        let power = [0, 1].map(|_| Arc::new(AtomicBool::new(true)));
        let site = Loopback {
            servers,
            power,
            wires: wires.unwrap(),
            third,
            cut: Vec::new(),
            begun: Instant::now(),
            stays_off: false,
            sockets,
            folder,
            _witness: witness,
        };
        ROOMS.into_iter().for_each(|room| site.new_key(room));
        let stranger = r#"{"problems": [{"code": "neighbour.other-site", "level": "notice"}]}"#;
        fs::write(site.neighbours(), stranger).unwrap();
        site
    }

    fn neighbours(&self) -> PathBuf {
        self.folder.path().join("neighbours.json")
    }

    fn key(&self, room: Room) -> PathBuf {
        self.folder.path().join(format!("key-{room}"))
    }

    /// What a machine with a blank disk makes itself: an ssh host key that nobody had.
    fn new_key(&self, room: Room) {
        let key = format!("SHA256:{:?}", Instant::now());
        fs::write(self.key(room), key).unwrap();
    }
}

/// Where the words of a command line say that the witness is.
fn port(words: &[String]) -> SocketAddr {
    let url = words.iter().find_map(|word| word.strip_prefix("--witness-urls=https://"));
    url.unwrap().parse().unwrap()
}

/// `x1` has no store: it is not of the site.
fn room(machine: &str) -> Option<Room> {
    match machine {
        "a1" => Some(Room::A),
        "b1" => Some(Room::B),
        _ => None,
    }
}

fn index(machine: &str) -> usize {
    usize::from(room(machine) == Some(Room::B))
}

impl Site for Loopback {
    fn machines(&self) -> Vec<(Label, Room)> {
        let machines = [("a1", Room::A), ("b1", Room::B), ("x1", Room::A)];
        machines.map(|(name, room)| (name.parse().unwrap(), room)).into()
    }

    fn is_on(&self, machine: &str) -> Result<bool, LabError> {
        Ok(room(machine).is_none() || self.power[index(machine)].load(Ordering::SeqCst))
    }

    fn on_for(&self) -> Duration {
        self.begun.elapsed()
    }

    fn shows_status_screen(&self, machine: &str) -> Result<bool, LabError> {
        self.is_on(machine)
    }

    fn power_off(&mut self, machine: &str) -> Result<(), LabError> {
        self.servers[index(machine)].kill();
        self.power[index(machine)].store(false, Ordering::SeqCst);
        Ok(())
    }

    fn power_on(&mut self, machine: &str) -> Result<(), LabError> {
        if !self.stays_off {
            self.servers[index(machine)].launch();
            self.power[index(machine)].store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    fn new_disk(&mut self, machine: &str) -> Result<(), LabError> {
        // One whose power was cut at once may have none.
        let _ = fs::remove_dir_all(self.servers[index(machine)].folder().join("data"));
        self.new_key(ROOMS[index(machine)]);
        Ok(())
    }

    fn cut(&self) -> Result<Vec<Label>, LabError> {
        Ok(self.cut.clone())
    }

    fn set_cable(&mut self, cable: &str, whole: bool) -> Result<(), LabError> {
        let third = self.third.as_ref();
        let wires: Vec<&Wire> = match cable {
            "rooms" => self.wires.iter().collect(),
            "third-a1" => vec![&third.unwrap()[0]],
            "third-b1" => vec![&third.unwrap()[1]],
            other => panic!("there is no cable {other}"),
        };
        wires.into_iter().for_each(|wire| if whole { wire.mend() } else { wire.cut() });
        self.cut.retain(|cut| cut.as_str() != cable);
        if !whole {
            self.cut.push(cable.parse().unwrap());
        }
        Ok(())
    }

    fn has_witness(&self) -> bool {
        self.third.is_some()
    }

    fn mend_witness(&mut self) -> Result<bool, LabError> {
        Ok(false)
    }

    /// A shell here, in which `duetd` asks this room's store, and the node's files are the test's.
    fn ssh(&self, machine: &str) -> Result<(Words, Answers), LabError> {
        let room = ROOMS[index(machine)];
        let (program, socket) = (duetd(), self.sockets.path().join(room.to_string()));
        let (key, neighbours) = (self.key(room), self.neighbours());
        let (program, socket) = (program.display(), socket.display());
        let node = format!(
            "duetd() {{\n\
               if [ \"$1\" = status ]; then\n\
                 printf '{{\"findings\":[],\"ssh_host_key\":\"%s\",\"pair\":' \"$(command cat '{key}')\"\n\
                 '{program}' store status --json --endpoint 'unix://{socket}' 2>/dev/null || printf null\n\
                 printf '}}'\n\
               else\n\
                 shift 2\n\
                 '{program}' store probe --endpoint 'unix://{socket}' \"$@\"\n\
               fi\n\
             }}\n\
             cat() {{ command cat '{neighbours}'; }}\n",
            key = key.display(),
            neighbours = neighbours.display(),
        );
        let words = move |command: &str| {
            ["sh", "-c", &format!("{node}{command}")].map(OsString::from).into()
        };
        let power = Arc::clone(&self.power[index(machine)]);
        Ok((Box::new(words), Box::new(move || power.load(Ordering::SeqCst))))
    }
}
