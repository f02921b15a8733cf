//! Starts an engine on a data folder. Start at [`open`]. Everything that was acknowledged before is
//! there when it returns; if something is damaged, it refuses and the folder stays as it is.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::autocompact::Retention;
use super::command::{Command, Done};
use super::committer::{self, Work};
use super::core::Core;
use super::handle::Handle;
use super::inbox::{Inbox, Receiving};
use super::keeper::{self, Keeper};
use super::{Engine, Shared};
use crate::checkpoint;
use crate::disk::Disk;
use crate::log;
use crate::recover::{self, Ids, OpenError, Opened, Progress};

/// How the deciding thread waits when nothing is to come.
const IDLE: Duration = Duration::from_secs(3600);

/// Commands that are decided before the committer is offered a group.
const TURN: usize = 512;

/// Commands that wake the deciding thread while a group is on its way to the disk. More would leave too
/// much to decide when it is there, fewer would wake too often.
const COMPANY: usize = 32;

/// How an engine works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The member's name, for people.
    pub name: String,
    /// The identity of the cluster and of this member, if the folder is new.
    pub ids: Ids,
    /// Bytes of keys, values and history, over which puts are refused.
    pub quota: u64,
    /// What history is forgotten by itself.
    pub retention: Retention,
    /// A checkpoint is due when the log is this long.
    pub checkpoint_bytes: u64,
    /// The size of the log's files in bytes.
    pub segment_bytes: u64,
    /// How often idle watches that want it are told the revision (etcd's
    /// `--experimental-watch-progress-notify-interval`).
    pub watch_progress: Duration,
}

impl Options {
    /// What etcd has by default, and our own.
    #[must_use]
    pub fn new(ids: Ids) -> Options {
        Options {
            name: "default".to_owned(),
            ids,
            quota: 2 << 30,
            retention: Retention::Forever,
            checkpoint_bytes: 256 << 20,
            segment_bytes: log::SEGMENT_BYTES,
            watch_progress: Duration::from_secs(600),
        }
    }
}

/// Reads the folder and starts the threads.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    options: Options,
    progress: &dyn Fn(Progress),
) -> Result<Engine, OpenError> {
    let Opened { state, log, mut stamp, .. } =
        recover::open_sized(disk.clone(), options.ids.clone(), options.segment_bytes, progress)?;
    // A term of its own tells this run's entries from those of the run before.
    stamp.term += 1;
    let shared = Arc::new(Shared::new(&stamp, state.clone(), &options));
    shared.covers(checkpoint::newest(&*disk));
    let deciding = Arc::new(Inbox::default());
    let (committing, work) = channel();
    let preparer = log.preparer();
    let started = Instant::now();
    let core = Core::new(
        state,
        stamp.term,
        stamp.index,
        (options.quota, options.retention),
        shared.counters.clone(),
        Duration::ZERO,
    );

    let runtime = tokio::runtime::Handle::try_current().ok();
    let (to_core, of_committer) = (deciding.clone(), shared.clone());
    let committer = spawn("duet-commit", move || {
        committer::run(log, &work, &to_core, &of_committer, runtime.as_ref());
    });
    let (commands, to_committer) = (Receiving(deciding.clone()), committing.clone());
    let of_core = shared.clone();
    let decider = spawn("duet-decide", move || {
        decide(core, &commands, &to_committer, &of_core, started);
    });
    let keeper = Keeper {
        disk,
        preparer,
        checkpoint_bytes: options.checkpoint_bytes,
        release: Box::new(move |index| drop(committing.send(Work::Release(index)))),
        shared: shared.clone(),
    };
    Ok(assemble(keeper, deciding, vec![decider, committer], options))
}

/// Starts what runs beside the writes, and puts the engine together with the threads that write.
pub(super) fn assemble(
    keeper: Keeper,
    deciding: Arc<Inbox>,
    mut threads: Vec<thread::JoinHandle<()>>,
    options: Options,
) -> Engine {
    let shared = keeper.shared.clone();
    let (stop_keeper, keeper_stop) = channel();
    threads.push(spawn("duet-keep", move || keeper::run(keeper, &keeper_stop)));
    let of_teller = shared.clone();
    let teller = spawn("duet-watch", move || tell(&of_teller));
    shared.wake_on_publish(teller.thread().clone());
    threads.push(teller);
    let handle = Handle { deciding, stop_keeper, threads: std::sync::Mutex::new(threads) };
    Engine::new(shared, handle, options)
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.expect("a process that just started may have a few threads")
}

/// The deciding thread: hands commands to the core, its groups to the committer, and the time to both.
fn decide(
    mut core: Core,
    commands: &Receiving,
    committer: &Sender<Work>,
    shared: &Arc<Shared>,
    started: Instant,
) {
    let mut stopping = false;
    while !(stopping && core.idle()) {
        let now = started.elapsed();
        let quiet = shared.is_full() || stopping;
        let wait = core.next(now, quiet).map_or(IDLE, |next| next.saturating_sub(now));
        let enough = if core.busy() { COMPANY } else { 1 };
        let commands = commands.0.receive(enough, TURN, wait);
        let now = started.elapsed();
        for command in commands {
            match command {
                Command::Stop => stopping = true,
                // Who waits is told that the store has stopped when the commands are dropped.
                Command::Done(Done::Failed) => return,
                Command::Done(done) => finish(&mut core, done, shared, now),
                command => core.handle(command, now),
            }
        }
        core.tick(now, shared.is_full() || stopping);
        if let Some(group) = core.take() {
            if committer.send(Work::Group(group)).is_err() {
                return; // The disk has failed.
            }
        }
    }
}

fn finish(core: &mut Core, done: Done, shared: &Shared, now: Duration) {
    let published = shared.published.load();
    core.done(done, (&published.state, published.index), now);
}

/// The telling thread: hands what is published to the watches.
fn tell(shared: &Shared) {
    while !shared.is_stopped() {
        // A word that comes while it is busy is kept for it.
        thread::park();
        let published = shared.published.load_full();
        shared.hub.advance(&published.state);
    }
}
