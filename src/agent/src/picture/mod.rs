//! A [`View`] as a person sees it: two rooms with what is in them, the link between them, the third party,
//! and whether the site would survive the loss of either. Start at [`Picture::of`]. Pure; the page and
//! `duet status` both draw what comes out.

mod findings;
mod headline;
mod moments;
mod rooms;
#[cfg(test)]
mod tests;
mod text;
mod third;
mod verdict;
mod words;

use serde_json::Value;
use site::Room;

pub use findings::Found;
pub use headline::Headline;
pub use moments::Moment;
pub use rooms::{Machine, Neighbour, Presence, RoomPicture, Sharing, SlotPicture, StoreRole};
pub use text::table;
pub use third::{Link, Reach, Third};
pub use verdict::{Answer, Verdict};
pub use words::bytes;

use crate::view::{NodeView, OLD_AFTER_S, View};

/// How something is to be read. Never by colour alone: each has a mark and a word beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Neither good nor bad.
    Quiet,
    /// Somebody should look.
    Warning,
    /// Something does not do its work.
    Bad,
}

/// The whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The site's name.
    pub site: String,
    /// The machine that shows this.
    pub machine: String,
    /// Its room.
    pub here: Room,
    /// The whole in a sentence.
    pub headline: Headline,
    /// Whether the site would survive the loss of room A, and of room B.
    pub verdicts: [Verdict; 2],
    /// Room A and room B.
    pub rooms: [RoomPicture; 2],
    /// What joins the two.
    pub link: Link,
    /// Who decides when they do not hear each other.
    pub third: Third,
    /// What happened, the newest first.
    pub moments: Vec<Moment>,
    /// What needs a person, the worst first.
    pub findings: Vec<Found>,
    /// What is missing in this picture, as sentences.
    pub left_out: Vec<String>,
}

impl Picture {
    /// Draws a view.
    #[must_use]
    pub fn of(view: &View) -> Picture {
        let known = Known::of(view);
        let machine = words::text(&view.here.status["hostname"]);
        Picture {
            site: words::clean(&view.site),
            machine: machine.unwrap_or_else(|| "this node".to_owned()),
            here: known.here,
            headline: headline::of(&known),
            verdicts: Room::ALL.map(|room| verdict::of(&known, room)),
            rooms: Room::ALL.map(|room| rooms::of(&known, room)),
            link: third::link(&known),
            third: third::of(&known),
            moments: moments::of(&known),
            findings: findings::of(&known),
            left_out: view
                .left_out
                .iter()
                .map(|what| words::sentence(&words::clean(what)))
                .collect(),
        }
    }

    /// Whether nobody has to look: both rooms go on without the other one, and nothing was found.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.headline.tone == Tone::Good
            && self.verdicts.iter().all(|verdict| verdict.answer == Answer::Yes)
            && self.findings.iter().all(|found| found.tone < Tone::Warning)
    }

    /// What the picture says of a room.
    #[must_use]
    pub fn room(&self, room: Room) -> &RoomPicture {
        &self.rooms[usize::from(room == Room::B)]
    }
}

/// A view, ordered by room.
struct Known<'v> {
    view: &'v View,
    here: Room,
}

impl<'v> Known<'v> {
    fn of(view: &'v View) -> Known<'v> {
        // A node without a room has no seed, and no agent; a view of one still gives a picture.
        Known { view, here: view.room().unwrap_or(Room::A) }
    }

    /// What is known of a room's node, and how many seconds ago it was so; 0 for this room.
    fn node(&self, room: Room) -> Option<(&'v NodeView, u64)> {
        if room == self.here {
            return Some((&self.view.here, 0));
        }
        Some((self.view.there.as_ref()?, self.view.there_heard_s.unwrap_or(0)))
    }

    /// What is known of a room and not old.
    fn fresh(&self, room: Room) -> Option<&'v NodeView> {
        self.node(room).filter(|(_, age)| *age < OLD_AFTER_S).map(|(node, _)| node)
    }

    /// The page of a room's store, if it is not old.
    fn pair(&self, room: Room) -> Option<&'v Value> {
        let pair = &self.fresh(room)?.pair;
        pair["role"].is_string().then_some(pair)
    }

    /// The newest decision that a fresh page tells of.
    fn decision(&self) -> Option<&'v Value> {
        let pages = Room::ALL.into_iter().filter_map(|room| self.pair(room));
        let decided = pages.filter(|pair| pair["epoch"].is_u64());
        decided.max_by_key(|pair| pair["epoch"].as_u64())
    }

    /// Whether the newest decision has the room in sync.
    fn in_sync(&self, room: Room) -> Option<bool> {
        let rooms = self.decision()?["in_sync"].as_array()?;
        Some(rooms.iter().any(|one| one.as_str() == Some(&room.to_string())))
    }

    /// Who leads by its own word; the newer one if two say so.
    fn leader(&self) -> Option<(Room, &'v Value)> {
        let pages = Room::ALL.into_iter().filter_map(|room| Some((room, self.pair(room)?)));
        let leads = pages.filter(|(_, pair)| pair["role"].as_str() == Some("leads"));
        leads.max_by_key(|(_, pair)| pair["epoch"].as_u64())
    }

    /// How far the follower is behind the leader, in entries; none while nobody follows.
    fn behind(&self) -> Option<u64> {
        self.leader()?.1["follower"]["behind"].as_u64()
    }
}
