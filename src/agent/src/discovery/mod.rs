//! Two rooms find each other: this machine announces itself on the wire and hears who else does. Start at
//! [`run`]; [`look`] only listens.
//!
//! ```text
//!  the wire ◄─► wire ──► Announcement::parse ──► Neighbours ──► Report ──► /run/duet-agent/peers ──► store
//!  (mDNS)       (edge)   (checked)               (pure)                    /run/duet-agent/neighbours.json
//! ```
//!
//! Nothing that is heard is believed. It leads to a bounded number of dials, and the store's mutual TLS
//! decides who is the other room.

mod announcement;
mod candidates;
mod neighbours;
#[cfg(test)]
mod neighbours_tests;
mod report;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

pub use announcement::{Address, Announcement, Id, Malformed};
pub use neighbours::{CONFIRMED, KEPT, MOST, Neighbours, Own, SILENT};
pub use report::{Files, Kind, Level, Neighbour, Problem, Report};

use crate::{Settings, place, url};
use wire::{Event, Wire};

/// Where the candidates for the other room's control machine are written, for the store's `peer-urls-file`.
pub const PEERS: &str = "/run/duet-agent/peers";

/// Where it is written who is on the wire.
pub const NEIGHBOURS: &str = "/run/duet-agent/neighbours.json";

/// Which boot of the kernel this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// How soon after it was heard something is written; several announcements share one writing.
const BEAT: Duration = Duration::from_millis(250);

/// How often the wire is asked anew; between, the crate asks after 1, 2, 4, 8, … s (RFC 6762, section 5.2).
const REFRESH: Duration = Duration::from_secs(60);

/// How often it is looked whether too much is remembered.
const CROWDED: Duration = Duration::from_secs(1);

/// How long the wire is left alone after it could not be listened to, or brought too much.
const PAUSE: Duration = Duration::from_secs(5);

/// Where discovery writes, and what tests set otherwise.
#[derive(Clone, Debug)]
pub struct Places {
    /// [`PEERS`].
    pub peers: PathBuf,
    /// [`NEIGHBOURS`].
    pub neighbours: PathBuf,
    /// Whether to speak and listen on the loopback, too: for tests.
    pub loopback: bool,
    /// Who this machine is in this boot; none for what [`Id::of_boot`] says. For tests: several machines of
    /// one kernel.
    pub id: Option<Id>,
}

impl Default for Places {
    fn default() -> Places {
        Places { peers: PEERS.into(), neighbours: NEIGHBOURS.into(), loopback: false, id: None }
    }
}

impl Id {
    /// The identifier of a machine of this name in this boot of the kernel: another one after each boot, the
    /// same one after a restart of the program.
    #[must_use]
    pub fn of_boot(settings: &Settings) -> Id {
        let mut digest = digest::Context::new(&digest::SHA256);
        match std::fs::read(BOOT_ID) {
            Ok(boot) => digest.update(&boot),
            Err(_) => {
                let mut bytes = [0; 16];
                SystemRandom::new().fill(&mut bytes).expect("the kernel gives random numbers");
                digest.update(&bytes);
            }
        }
        let name = format!("{} {} {}", settings.site, settings.room, settings.name);
        digest.update(name.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.finish().as_ref()[..8]);
        Id(u64::from_be_bytes(first))
    }
}

/// Announces this machine, and writes who else is there whenever that changes, until `shutdown`. Where the
/// settings turn discovery off, only what was set is written. `confirmed` brings the addresses at which the
/// store is connected to the other room's, now and then while it is.
///
/// No failure ends this: what cannot be written or heard is said in the log and tried again.
pub async fn run(
    settings: &Settings,
    places: &Places,
    mut confirmed: mpsc::Receiver<SocketAddr>,
    shutdown: impl Future<Output = ()>,
) {
    let own = announcement_of(settings, places.id);
    let set = settings.other_room.iter().map(|host| url::of(host, settings.store_port)).collect();
    let identity = Own { id: own.id, site: own.site.clone(), room: own.room, role: own.role };
    let neighbours = Neighbours::new(Instant::now(), Some(identity), set);
    let mut ear = Ear::new(neighbours, Some(own), places.loopback, settings.discovery);
    let mut writer = Writer::default();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(place) = confirmed.recv() => ear.neighbours.confirmed(Instant::now(), place),
            is_beat = ear.next() => if is_beat {
                let now = Instant::now();
                if let Some(report) = ear.neighbours.tick(now) {
                    writer.files = Some(report.files(now, SystemTime::now()));
                }
                writer.write(places);
            },
        }
    }
    ear.close().await;
}

/// Listens for a while, says nothing, and tells who is there.
pub async fn look(span: Duration, loopback: bool) -> Report {
    let neighbours = Neighbours::new(Instant::now(), None, Vec::new());
    let mut ear = Ear::new(neighbours, None, loopback, true);
    let listening = async {
        loop {
            ear.next().await;
        }
    };
    // That it never ends by itself is what was wanted.
    let _ = tokio::time::timeout(span, listening).await;
    let report = ear.neighbours.tick(Instant::now()).unwrap_or_default();
    ear.close().await;
    report
}

fn announcement_of(settings: &Settings, id: Option<Id>) -> Announcement {
    Announcement {
        id: id.unwrap_or_else(|| Id::of_boot(settings)),
        site: settings.site.clone(),
        room: settings.room,
        role: settings.role,
        node: settings.name.clone(),
        store_port: settings.store_port,
        page_port: settings.page_port,
        addresses: Vec::new(),
    }
}

