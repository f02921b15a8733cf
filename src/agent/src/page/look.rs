//! Looks at this node, its store and the other room, and puts what it saw on the board. Start at [`run`].
//!
//! The other room is asked beside, so that its silence never holds up what is known of this one. What comes
//! from there is believed to be that room's, since its certificate says so, and shown as its word.

mod there;

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use site::Role;
use tokio::time::MissedTickBehavior;

use super::board::Board;
use crate::Settings;
use crate::ask::{Question, plainly};
use crate::view::{FORMAT, LONGEST, NodeView, View};
use there::There;

/// How often this node is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// How long the store of this machine may take to answer.
const STORE: Duration = Duration::from_secs(2);

/// How much is read of a file that another part of Duet leaves in /run.
const LONGEST_FILE: u64 = 256 << 10;

/// What this machine's store says of the pair, or why it does not say.
pub type Answer = Result<Value, String>;

/// Says how this node is, given what its store says: the JSON of `duetd status`. It may take a while, and is
/// called on a thread of its own.
pub type Status = Box<dyn FnMut(Answer) -> Value + Send>;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of the agent, `/run/duet-agent`: what was heard on the wire is read from here, and what is
    /// known of the other room is left here.
    pub run: PathBuf,
    /// Where the store of this machine has its pages.
    pub store: SocketAddr,
}

impl Places {
    /// The file with the addresses where the other room's control machine may be.
    fn peers(&self) -> PathBuf {
        self.run.join("peers")
    }

    fn neighbours(&self) -> PathBuf {
        self.run.join("neighbours.json")
    }

    /// The file with what is known of the other room, for the status screen:
    /// `{format, heard: seconds since 1970, there: {status, pair, pair_events}}`.
    fn there(&self) -> PathBuf {
        self.run.join("there.json")
    }
}

/// A view in which nothing is known yet.
#[must_use]
pub fn nothing(settings: &Settings) -> View {
    View {
        format: FORMAT,
        site: settings.site.to_string(),
        here: NodeView {
            status: json!({
                "hostname": settings.name,
                "node": { "site": settings.site, "room": settings.room, "role": settings.role },
            }),
            ..NodeView::default()
        },
        left_out: vec!["this node has not been looked at yet".to_owned()],
        ..View::default()
    }
}

/// Looks, again and again; never ends.
pub async fn run(settings: Settings, places: Places, status: Status, board: Board) {
    let there = Arc::new(Mutex::new(There::default()));
    let looks = here(&settings, &places, status, &board, &there);
    let asks = there::run(&settings, &places, &there);
    tokio::join!(looks, asks);
}

async fn here(
    settings: &Settings,
    places: &Places,
    status: Status,
    board: &Board,
    there: &Mutex<There>,
) {
    let status = Arc::new(Mutex::new(status));
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut left_out = Vec::new();
        let (pair, events) = tokio::join!(
            store(settings.role, places.store, "/duet/pair"),
            store(settings.role, places.store, "/duet/pair/events"),
        );
        // The store is asked once: what it says is part of the status, too.
        let (status, page) = (status.clone(), pair.clone());
        let looked = tokio::task::spawn_blocking(move || {
            (*status.lock().unwrap_or_else(PoisonError::into_inner))(page)
        })
        .await;
        let mut missing = |what: &str, found: Result<Value, String>| {
            found.unwrap_or_else(|why| {
                left_out.push(format!("{what}: {why}"));
                Value::Null
            })
        };
        let here = NodeView {
            status: missing("this node's status", looked.map_err(|error| error.to_string())),
            pair: missing("this node's store", pair),
            pair_events: NodeView::newest(events.unwrap_or_default()),
        };
        let neighbours = json_file(&places.neighbours());
        let there = there.lock().unwrap_or_else(PoisonError::into_inner).clone();
        left_out.extend(there.why.as_ref().map(|why| format!("the other room's page: {why}")));
        board.show(View {
            format: FORMAT,
            site: settings.site.to_string(),
            here,
            there_heard_s: there.age(Instant::now()),
            there: there.node,
            neighbours,
            left_out,
        });
    }
}

/// A page of this machine's store. A worker has none, and that is no news.
async fn store(role: Role, address: SocketAddr, path: &str) -> Result<Value, String> {
    if role == Role::Worker {
        return Ok(Value::Null);
    }
    let question = Question { path, longest: LONGEST, patience: STORE };
    let (status, body) = plainly(address, question).await?;
    let value: Value =
        serde_json::from_slice(&body).map_err(|_| "what it says is no JSON".to_owned())?;
    if !status.is_success() {
        return Err(value["error"].as_str().unwrap_or(status.as_str()).to_owned());
    }
    Ok(value)
}

fn text_file(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(LONGEST_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

fn json_file(path: &Path) -> Value {
    text_file(path).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
