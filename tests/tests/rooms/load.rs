//! Clients in both rooms that do what API servers do, and watchers outside. Start at [`Load::start`]; what
//! happens meanwhile is the test's, and [`Load::finish`] judges.

use std::sync::Arc;
use std::time::Duration;

use store::client::Client;
use tests::programs::say;
use tests::two_rooms::{Side, Site, wait};
use tests::wire::etcdserverpb as pb;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::book::{Book, Outcome, Write};
use super::check::check;
use super::clients::Asker;
use super::history::History;
use super::watcher::Watcher;

/// Where the objects are.
pub(crate) const OBJECTS: &str = "objects/";
/// What says that an object was deleted.
pub(crate) const ENDS: &str = "ends/";
/// What clients of both rooms write.
pub(crate) const SHARED: &str = "shared/";

/// Clients of a room that write objects, and how many each.
pub(crate) const WRITERS: usize = 3;
pub(crate) const KEYS: usize = 4;

/// Of a lease that is renewed: longer than rooms need to agree.
const HELD: Duration = Duration::from_secs(8);

/// Of a lease that nobody renews.
const LEFT: Duration = Duration::from_secs(3);

/// Until a lease has ended for sure: a new leader begins its time anew, and a room may have been away.
const LONG: Duration = Duration::from_secs(30);

/// Clients that are at work.
#[derive(Debug)]
pub(crate) struct Load {
    runtime: Runtime,
    pub(crate) book: Arc<Book>,
    /// The rooms that have clients.
    sides: Vec<Side>,
    clients: Vec<JoinHandle<()>>,
    watchers: Vec<Watcher>,
}

impl Load {
    /// Starts clients in both rooms, and returns when both have acknowledged writes.
    ///
    /// # Panics
    /// If a store does not answer.
    #[track_caller]
    pub(crate) fn start(site: &Site) -> Load {
        Load::start_in(site, &Side::BOTH)
    }

    /// The same with clients in these rooms only.
    #[track_caller]
    pub(crate) fn start_in(site: &Site, sides: &[Side]) -> Load {
        let runtime = Runtime::new().unwrap();
        let book = Arc::new(Book::new());
        let (sides, clients, watchers) = (sides.to_vec(), Vec::new(), Vec::new());
        let mut load = Load { runtime, book, sides, clients, watchers };
        let outside = Side::BOTH.map(|side| site.room(side).endpoint_outside());
        let entered = load.runtime.enter();
        let mut other_first = outside.clone();
        other_first.reverse();
        for endpoints in [outside, other_first] {
            load.watchers.push(Watcher::start(load.book.clone(), endpoints));
        }
        drop(entered);
        for side in load.sides.clone() {
            load.join(site, side);
        }
        let working = wait(LONG, || load.sides.iter().all(|side| load.acknowledged(*side) > 20));
        assert!(working, "the stores do not take writes");
        load
    }

    /// The clients of one room.
    fn join(&mut self, site: &Site, side: Side) {
        let mut askers = self.idle(site, side, WRITERS + 5).into_iter();
        let mut next = || askers.next().unwrap();
        for _ in 0..WRITERS {
            self.clients.push(self.runtime.spawn(next().writes_objects()));
        }
        self.clients.push(self.runtime.spawn(next().writes_shared()));
        self.clients.push(self.runtime.spawn(next().reads()));
        self.clients.push(self.runtime.spawn(next().lists()));
        self.clients.push(self.runtime.spawn(next().leases(HELD, true)));
        self.clients.push(self.runtime.spawn(next().leases(LEFT, false)));
    }

    /// Clients of a room that are connected and ask nothing yet.
    pub(crate) fn idle(&self, site: &Site, side: Side, count: usize) -> Vec<Asker> {
        let endpoint = site.room(side).endpoint();
        let connect = |number| {
            let client = self.runtime.block_on(Client::connect(&endpoint, None)).unwrap();
            Asker { book: self.book.clone(), side, number, client }
        };
        (0..count).map(connect).collect()
    }

    /// Has each of them read something that others write, surely.
    pub(crate) fn read_now(&mut self, idle: Vec<Asker>) {
        let reads = idle.into_iter().map(|asker| self.runtime.spawn(asker.reads_once()));
        self.clients.extend(reads);
    }

    /// How many writes the store of `side` has acknowledged so far.
    pub(crate) fn acknowledged(&self, side: Side) -> usize {
        self.book.acknowledged(side, Duration::ZERO, Duration::MAX)
    }

