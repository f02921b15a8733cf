//! The connections that this room keeps up: one for frames, and one for calls beside it. Start at
//! [`frames`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::debug;

use super::accept::reason;
use super::calls::Caller;
use super::dial::{Backoff, Link, chance, dial};
use super::hello::Purpose;
use super::outbox::Outbox;
use super::shared::Shared;

/// How long a connection must have stood so that the next is tried at once. One that ends sooner may do so
/// again.
const STEADY: Duration = Duration::from_secs(1);

/// Keeps up the connection for frames until the link closes; then what waits is still sent.
pub(super) async fn frames(shared: Arc<Shared>, mut closing: watch::Receiver<bool>) {
    let mut backoff = Backoff::default();
    loop {
        let dialed = tokio::select! {
            biased;
            () = closed(&mut closing) => return,
            dialed = dial(&shared, Purpose::Frames) => dialed,
        };
        match dialed {
            Err(problems) => shared.not_connected(&problems),
            Ok(link) => {
                let began = Instant::now();
                send(link, &shared, &mut closing).await;
                if *closing.borrow() {
                    return;
                }
                if began.elapsed() >= STEADY {
                    backoff = Backoff::default();
                    continue;
                }
            }
        }
        tokio::select! {
            biased;
            () = closed(&mut closing) => return,
            () = seen(&shared) => {}
            () = sleep(backoff.next(chance())) => {}
        }
    }
}

/// Waits until the peer has dialed this room: then it can be dialed. Two rooms that break off at once
/// must not drive each other on, so it still takes a moment.
async fn seen(shared: &Shared) {
    shared.seen.notified().await;
    sleep(Backoff::FIRST).await;
}

/// Waits for the link's end.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that who would tell is gone: that is an end, too.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn send(link: Link, shared: &Shared, closing: &mut watch::Receiver<bool>) {
    shared.meter.connections.add(1);
    shared.outward(&link);
    let outbox = Arc::new(Outbox::default());
    *shared.outbox() = Some(outbox.clone());
    shared.up.send_replace(true);
    let mut sending = std::pin::pin!(super::frames::send(link.stream, &outbox, shared));
    let ended = tokio::select! {
        biased;
        () = closed(closing) => {
            outbox.close();
            sending.await
        }
        ended = &mut sending => ended,
    };
    shared.up.send_replace(false);
    *shared.outbox() = None;
    shared.meter.frames_dropped.add(outbox.end().messages);
    shared.outward_ended(&reason(&ended));
}

/// Keeps up the connection for calls, while there is one for frames: a peer that refuses one refuses
/// both.
pub(super) async fn calls(shared: Arc<Shared>) {
    let mut backoff = Backoff::default();
    let mut up = shared.up.subscribe();
    loop {
        if up.wait_for(|up| *up).await.is_err() {
            return;
        }
        match dial(&shared, Purpose::Calls).await {
            Err(problems) => debug!(?problems, "cannot connect to the other room for calls"),
            Ok(link) => {
                let began = Instant::now();
                shared.meter.connections.add(1);
                let caller = Calling::begin(&shared);
                let ended = caller.caller.run(link.stream, &shared).await;
                debug!(reason = %reason(&ended), "the connection for calls has ended");
                drop(caller);
                if began.elapsed() >= STEADY {
                    backoff = Backoff::default();
                    continue;
                }
            }
        }
        sleep(backoff.next(chance())).await;
    }
}

/// A caller that others may use; when this goes, also with its task, nobody waits for it.
struct Calling<'a> {
    shared: &'a Shared,
    caller: Arc<Caller>,
}

impl Calling<'_> {
    fn begin(shared: &Shared) -> Calling<'_> {
        let caller = Arc::new(Caller::default());
        *shared.caller() = Some(caller.clone());
        Calling { shared, caller }
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        *self.shared.caller() = None;
        self.caller.end();
    }
}
