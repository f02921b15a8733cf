//! [`Board`]: the newest view, for everybody who reads it. Start at [`Board::show`].

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::html::Parts;
use crate::picture::Picture;
use crate::view::View;

/// A view that says nothing new is sent nevertheless after so long, so that a reader can tell a quiet node
/// from one that is gone.
const QUIET: Duration = Duration::from_secs(10);

/// A node that was not looked at for so long is not well.
const UNSEEN: Duration = Duration::from_secs(30);

/// The newest view.
#[derive(Debug, Clone)]
pub struct Board {
    shown: watch::Sender<Arc<Shown>>,
    told: Arc<Mutex<Instant>>,
}

/// A view, and what is made of it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) view: View,
    /// The view as JSON.
    pub(super) json: Bytes,
    pub(super) parts: Parts,
    at: Instant,
}

impl Shown {
    fn new(view: View) -> Shown {
        let json = serde_json::to_vec(&view).unwrap_or_default().into();
        let parts = Parts::of(&Picture::of(&view));
        Shown { view, json, parts, at: Instant::now() }
    }
}

impl Board {
    /// Begins with a view.
    #[must_use]
    pub fn new(view: View) -> Board {
        let (shown, _) = watch::channel(Arc::new(Shown::new(view)));
        Board { shown, told: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Takes a new view. Who follows is told if there is something new in it, and now and then.
    pub fn show(&self, view: View) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Arc::new(Shown::new(view));
        let tells = self.shown.send_if_modified(|shown| {
            let changed = shown.parts != new.parts || shown.view.settled() != new.view.settled();
            *shown = new;
            changed || told.elapsed() >= QUIET
        });
        if tells {
            *told = Instant::now();
        }
    }

    /// Where this machine's store is connected to the other room's, if it is.
    #[must_use]
    pub fn linked(&self) -> Option<SocketAddr> {
        let shown = self.newest();
        shown.view.here.pair["link"]["outward"].as_str()?.parse().ok()
    }

    /// The newest.
    pub(super) fn newest(&self) -> Arc<Shown> {
        self.shown.borrow().clone()
    }

    /// Follows what is new, beginning with the newest.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<Shown>> {
        self.shown.subscribe()
    }

    /// For how long the node was not looked at, if that is too long.
    pub(super) fn unseen(&self) -> Option<Duration> {
        Some(self.newest().at.elapsed()).filter(|since| *since >= UNSEEN)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_is_new_is_told_but_the_newest_is_shown() {
        let mut view = View { format: 1, site: "demo".into(), ..View::default() };
        view.here.status["uptime_s"] = 1.into();
        let board = Board::new(view.clone());
        let follower = board.follow();
        view.here.status["uptime_s"] = 2.into();
        board.show(view.clone());
        assert!(!follower.has_changed().unwrap());
        assert_eq!(board.newest().view.here.status["uptime_s"], 2);
        view.left_out.push("a part".into());
        board.show(view);
        assert!(follower.has_changed().unwrap());
        assert_eq!(board.unseen(), None);
    }

    #[test]
    fn a_quiet_node_says_that_it_is_there() {
        let view = View { format: 1, ..View::default() };
        let board = Board::new(view.clone());
        let follower = board.follow();
        *board.told.lock().unwrap() = Instant::now().checked_sub(QUIET).unwrap();
        board.show(view);
        assert!(follower.has_changed().unwrap());
    }
}
