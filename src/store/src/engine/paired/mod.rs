//! A store that is one of two: the threads around a [`Replica`]. Start at [`open`].
//!
//! ```text
//!  clients ──► inbox ──► drive (one thread: the replica) ──► disk (one thread: log, fsync)
//!                ▲          │        │          └─────────► publish: readers, answers, watches
//!                │          ▼        ▼
//!                └── link to the other room, authority
//! ```
//!
//! Nothing is decided here; what the replica says is carried out in its order.

pub(crate) mod clock;
mod disk;
mod drive;
mod seat;
mod view;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use pair::{Ask, Epoch, Message, Room, Timing};
use tokio::sync::oneshot;

use super::Engine;
use super::command::Command;
use super::inbox::{Inbox, Receiving};
use super::keeper::Keeper;
use super::open::{Options, assemble, spawn};
use super::shared::Shared;
use crate::checkpoint;
use crate::disk::Disk;
use crate::recover::{self, OpenError, Place, Progress, RoomFiles};
use crate::replica::{Opened, Packet, Replica, Settings};
use disk::{Work, Writer};
use drive::Drive;

pub(crate) use seat::Seat;
pub use seat::{Event, Standing};
pub use view::View;

/// The longest that a hand-over takes: a lease, and some.
const PATIENCE: Duration = Duration::from_secs(3);

/// A word to the other room needs so long on any link that a site has.
const FAREWELL: Duration = Duration::from_millis(50);

/// The way to the other room.
pub trait Link: Send + Sync + 'static {
    /// Sends a packet's bytes; never waits, and may lose them.
    fn send(&self, packet: Bytes, urgent: bool);
    /// Sends a snapshot's bytes beside the packets; `head` comes first. The chunks are dropped when it is
    /// over, however it ended.
    fn send_snapshot(&self, head: Bytes, chunks: Box<dyn Iterator<Item = Vec<u8>> + Send>);
}

/// A question's answer on its way.
pub type Asking = Pin<Box<dyn Future<Output = pair::Answer> + Send>>;

/// Who decides which room goes on, and what makes the other one harmless.
pub trait Authority: Send + Sync + 'static {
    /// Asks; an answer that does not come is [`pair::Answer::Unreachable`] in the end.
    fn ask(&self, ask: Ask) -> Asking;
    /// This decision allows to make `peer` harmless.
    fn fence(&self, peer: Room, epoch: Epoch);
    /// Whether it could be asked now, as far as is known without waiting.
    fn reach(&self) -> Reach;
}

/// How the way to the authority is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// When it answered last, by the wall clock; none if never, or if there is nobody to ask.
    pub answered: Option<SystemTime>,
    /// Why the last question was not answered; none if it was.
    pub trouble: Option<String>,
    /// Of a witness: the newest decision that it holds.
    pub holds: Option<Epoch>,
}

/// How a room of a pair works, beside [`Options`].
pub struct PairOptions {
    /// Whose store it is.
    pub place: Place,
    /// Who grants.
    pub authority: pair::Authority,
    /// How long to wait for what.
    pub timing: Timing,
    /// A sync that takes longer means that the disk sticks.
    pub stuck_after: Duration,
    /// Begin a site with what the folder holds.
    pub found: bool,
    /// This boot of the machine; not 0.
    pub boot_id: u128,
    /// The number of this disk, if it is new: larger than that of any disk that the room had.
    pub incarnation: u64,
    /// A number drawn for the site, should this room found it.
    pub cluster: u128,
    /// The way to the authority.
    pub asks: Arc<dyn Authority>,
}

/// What reaches the deciding thread besides requests.
pub(crate) enum Word {
    /// The peer said something.
    Packet(Packet),
    /// The peer sent all of a snapshot.
    Snapshot(Message, Box<mvcc::State>),
    /// The way to the peer is there.
    Linked(Arc<dyn Link>),
    Written,
    Installed,
    SnapshotSent,
    Answered(u64, pair::Answer),
    Wish(pair::Command, oneshot::Sender<Result<(), pair::Refusal>>),
    Look(oneshot::Sender<View>),
    DiskFailed,
}

