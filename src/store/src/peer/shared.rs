//! What all parts of a link share. Start at [`Shared`].

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::calls::Caller;
use super::dial::{Link, Problem};
use super::greet::Agreed;
use super::hello::{Hello, Purpose, Versions};
use super::outbox::Outbox;
use super::status::{Connected, LinkStatus, Meter, Said};
use super::tls::Ends;
use super::{Config, Handler};
use crate::serve::tls::Renewed;

/// How long the text of a status may be.
const TEXT_BYTES: usize = 2 << 10;

/// What tests set otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub(super) versions: Versions,
    /// Seconds since 1970.
    pub(super) clock: fn() -> u64,
}

impl Default for Local {
    fn default() -> Local {
        let newest = pair::wire::VERSION;
        Local { versions: (newest.saturating_sub(1).max(1), newest), clock: wall }
    }
}

/// The wall clock: seconds since 1970.
pub(super) fn wall() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A link, as its tasks see it.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) local: Local,
    pub(super) identity: Renewed<Ends>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) meter: Meter,
    /// Where frames go, while there is a connection.
    pub(super) outbox: Mutex<Option<Arc<Outbox>>>,
    /// Where requests go, while there is a connection.
    pub(super) caller: Mutex<Option<Arc<Caller>>>,
    /// Whether there is a connection outward.
    pub(super) up: watch::Sender<bool>,
    /// Told when the peer has dialed: then it is there, and need not be waited for.
    pub(super) seen: Notify,
    started: Instant,
    /// When the peer was heard, in microseconds since `started`, and 1 more; 0 for never.
    heard_us: AtomicU64,
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    status: LinkStatus,
    met: Option<SocketAddr>,
    outward: Said,
    turned_away: Said,
}

impl Shared {
    pub(super) fn new(
        config: Config,
        local: Local,
        identity: Renewed<Ends>,
        handler: Arc<dyn Handler>,
    ) -> Shared {
        Shared {
            config,
            local,
            identity,
            handler,
            meter: Meter::default(),
            outbox: Mutex::default(),
            caller: Mutex::default(),
            up: watch::Sender::new(false),
            seen: Notify::new(),
            started: Instant::now(),
            heard_us: AtomicU64::new(0),
            facts: Mutex::default(),
        }
    }

    /// Where the peer was met last.
    pub(super) fn met(&self) -> Option<SocketAddr> {
        self.facts().met
    }

    /// What this room says first.
    pub(super) fn hello(&self, purpose: Option<Purpose>) -> Hello {
        Hello {
            versions: self.local.versions,
            site: self.config.site.clone(),
            room: self.config.room,
            purpose,
            release: self.config.release.chars().take(32).collect(),
            clock: (self.local.clock)(),
            terms: self.config.terms.clone(),
        }
    }

    /// Microseconds since the link began.
    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// So many bytes came from the peer.
    pub(super) fn heard(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.meter.bytes_received.add(bytes);
        self.heard_us.store(self.now_us() + 1, Ordering::Relaxed);
    }

    pub(super) fn round_trip(&self, took: Duration) {
        self.facts().status.round_trip = Some(took);
    }

    /// A connection for frames is there.
    pub(super) fn outward(&self, link: &Link) {
        let (address, peer) = (link.address, &link.agreed.peer);
        info!(%address, room = %peer.room, release = %peer.release, version = link.agreed.version,
            "connected to the other room");
        let mut facts = self.facts();
        facts.agreed(&link.agreed);
        facts.status.outward = Some(Connected { address, since: SystemTime::now() });
        facts.status.why_not = None;
        facts.status.refused = None;
        facts.met = Some(address);
        facts.outward.forget();
    }

    /// It has ended.
    pub(super) fn outward_ended(&self, reason: &str) {
        warn!(%reason, "the connection to the other room has ended");
        let mut facts = self.facts();
        facts.status.outward = None;
        facts.status.round_trip = None;
        facts.status.why_not = Some(short(reason));
        facts.status.refused = None;
    }

    /// None could be made.
    pub(super) fn not_connected(&self, problems: &[Problem]) {
        // If it was met at one of its addresses, the others do not matter.
        let met = problems.iter().find(|problem| match problem {
            Problem::Refused { refusal, .. } => refusal.is_of_the_other_room(),
            _ => false,
        });
        let problems = met.map_or(problems, std::slice::from_ref);
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let text = short(&text.join("; "));
        let mut facts = self.facts();
        if facts.outward.worth(&text, Instant::now()) {
            warn!(reason = %text, "cannot connect to the other room");
        }
        facts.status.why_not = Some(text);
        facts.status.refused = problems.iter().find_map(|problem| match problem {
            Problem::Refused { refusal, .. } => Some(refusal.kind()),
            _ => None,
        });
    }

    /// The peer has made a connection for frames.
    pub(super) fn inward(&self, address: SocketAddr, agreed: &Agreed) {
        info!(%address, room = %agreed.peer.room, release = %agreed.peer.release, "the other room has connected");
        let since = SystemTime::now();
        let mut facts = self.facts();
        facts.agreed(agreed);
        facts.status.inward = Some(Connected { address, since });
        facts.status.turned_away = None;
        facts.turned_away.forget();
    }

    /// It has ended.
    pub(super) fn inward_ended(&self, address: SocketAddr, reason: &str) {
        info!(%address, %reason, "the other room's connection has ended");
        self.facts().status.inward = None;
    }

    /// Somebody dialed this room and was turned away.
    pub(super) fn turned_away(&self, address: SocketAddr, reason: &str) {
        self.meter.turned_away.add(1);
        let reason = short(reason);
        let mut facts = self.facts();
        // The port is another one each time.
        if facts.turned_away.worth(&reason, Instant::now()) {
            warn!(%address, %reason, "a connection was turned away");
        }
        let text = format!("{}: {reason}", address.ip());
        facts.status.turned_away = Some((SystemTime::now(), text));
    }

    pub(super) fn status(&self) -> LinkStatus {
        let mut status = self.facts().status.clone();
        status.counters = self.meter.read();
        status.calls = self.caller().is_some();
        status.waiting_bytes = self.outbox().as_ref().map_or(0, |outbox| outbox.waiting_bytes());
        let heard = self.heard_us.load(Ordering::Relaxed).checked_sub(1);
        status.heard = heard.map(|at| Duration::from_micros(self.now_us().saturating_sub(at)));
        status
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Option<Arc<Outbox>>> {
        self.outbox.lock().expect("a thread that panics ends the process")
    }

    pub(super) fn caller(&self) -> MutexGuard<'_, Option<Arc<Caller>>> {
        self.caller.lock().expect("a thread that panics ends the process")
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("a thread that panics ends the process")
    }
}

impl Facts {
    fn agreed(&mut self, agreed: &Agreed) {
        self.status.version = Some(agreed.version);
        self.status.peer_release = Some(agreed.peer.release.clone());
    }
}

fn short(text: &str) -> String {
    let fits = |(at, c): &(usize, char)| at + c.len_utf8() <= TEXT_BYTES;
    text.char_indices().take_while(fits).map(|(_, c)| c).collect()
}
