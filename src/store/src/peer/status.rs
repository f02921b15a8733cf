//! How the link is, for people and for metrics. Start at [`LinkStatus`].

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How the link is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// The connection that this room dialed for frames: what it sends goes there.
    pub outward: Option<Connected>,
    /// The connection that the peer dialed for frames: what it sends comes there.
    pub inward: Option<Connected>,
    /// Whether requests can be sent.
    pub calls: bool,
    /// How many bytes of frames wait to be sent.
    pub waiting_bytes: usize,
    /// The version of the protocol that is spoken, when a connection is or was there.
    pub version: Option<u16>,
    /// The peer's program, as it calls itself.
    pub peer_release: Option<String>,
    /// How long ago anything came from the peer.
    pub heard: Option<Duration>,
    /// How long the last ping and its answer took.
    pub round_trip: Option<Duration>,
    /// Why this room has no connection outward.
    pub why_not: Option<String>,
    /// The same in a word, if the rooms reach each other and do not fit: [`Refusal::kind`](super::Refusal::kind).
    pub refused: Option<&'static str>,
    /// Why the last one was turned away that dialed this room, and when.
    pub turned_away: Option<(SystemTime, String)>,
    /// What was counted since the start.
    pub counters: Counters,
}

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The address of the other end.
    pub address: SocketAddr,
    /// Since when.
    pub since: SystemTime,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What was counted since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same while it is counted.
        #[derive(Debug, Default)]
        pub(super) struct Meter {
            $(pub(super) $name: Count,)*
        }

        impl Meter {
            pub(super) fn read(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Frames that were written.
    frames_sent,
    /// Frames that were given to the handler.
    frames_received,
    /// Frames that were not written: no connection, too much waits, or the connection broke.
    frames_dropped,
    /// Bytes written, on connections of all kinds, before encryption.
    bytes_sent,
    /// Bytes read, on connections of all kinds, after decryption.
    bytes_received,
    /// Requests of this room.
    calls_sent,
    /// Requests of the peer.
    calls_received,
    /// Snapshots that the peer has taken as a whole.
    snapshots_sent,
    /// Snapshots that came as a whole.
    snapshots_received,
    /// Snapshots that broke off, in either direction.
    snapshots_broken,
    /// Connections made, of all kinds, by either room.
    connections,
    /// Connections that were accepted and came to nothing: strangers, refusals, no handshake in time.
    turned_away,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}

/// Tells whether something is worth a line in the log: what was said is not said again until it changes,
/// and what changes all the time is said now and then.
#[derive(Debug, Default)]
pub(super) struct Said {
    last: Option<(String, Instant)>,
}

impl Said {
    /// Between two lines.
    const PAUSE: Duration = Duration::from_secs(10);

    /// Whether to say it.
    pub(super) fn worth(&mut self, text: &str, now: Instant) -> bool {
        let worth = match &self.last {
            None => true,
            Some((last, at)) => last != text && now.saturating_duration_since(*at) >= Said::PAUSE,
        };
        if worth {
            self.last = Some((text.to_owned(), now));
        }
        worth
    }

    /// It is well again: whatever comes next is news.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_said_again_when_it_changes_or_came_back() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut said = Said::default();
        assert!(said.worth("no route", at(0)));
        assert!(!said.worth("no route", at(100)), "the same");
        assert!(said.worth("refused", at(101)));
        assert!(!said.worth("no route", at(102)), "too soon after another");
        assert!(said.worth("no route", at(111)));
        said.forget();
        assert!(said.worth("no route", at(111)));
    }
}
