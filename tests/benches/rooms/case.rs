//! What happens to the rooms. Start at [`CASES`].

use std::thread;
use std::time::{Duration, Instant};

use http::Method;
use tests::two_rooms::{Cable, Side, Site};

use crate::writer::Writers;

/// How long it is watched after writes go on: a second pause would count, too.
const AFTER: Duration = Duration::from_millis(300);

/// Something that happens.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// What chooses it on the command line.
    pub(crate) word: &'static str,
    /// For the page.
    pub(crate) name: &'static str,
    /// The longest pause that is allowed in 99 of 100 runs, in milliseconds, where there is a bar.
    pub(crate) bar_ms: Option<u64>,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    LeaderLost,
    LeaderKilled,
    FollowerLost,
    LinkCut,
    HandOver,
    LeaderEnds,
    FollowerEnds,
}

const fn case(word: &'static str, name: &'static str, bar_ms: Option<u64>, what: What) -> Case {
    Case { word, name, bar_ms, what }
}

/// All of them.
pub(crate) const CASES: [Case; 7] = [
    case(
        "lost",
        "the leader's room is lost with its power: cables dead, process killed",
        Some(5000),
        What::LeaderLost,
    ),
    case(
        "killed",
        "the leader's process is killed (SIGKILL): connections are reset",
        Some(5000),
        What::LeaderKilled,
    ),
    case("follower", "the follower's room is lost with its power", Some(5000), What::FollowerLost),
    case("cut", "the cable between the rooms is cut", Some(5000), What::LinkCut),
    case("hand-over", "`duetd store hand-over`", Some(100), What::HandOver),
    case("leader-ends", "the leader is told to end (SIGTERM)", Some(100), What::LeaderEnds),
    case("follower-ends", "the follower is told to end (SIGTERM)", Some(100), What::FollowerEnds),
];

impl Case {
    /// Has it happen, measures, and puts it right. Both rooms are in sync before; afterwards they are about to
    /// be.
    pub(crate) fn run(&self, site: &mut Site, writers: &mut Writers) -> Duration {
        let leader = site.wait_for_leader();
        let (gone, stays) = match self.what {
            What::FollowerLost | What::FollowerEnds => (leader.other(), leader),
            _ => (leader, leader.other()),
        };
        let begun = Instant::now();
        match self.what {
            What::LeaderLost | What::FollowerLost => {
                site.cables.pull(Cable::Link);
                site.cables.pull(Cable::Out(gone));
                site.room_mut(gone).kill();
            }
            What::LeaderKilled => site.room_mut(gone).kill(),
            What::LinkCut => site.cables.pull(Cable::Link),
            What::HandOver => {
                site.room(leader).ask(Method::POST, "/duet/pair/hand-over").unwrap();
            }
            What::LeaderEnds | What::FollowerEnds => site.room_mut(gone).stop(),
        }
        let side = self.goes_on(site, writers, stays, begun);
        thread::sleep(AFTER);
        let pause = match self.what {
            // Nobody is lost: both rooms' clients count.
            What::HandOver => writers.pause(Side::A, begun).max(writers.pause(Side::B, begun)),
            _ => writers.pause(side, begun),
        };
        site.cables.plug(Cable::Link);
        site.cables.plug(Cable::Out(gone));
        if !site.room_mut(gone).runs() {
            site.room_mut(gone).start();
        }
        pause
    }

    /// Waits until a room goes on for sure, and says which.
    fn goes_on(&self, site: &Site, writers: &Writers, stays: Side, begun: Instant) -> Side {
        let mut side = stays;
        site.until("a room goes on", || match self.what {
            What::HandOver => {
                site.leader() == Some(stays)
                    && Side::BOTH.iter().all(|side| writers.wrote_since(*side, begun))
            }
            _ => {
                let alone = Side::BOTH.into_iter().find(|side| is_alone(site, *side));
                side = alone.unwrap_or(stays);
                alone.is_some()
            }
        });
        let decided = Instant::now();
        site.until("writes go on", || writers.wrote_since(side, decided));
        side
    }
}

/// It leads, and nobody else is in sync.
fn is_alone(site: &Site, side: Side) -> bool {
    site.status(side).is_some_and(|status| {
        let alone = status["in_sync"].as_array().is_some_and(|rooms| rooms.len() == 1);
        alone && status["role"] == "leads"
    })
}