/// Listens to the wire, and opens it again where that fails.
struct Ear {
    neighbours: Neighbours,
    own: Option<Announcement>,
    loopback: bool,
    wire: Option<Wire>,
    /// When the wire is opened next; none if it is not to be.
    open_at: Option<Instant>,
    refresh_at: Instant,
    look_at: Instant,
    beat: Interval,
}

impl Ear {
    fn new(neighbours: Neighbours, own: Option<Announcement>, loopback: bool, open: bool) -> Ear {
        let now = Instant::now();
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ear {
            neighbours,
            own,
            loopback,
            wire: None,
            open_at: open.then_some(now),
            refresh_at: now,
            look_at: now,
            beat,
        }
    }

    /// Takes what is heard next, or does what is due; true if it was a beat. May be cancelled.
    async fn next(&mut self) -> bool {
        let heard = async {
            match &mut self.wire {
                Some(wire) => wire.next().await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            biased;
            _ = self.beat.tick() => None,
            event = heard => Some(event),
        };
        let (now, is_beat) = (Instant::now(), event.is_none());
        match event {
            None => self.maintain(now).await,
            Some(Event::Heard(said)) => self.neighbours.hear(now, said),
            Some(Event::Gone(id)) => self.neighbours.gone(now, id),
            Some(Event::Malformed(malformed)) => self.neighbours.malformed(now, &malformed),
            Some(Event::Overrun) => self.overrun(now),
        }
        is_beat
    }

    async fn maintain(&mut self, now: Instant) {
        let Some(wire) = &mut self.wire else {
            if self.open_at.is_some_and(|at| at <= now) {
                self.open(now);
            }
            return;
        };
        if let Some(why) = wire.trouble() {
            tracing::warn!("the wire cannot be listened to: {why}");
            self.neighbours.deaf(Some(announcement::shown(&why)));
            self.wire = None;
            self.open_at = Some(now + PAUSE);
            return;
        }
        if self.refresh_at <= now {
            self.refresh_at = now + REFRESH;
            // What cannot be asked now is asked the next time.
            let _ = wire.refresh();
        }
        if self.look_at <= now {
            self.look_at = now + CROWDED;
            if wire.is_crowded().await {
                self.overrun(now);
            }
        }
    }

    fn open(&mut self, now: Instant) {
        match Wire::open(self.own.as_ref(), self.loopback) {
            Ok(wire) => {
                self.wire = Some(wire);
                self.refresh_at = now + REFRESH;
                self.look_at = now + CROWDED;
                self.neighbours.deaf(None);
            }
            Err(error) => {
                tracing::warn!("the wire cannot be listened to: {error}");
                self.neighbours.deaf(Some(announcement::shown(&error.to_string())));
                self.open_at = Some(now + PAUSE);
            }
        }
    }

    /// Forgets what the wire brought, and lets it be for a moment. What was checked is kept.
    fn overrun(&mut self, now: Instant) {
        tracing::warn!("more announcements than can be remembered; listening again in {PAUSE:?}");
        self.neighbours.flooded(now);
        self.wire = None;
        self.open_at = Some(now + PAUSE);
    }

    async fn close(mut self) {
        if let Some(wire) = self.wire.take() {
            wire.close().await;
        }
    }
}

/// Writes the files, and tries again what failed.
#[derive(Default)]
struct Writer {
    files: Option<Files>,
    complaint: Option<String>,
}

impl Writer {
    fn write(&mut self, places: &Places) {
        let Some(files) = &self.files else { return };
        let written = [(&places.peers, &files.peers), (&places.neighbours, &files.neighbours)]
            .into_iter()
            .try_for_each(|(path, text)| {
                place::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
            });
        match written {
            Ok(()) => *self = Writer::default(),
            // Said once, not at every try.
            Err(why) if self.complaint.as_ref() != Some(&why) => {
                tracing::error!("cannot write who is on the wire: {why}");
                self.complaint = Some(why);
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    fn settings() -> Settings {
        Settings {
            site: "demo".parse().unwrap(),
            room: site::Room::A,
            role: site::Role::Control,
            name: "a1".parse().unwrap(),
            store_port: 2380,
            page_port: 80,
            discovery: false,
            other_room: vec!["10.0.0.2".to_owned()],
            certificate_file: "/c".into(),
            key_file: "/k".into(),
            authority_file: "/a".into(),
        }
    }

    #[test]
    fn a_machine_is_the_same_one_until_its_next_boot() {
        let mut other = settings();
        assert_eq!(Id::of_boot(&settings()), Id::of_boot(&other));
        other.room = site::Room::B;
        assert_ne!(Id::of_boot(&settings()), Id::of_boot(&other));
    }

    #[tokio::test]
    async fn without_discovery_what_was_set_and_confirmed_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            peers: folder.path().join("run/peers"),
            neighbours: folder.path().join("run/neighbours.json"),
            ..Places::default()
        };
        let (told, confirmed) = mpsc::channel(1);
        told.send("10.0.0.9:2380".parse().unwrap()).await.unwrap();
        let path = places.peers.clone();
        let written = async {
            while !fs::read_to_string(&path).is_ok_and(|text| text.contains("10.0.0.9")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let settings = settings();
        let running = run(&settings, &places, confirmed, written);
        tokio::time::timeout(Duration::from_secs(30), running).await.expect("it is written");
        let peers = fs::read_to_string(&places.peers).unwrap();
        let urls: Vec<&str> = peers.lines().skip(1).collect();
        assert_eq!(urls, ["https://10.0.0.2:2380 # set", "https://10.0.0.9:2380 # confirmed"]);
        let json = fs::read_to_string(&places.neighbours).unwrap();
        assert!(json.contains("\"rooms\": []"), "{json}");
    }
}