    /// Lets the clients work for a time.
    pub(crate) fn go_on(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Waits until the store of `side` acknowledges writes that begin from now on.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub(crate) fn writes_go_on(&self, site: &Site, side: Side) {
        let now = self.book.now();
        site.until(&format!("writes go on in room {}", side.letter()), || {
            let writes = self.book.writes.lock().unwrap();
            let mut late = writes.iter().rev().take_while(|write| write.ended >= now);
            late.any(|write| {
                write.side == side
                    && write.begun >= now
                    && matches!(write.outcome, Outcome::Done(_))
            })
        });
    }

    /// Waits until one of the stores acknowledges writes that begin from now on, and says which.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub(crate) fn one_goes_on(&self, site: &Site) -> Side {
        let now = self.book.now();
        let mut first = None;
        site.until("writes go on somewhere", || {
            let writes = self.book.writes.lock().unwrap();
            let late = writes.iter().rev().take_while(|write| write.ended >= now);
            let done = |write: &&Write| matches!(write.outcome, Outcome::Done(_));
            first = late.filter(done).find(|write| write.begun >= now).map(|write| write.side);
            first.is_some()
        });
        first.unwrap()
    }

    /// What a scenario has to say of the time since `begun`, at the store of `side`.
    pub(crate) fn tell(&self, what: &str, side: Side, begun: Duration) -> Duration {
        let pause = self.book.pause(side, begun, self.book.now());
        say(&format!("rooms:   {what}: {} ms without writes\n", pause.as_millis()));
        pause
    }

    /// Ends the clients and judges what they were told. Both rooms run, and find together.
    ///
    /// # Panics
    /// If something is wrong.
    #[track_caller]
    pub(crate) fn finish(self, site: &Site) {
        site.in_sync();
        for side in &self.sides {
            self.writes_go_on(site, *side);
        }
        self.judge(site);
    }

    #[track_caller]
    fn judge(mut self, site: &Site) {
        let endpoints = Side::BOTH.map(|side| site.room(side).endpoint());
        self.left_leases_end();
        for client in self.clients.drain(..) {
            client.abort();
            let _ = self.runtime.block_on(client);
        }
        let last = self.runtime.block_on(newest(&endpoints[0]));
        let histories =
            endpoints.map(|endpoint| self.runtime.block_on(History::of(&endpoint, last)));
        let caught_up = wait(LONG, || self.watchers.iter().all(|one| one.revision() >= last));
        let behind: Vec<_> = self.watchers.iter().map(Watcher::revision).collect();
        assert!(caught_up, "the watchers are at {behind:?} of {last}");
        let seen: Vec<_> = self.watchers.iter().map(|watcher| watcher.seen().upto(last)).collect();
        let wrong = check(&self.book, [&histories[0], &histories[1]], &seen);
        let (writes, reads) = (self.book.writes.lock().unwrap(), self.book.reads.lock().unwrap());
        let failed = Side::BOTH.map(|side| (side.letter(), texts(side, &writes)));
        say(&format!(
            "rooms:   {} writes, {} reads, {} lists, {} events; failed {failed:?}\n",
            writes.len(),
            reads.len(),
            self.book.lists.lock().unwrap().len(),
            histories[0].events.len(),
        ));
        assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// Waits until the keys of the leases that nobody renews are gone.
    fn left_leases_end(&self) {
        let left = |key: &[u8]| key.starts_with(b"leased/left/");
        let ended = wait(LONG, || {
            let leases = self.book.leases.lock().unwrap();
            let seen = self.watchers[0].seen();
            leases.iter().filter(|lease| left(&lease.key)).all(|lease| {
                seen.0.iter().any(|(_, event)| event.key == lease.key && event.value.is_none())
            })
        });
        assert!(ended, "a lease that nobody renews does not end");
    }
}

/// How often writes failed, by what was said.
fn texts(side: Side, writes: &[Write]) -> Vec<(String, usize)> {
    let mut texts = std::collections::BTreeMap::<String, usize>::new();
    for write in writes.iter().filter(|write| write.side == side) {
        if let Outcome::Undone(text) | Outcome::Unknown(text) = &write.outcome {
            *texts.entry(text.clone()).or_default() += 1;
        }
    }
    texts.into_iter().collect()
}

/// The newest revision, surely.
async fn newest(endpoint: &str) -> i64 {
    let mut client = Client::connect(endpoint, None).await.unwrap();
    let range = pb::RangeRequest { key: "x".into(), ..Default::default() };
    let answer = client.kv.range(range).await.unwrap().into_inner();
    answer.header.unwrap().revision
}
