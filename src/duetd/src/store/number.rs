//! The number of a new disk is the time at which it began. If that was a wrong clock's, it may be lower than
//! that of the disk before it, and the other room would not listen to it. Start at [`outdated`].

use std::time::{Duration, Instant, SystemTime};

use ::store::engine::{Engine, View};

/// How often is looked. It costs nothing.
const LOOK: Duration = Duration::from_secs(5);
/// A clock that is moved by less was right enough: nobody replaces a disk within that time.
const LEAST: Duration = Duration::from_secs(60);

/// Returns when the number of this room's disk is an old clock's, and can still be another: the disk was blank
/// when this process began, the clock was set forward since then, and no decision counts on the disk. What it has
/// is the other room's, so its folder can be given up, and the next start makes it a new disk.
pub(super) async fn outdated(engine: &Engine) {
    let begun = (Instant::now(), SystemTime::now());
    let blank = |view: View| view.pair.register.is_none() && view.pair.last == 0;
    if !engine.view().await.is_some_and(blank) {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(LOOK).await;
        if moved(begun.1, begun.0.elapsed(), SystemTime::now()) < LEAST {
            continue;
        }
        if engine.view().await.is_some_and(|view| !view.pair.counted) {
            return;
        }
        // It is in use: its number stays what it is.
        return std::future::pending().await;
    }
}

/// By how much a clock was set forward that said `begun` so long ago, and says `now`.
fn moved(begun: SystemTime, ago: Duration, now: SystemTime) -> Duration {
    now.duration_since(begun).unwrap_or_default().saturating_sub(ago)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_on_was_not_moved() {
        let second = Duration::from_secs(1);
        let begun = SystemTime::UNIX_EPOCH + second;
        assert_eq!(moved(begun, 10 * second, begun + 10 * second), Duration::ZERO);
        assert_eq!(moved(begun, 10 * second, begun + 500 * second), 490 * second);
        // Set back, and before where it began.
        assert_eq!(moved(begun, 10 * second, SystemTime::UNIX_EPOCH), Duration::ZERO);
    }
}
