//! Requests and answers.

use std::time::Duration;

use bytes::Bytes;
use pair::Room;

use super::super::calls::{Ask, CALLS, End, Reply};
use super::super::packet::MESSAGE_BYTES;
use super::super::shared::Local;
use super::super::{Bound, CallError};
use super::rig::{Heard, LONG, Site, noise};

fn ask(room: &Heard, text: &'static str) -> tokio::task::JoinHandle<Result<Bytes, CallError>> {
    let peer = room.peer.clone();
    tokio::spawn(async move { peer.call(Bytes::from_static(text.as_bytes()), LONG).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_any_order_and_to_the_right_one() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    let first = ask(&a, "first");
    let (request, answer_first) = b.asked().await;
    assert_eq!(request, "first");
    let second = ask(&a, "second");
    let (request, answer_second) = b.asked().await;
    assert_eq!(request, "second");
    answer_second.send(Bytes::from_static(b"2")).unwrap();
    assert_eq!(second.await.unwrap().unwrap(), "2");
    assert!(!first.is_finished());
    let large = Bytes::from(noise(3 << 20, 5));
    answer_first.send(large.clone()).unwrap();
    assert!(first.await.unwrap().unwrap() == large);
    let counted = (a.peer.status().counters.calls_sent, b.peer.status().counters.calls_received);
    assert_eq!(counted, (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_time_is_over_is_dropped_at_both_ends() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    let late = a.peer.call(Bytes::from_static(b"late"), Duration::from_millis(20)).await;
    assert_eq!(late, Err(CallError::TimedOut));
    let (_, mut answer) = b.asked().await;
    tokio::time::timeout(LONG, answer.closed()).await.expect("nobody waits for it any more");
    // The connection is as good as before.
    let next = ask(&a, "next");
    b.asked().await.1.send(Bytes::new()).unwrap();
    assert_eq!(next.await.unwrap().unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_goes_leaves_the_outcome_unknown() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    let lost = ask(&a, "lost");
    let _held = b.asked().await;
    b.peer.stop().await;
    assert_eq!(lost.await.unwrap(), Err(CallError::BrokeOff));
    a.until(|status| !status.calls).await;
    let after = a.peer.call(Bytes::new(), LONG).await;
    assert_eq!(after, Err(CallError::NoConnection));
}

#[tokio::test]
async fn without_a_peer_there_is_no_call() {
    let site = Site::new("north");
    let alone = Heard::start(Bound::bind(site.config(Room::A), Local::default()).unwrap());
    assert_eq!(alone.peer.call(Bytes::new(), LONG).await, Err(CallError::NoConnection));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_bounded() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    let long = Bytes::from(vec![0; MESSAGE_BYTES]);
    assert_eq!(a.peer.call(long, LONG).await, Err(CallError::TooLarge));
    let mut held = Vec::new();
    let mut asked: Vec<_> = (0..CALLS).map(|_| ask(&a, "wait")).collect();
    for _ in 0..CALLS {
        held.push(b.asked().await.1);
    }
    let over = a.peer.call(Bytes::new(), LONG).await;
    assert_eq!(over, Err(CallError::TooManyWaiting));
    // One is answered: there is room for another.
    held.pop().unwrap().send(Bytes::from_static(b"done")).unwrap();
    let (first, place, _) = futures_util::future::select_all(&mut asked).await;
    assert_eq!(first.unwrap().unwrap(), "done");
    drop(asked.swap_remove(place));
    let more = ask(&a, "more");
    let (request, answer) = b.asked().await;
    assert_eq!(request, "more");
    answer.send(Bytes::new()).unwrap();
    more.await.unwrap().unwrap();
}

#[test]
fn heads_are_taken_off() {
    let asked = Ask { number: 7, timeout_ms: 250 };
    let mut message = Bytes::from([&asked.encode()[..], b"rest"].concat());
    assert_eq!(Ask::decode(&mut message), Some(asked));
    assert_eq!(message, "rest");
    assert_eq!(Ask::decode(&mut message), None);
    for end in [End::Answered, End::Late, End::NoRoom] {
        let reply = Reply { number: u64::MAX, end };
        let mut message = Bytes::from(reply.encode());
        assert_eq!(Reply::decode(&mut message), Some(reply));
        assert!(message.is_empty());
    }
    assert_eq!(Reply::decode(&mut Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 3])), None);
}
