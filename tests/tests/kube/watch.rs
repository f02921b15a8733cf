//! A watch as a careful controller holds it: when the stream breaks, it goes on from the last
//! resource version that it saw, at another apiserver if there is one. Start at [`Watch::open`].
//! It never lists again, so an event that is not told is missing for good.

use std::io::{BufRead, BufReader};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::{Api, name, revision};
use crate::history::{Change, Op};

/// Between two tries to open the stream again.
const PAUSE: Duration = Duration::from_millis(100);

/// A running watch and all that it has told so far.
#[derive(Debug)]
pub(crate) struct Watch {
    path: String,
    news: Receiver<News>,
    stop: Arc<AtomicBool>,
    /// What happened, in the order it was told.
    pub(crate) changes: Vec<Change>,
    /// When each of `changes` was told.
    pub(crate) times: Vec<Instant>,
    /// The objects of `changes`.
    pub(crate) objects: Vec<Value>,
    /// The revision of the bookmark that ends the objects which were there already.
    pub(crate) initial_end: Option<u64>,
    /// How often the stream broke and was opened again.
    pub(crate) resumed: usize,
    /// Why the watch cannot go on: its revision is compacted.
    pub(crate) gone: Option<String>,
}

#[derive(Debug)]
enum News {
    Change(Change, Instant, Box<Value>),
    InitialEnd(u64),
    Resumed,
    Gone(String),
}

impl Watch {
    /// Watches a resource, such as `/api/v1/configmaps`, for all that comes after the revision `from`.
    pub(crate) fn open(api: &Api, path: &str, from: u64) -> Watch {
        Watch::start(slice::from_ref(api), path, from, "")
    }

    /// The same, at one of several apiservers; when it breaks, at the next one.
    pub(crate) fn open_at_any(apis: &[Api], path: &str, from: u64) -> Watch {
        Watch::start(apis, path, from, "")
    }

    /// First tells what is there now, then that this was all, then what comes (WatchList).
    pub(crate) fn open_with_list(api: &Api, path: &str) -> Watch {
        let first = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        Watch::start(slice::from_ref(api), path, 0, first)
    }

    fn start(apis: &[Api], path: &str, from: u64, first: &'static str) -> Watch {
        let (to, news) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            apis: apis.to_vec(),
            path: path.to_owned(),
            first,
            last: from,
            to,
            stop: Arc::clone(&stop),
        };
        // It may sit in a read when the test is over; nobody waits for it.
        thread::spawn(move || follower.run());
        Watch {
            path: path.to_owned(),
            news,
            stop,
            changes: Vec::new(),
            times: Vec::new(),
            objects: Vec::new(),
            initial_end: None,
            resumed: 0,
            gone: None,
        }
    }

    /// Listens until `enough`.
    ///
    /// # Panics
    /// If it is not enough within `limit`, or the watch cannot go on.
    #[track_caller]
    pub(crate) fn until(&mut self, limit: Duration, enough: impl Fn(&Watch) -> bool) {
        let until = Instant::now() + limit;
        while !enough(self) {
            let left = until.saturating_duration_since(Instant::now());
            match self.news.recv_timeout(left) {
                Ok(News::Change(change, at, object)) => {
                    self.changes.push(change);
                    self.times.push(at);
                    self.objects.push(*object);
                }
                Ok(News::InitialEnd(revision)) => self.initial_end = Some(revision),
                Ok(News::Resumed) => self.resumed += 1,
                Ok(News::Gone(why)) => self.gone = Some(why),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("not within {limit:?}")),
                Err(RecvTimeoutError::Disconnected) => self.fail("it has ended"),
            }
        }
    }

    #[track_caller]
    fn fail(&self, why: &str) -> ! {
        panic!(
            "the watch of {}: {why}; it told {} changes, was resumed {} times, gone: {:?}, the last: {:?}",
            self.path,
            self.changes.len(),
            self.resumed,
            self.gone,
            self.changes.last()
        );
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The thread that holds the stream.
struct Follower {
    apis: Vec<Api>,
    path: String,
    /// Asked for until the objects that were there already have all been told; then empty.
    first: &'static str,
    /// The last revision that was seen.
    last: u64,
    to: Sender<News>,
    stop: Arc<AtomicBool>,
}

/// Whether the stream is worth another try.
enum End {
    Broken,
    Gone(String),
}

impl Follower {
    fn run(mut self) {
        for turn in 0.. {
            let api = self.apis[turn % self.apis.len()].clone();
            let end = self.follow(&api);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let told = match end {
                End::Broken => self.to.send(News::Resumed),
                End::Gone(why) => {
                    let _ = self.to.send(News::Gone(why));
                    return;
                }
            };
            // Nobody listens any more.
            if told.is_err() {
                return;
            }
            thread::sleep(PAUSE);
        }
    }

    fn follow(&mut self, api: &Api) -> End {
        let from = match self.last {
            0 => String::new(),
            last => format!("&resourceVersion={last}"),
        };
        let first = self.first;
        let query = format!("?watch=1&allowWatchBookmarks=true&timeoutSeconds=900{from}{first}");
        let Ok(mut response) = api.open("GET", &format!("{}{query}", self.path), None) else {
            return End::Broken;
        };
        match response.status().as_u16() {
            200 => {}
            410 => return End::Gone(response.body_mut().read_to_string().unwrap_or_default()),
            _ => return End::Broken,
        }
        let mut lines = BufReader::new(response.into_body().into_reader());
        let mut line = String::new();
        loop {
            line.clear();
            match lines.read_line(&mut line) {
                Ok(1..) if line.ends_with('\n') => {}
                _ => return End::Broken,
            }
            let Ok(event) = serde_json::from_str::<Value>(&line) else { return End::Broken };
            if let Some(end) = self.tell(event) {
                return end;
            }
        }
    }

    fn tell(&mut self, mut event: Value) -> Option<End> {
        let object = event["object"].take();
        let op = match event["type"].as_str() {
            Some("ADDED") => Op::Create,
            Some("MODIFIED") => Op::Update,
            Some("DELETED") => Op::Delete,
            Some("BOOKMARK") => {
                self.last = revision(&object);
                if object["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true" {
                    self.first = "";
                    return self.to.send(News::InitialEnd(self.last)).err().map(|_| End::Broken);
                }
                return None;
            }
            _ if object["code"] == 410 => return Some(End::Gone(object.to_string())),
            _ => return Some(End::Broken),
        };
        let change = Change {
            name: name(&object),
            op,
            number: number(&object),
            revision: revision(&object),
        };
        // Objects that were there already come by name, not by revision.
        if self.first.is_empty() {
            self.last = change.revision;
        }
        let told = self.to.send(News::Change(change, Instant::now(), Box::new(object)));
        told.err().map(|_| End::Broken)
    }
}

/// The number that the tests write into an object.
pub(crate) fn number(object: &Value) -> u64 {
    let text = object["metadata"]["annotations"]["duet.test/number"].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}