/// Opens the store of a room. It says nothing to its peer before [`Engine::link`] is called.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    options: Options,
    pair: PairOptions,
    progress: &dyn Fn(Progress),
) -> Result<Engine, OpenError> {
    let PairOptions { place, incarnation, .. } = &pair;
    let files = recover::open_room(&*disk, place, *incarnation, pair.found)?;
    if let Some(why) = &files.voided {
        tracing::warn!("the data that was here is void and was removed: {why}");
    }
    let ids = options.ids.clone();
    let (opened, recent) =
        recover::open_paired(disk.clone(), ids, options.segment_bytes, progress)?;
    let (state, at, ring) = recent.into_parts();

    let mut stamp = opened.stamp.clone();
    (stamp.index, stamp.term) = (at.index, at.epoch);
    let seat = Seat::new(pair.place.clone(), at.index);
    let shared = Arc::new(Shared::new(&stamp, state.clone(), &options).seated(seat));
    shared.covers(checkpoint::newest(&*disk));
    let RoomFiles { incarnation, start, register, .. } = files;
    let identity = pair::Identity { boot_id: pair.boot_id, start, incarnation };
    let settings = Settings {
        pair: pair::Settings {
            me: pair.place.room,
            authority: pair.authority,
            timing: pair.timing,
        },
        quota: options.quota,
        retention: options.retention,
        stuck_after: pair.stuck_after,
        founder: match pair.authority {
            pair::Authority::Preferred(room) => room,
            _ => Room::A,
        },
        found: pair.found,
        cluster: pair.cluster,
    };
    let held = Opened { register, state, at, ring };
    let counters = shared.counters.clone();
    let replica = Replica::open_counted(settings, identity, held, counters, clock::now());

    let deciding = Arc::new(Inbox::default());
    let (to_disk, work) = channel();
    let preparer = opened.log.preparer();
    let writer = Writer {
        disk: disk.clone(),
        log: opened.log,
        deciding: deciding.clone(),
        shared: shared.clone(),
    };
    let writer = spawn("duet-commit", move || disk::run(writer, &work));
    let drive = Drive {
        replica,
        disk: disk.clone(),
        inbox: deciding.clone(),
        to_disk: to_disk.clone(),
        shared: shared.clone(),
        link: None,
        asks: pair.asks,
        runtime: tokio::runtime::Handle::current(),
    };
    let commands = Receiving(deciding.clone());
    let driver = spawn("duet-decide", move || drive.run(&commands));
    let keeper = Keeper {
        disk,
        preparer,
        checkpoint_bytes: options.checkpoint_bytes,
        release: Box::new(move |index| drop(to_disk.send(Work::Release(index)))),
        shared: shared.clone(),
    };
    Ok(assemble(keeper, deciding, vec![driver, writer], options))
}

impl Engine {
    /// Opens the store of a room of a pair. It says nothing to its peer before [`Engine::link`].
    ///
    /// # Errors
    /// If the folder is damaged, of another place or version, in use, or cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open_paired(
        disk: Arc<dyn Disk>,
        options: Options,
        pair: PairOptions,
        progress: &dyn Fn(Progress),
    ) -> Result<Engine, OpenError> {
        open(disk, options, pair, progress)
    }

    /// The way to the other room is there.
    pub fn link(&self, link: Arc<dyn Link>) {
        self.word(Word::Linked(link));
    }

    /// A packet's bytes came from the other room.
    pub fn hear(&self, bytes: &[u8]) {
        match Packet::decode(bytes) {
            Ok(packet) => self.word(Word::Packet(packet)),
            Err(error) => tracing::warn!(%error, "the other room said what makes no sense"),
        }
    }

    /// A snapshot came from the other room, as a whole.
    pub fn hear_snapshot(&self, message: Message, state: mvcc::State) {
        self.word(Word::Snapshot(message, Box::new(state)));
    }

    /// A person, or a program of this room, wants something. Errors say why it is not done.
    ///
    /// # Errors
    /// The protocol's refusal; none in time where the store has stopped.
    pub async fn wish(&self, command: pair::Command) -> Result<(), pair::Refusal> {
        let (to, answer) = oneshot::channel();
        self.word(Word::Wish(command, to));
        answer.await.unwrap_or(Err(pair::Refusal::NotLeading))
    }

    /// Has the other room lead, and returns when this one does no longer.
    ///
    /// # Errors
    /// Why not; also when the other room did not take over in time, so that this one leads on.
    pub async fn hand_over(&self) -> Result<(), pair::Refusal> {
        let Some(seat) = self.seat() else { return Err(pair::Refusal::PeerNotInSync) };
        let mut changes = seat.changes();
        self.wish(pair::Command::HandOver).await?;
        let left = changes.wait_for(|standing| *standing != Standing::Leads);
        match tokio::time::timeout(PATIENCE, left).await {
            Ok(_) => Ok(()),
            Err(_) => Err(pair::Refusal::HandOverLate),
        }
    }

    /// Leaves the pair before this process ends, so that the other room need not find out: a leader hands
    /// over, a follower leaves the set. Where that cannot be, nothing is done.
    pub async fn depart(&self) {
        let Some(seat) = self.seat() else { return };
        if seat.standing() == Standing::Leads && self.hand_over().await.is_ok() {
            let mut changes = seat.changes();
            let follows = changes.wait_for(|standing| *standing == Standing::Follows);
            let _ = tokio::time::timeout(PATIENCE, follows).await;
        }
        if seat.standing() == Standing::Follows && self.wish(pair::Command::Leave).await.is_ok() {
            // The word is on its way; the leader does not need more.
            tokio::time::sleep(FAREWELL).await;
        }
    }

    /// How the pair is, as this room knows it; none for a single store, or one that has stopped.
    pub async fn view(&self) -> Option<View> {
        self.seat()?;
        let (to, answer) = oneshot::channel();
        self.word(Word::Look(to));
        answer.await.ok()
    }

    /// The newest events of the pair, oldest first; none for a single store.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.seat().map(Seat::events).unwrap_or_default()
    }

    fn word(&self, word: Word) {
        // A store that has stopped needs nothing.
        let _ = self.deciding().send(Command::Pair(word));
    }
}
