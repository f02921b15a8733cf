//! Frames: their order, their bounds, and what happens when the connection goes.

use std::time::Duration;

use bytes::Bytes;
use pair::Room;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::super::hello::Purpose;
use super::super::packet::{MESSAGE_BYTES, PACKET_BYTES};
use super::super::shared::Local;
use super::super::{Bound, Frame, QUEUE_BYTES, greet, tls};
use super::rig::{Heard, LONG, Site, as_room_b, connected, hello, noise, pair_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_arrive_whole_and_in_order_both_ways() {
    let site = Site::new("north");
    let (mut a, mut b) = site.pair().await;
    let sizes = [0, 1, 100, PACKET_BYTES - 1, PACKET_BYTES, PACKET_BYTES + 1, 3 << 20, 5];
    for (seed, size) in sizes.into_iter().enumerate() {
        let whole = noise(size, seed as u64);
        let (head, payload) = whole.split_at(size / 3);
        let pieces = vec![Bytes::copy_from_slice(head), Bytes::copy_from_slice(payload)];
        a.peer.send(Frame::new(pieces), false);
        b.peer.send(whole.into(), false);
    }
    for (seed, size) in sizes.into_iter().enumerate() {
        let whole = noise(size, seed as u64);
        assert!(b.frame().await == whole, "{size} bytes to b");
        assert!(a.frame().await == whole, "{size} bytes to a");
    }
    let counted = a.until(|status| status.counters.frames_sent == 8).await;
    assert_eq!(counted.counters.frames_received, 8);
    assert_eq!(counted.counters.frames_dropped, 0);
    assert!(counted.counters.bytes_sent > 3 << 20 && counted.counters.bytes_received > 3 << 20);
    let status = a.until(|status| status.round_trip.is_some()).await;
    assert_eq!(status.peer_release.as_deref(), Some("duet 0.1 in b"));
    assert_eq!(status.version, Some(pair::wire::VERSION));
    assert_eq!(status.outward.unwrap().address, b.peer.addresses()[0]);
    assert!(status.why_not.is_none() && status.turned_away.is_none(), "{status:?}");
    assert!(status.heard.unwrap() < LONG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_urgent_frame_overtakes_what_waits() {
    const BULK: usize = 48;
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    {
        // As long as b takes nothing, most of it waits here.
        let _slow = b.ears.slow_frames.lock().unwrap();
        for number in 0..BULK {
            a.peer.send(Bytes::from(vec![number as u8; 1 << 20]).into(), false);
        }
        a.peer.send(Bytes::from_static(b"heartbeat").into(), true);
        assert!(a.peer.status().waiting_bytes > 16 << 20, "{:?}", a.peer.status());
    }
    let mut bulk = 0;
    let mut before = None;
    for _ in 0..=BULK {
        let frame = b.frame().await;
        if frame == "heartbeat" {
            before = Some(bulk);
        } else {
            assert_eq!((frame.len(), frame[0]), (1 << 20, bulk as u8), "bulk stays in order");
            bulk += 1;
        }
    }
    // What the kernels hold is ahead of it.
    assert!(before.unwrap() < BULK / 2, "the heartbeat came after {before:?} frames");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_sent_before_a_stop_and_nothing_after() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    for number in 0..200_u32 {
        a.peer.send(vec![number as u8; 10_000].into(), false);
    }
    a.peer.stop().await;
    for number in 0..200_u32 {
        assert_eq!(b.frame().await[0], number as u8);
    }
    let before = a.peer.status().counters;
    a.peer.send(vec![1].into(), true);
    let after = a.peer.status().counters;
    assert_eq!(before.frames_sent, 200);
    assert_eq!(after.frames_dropped, before.frames_dropped + 1);
    b.until(|status| status.inward.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_comes_back_on_its_port_is_found() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    a.peer.stop().await;
    let status = b.until(|status| status.outward.is_none() && status.why_not.is_some()).await;
    assert!(status.inward.is_none() || status.outward.is_none());
    b.peer.send(vec![1].into(), false);
    let dropped = b.peer.status().counters.frames_dropped;
    assert!(dropped >= 1, "nothing is kept for a room that is away");
    let refused = b.until(|status| {
        status.why_not.as_deref().is_some_and(|why| why.contains("Connection refused"))
    });
    refused.await;

    let mut config = site.config(Room::A);
    config.listen = a.peer.addresses();
    config.peers = vec![b.peer.addresses()[0].to_string()];
    let mut again = Heard::start(Bound::bind(config, Local::default()).unwrap());
    connected(&again, &b).await;
    b.peer.send(vec![2].into(), false);
    again.peer.send(vec![3].into(), true);
    assert_eq!(again.frame().await, vec![2]);
    assert_eq!(b.frame().await, vec![3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_candidates_the_one_that_fits_is_used() {
    let site = Site::new("north");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut a = Bound::bind(site.config(Room::A), Local::default()).unwrap();
    let mut b = Bound::bind(site.config(Room::B), Local::default()).unwrap();
    let port = b.addresses[0].port();
    let closed = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    // Nobody there, a program that is no store, a name that is none, and at last the name that is meant.
    let accept = async { drop(mute.accept().await.unwrap()) };
    a.config.peers = vec![
        closed,
        mute.local_addr().unwrap().to_string(),
        "room-b.invalid:7".to_owned(),
        format!("localhost:{port}"),
    ];
    b.config.peers = vec![a.addresses[0].to_string()];
    let (a, b) = (Heard::start(a), Heard::start(b));
    accept.await;
    connected(&a, &b).await;
}

/// A room b that says hello, and then reads nothing.
async fn deaf(
    site: &Site,
    listener: &TcpListener,
) -> tokio_rustls::server::TlsStream<tokio::net::TcpStream> {
    let files = site.sign(&tls::name(Room::B, &site.name), "deaf");
    let acceptor = TlsAcceptor::from(tls::load(files).unwrap().current().server);
    let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
    greet::greet(&mut stream, &hello(&site.name, Room::B, None), None).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_costs_a_bounded_queue() {
    const FRAME: usize = 1 << 20;
    let site = Site::new("north");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = site.config(Room::A);
    config.peers = vec![listener.local_addr().unwrap().to_string()];
    let a = Heard::start(Bound::bind(config, Local::default()).unwrap());
    let deaf = deaf(&site, &listener).await;
    a.until(|status| status.outward.is_some()).await;
    let payload = Bytes::from(vec![7; FRAME]);
    let mut most = 0;
    for _ in 0..4 * QUEUE_BYTES / FRAME {
        a.peer.send(payload.clone().into(), false);
        most = most.max(a.peer.status().waiting_bytes);
    }
    let status = a.peer.status();
    assert!(most > QUEUE_BYTES / 2 && most <= QUEUE_BYTES + 2 * FRAME, "{most} bytes waited");
    assert!(status.counters.frames_dropped > 64, "{:?}", status.counters);
    // Heartbeats still find a place.
    let dropped = status.counters.frames_dropped;
    a.peer.send(vec![1].into(), true);
    assert_eq!(a.peer.status().counters.frames_dropped, dropped);
    // When it is gone, all is counted: nothing vanishes.
    drop(deaf);
    let status = a.until(|status| status.outward.is_none()).await;
    assert_eq!(status.waiting_bytes, 0);
    let counted = status.counters.frames_sent + status.counters.frames_dropped;
    assert!(counted.abs_diff(4 * 64 + 1) <= 1, "{:?}", status.counters);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_silent_from_one_moment_to_the_next_is_noticed_by_the_kernel() {
    let site = Site::new("north");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = site.config(Room::A);
    config.peers = vec![listener.local_addr().unwrap().to_string()];
    let a = Heard::start(Bound::bind(config, Local::default()).unwrap());
    let dead = deaf(&site, &listener).await;
    a.until(|status| status.outward.is_some()).await;
    // Its machine has lost its power: no segment is taken any more, none is acknowledged (`ret #0`).
    let nothing = socket2::SockFilter::new(6, 0, 0, 0);
    socket2::SockRef::from(dead.get_ref().0).attach_filter(&[nothing]).unwrap();
    let status = a.until(|status| status.outward.is_none()).await;
    let reason = status.why_not.unwrap();
    assert!(reason.contains("os error 110"), "not by the lack of pongs: {reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_connection_takes_the_place_of_an_earlier_one() {
    let site = Site::new("north");
    let mut a = Heard::start(Bound::bind(site.config(Room::A), Local::default()).unwrap());
    let mut first = as_room_b(&site, &a.peer, Purpose::Frames).await;
    first.write_all(&[2, 1, 0, 0, 7]).await.unwrap();
    assert_eq!(a.frame().await, vec![7]);
    let mut second = as_room_b(&site, &a.peer, Purpose::Frames).await;
    second.write_all(&[2, 1, 0, 0, 8]).await.unwrap();
    assert_eq!(a.frame().await, vec![8]);
    // The first is closed; without TLS's own farewell, since its task was ended.
    let mut rest = Vec::new();
    let _ = timeout(LONG, first.read_to_end(&mut rest)).await.expect("it is closed");
    assert!(rest.is_empty());
    // One for another purpose is in nobody's way.
    let _calls = as_room_b(&site, &a.peer, Purpose::Calls).await;
    second.write_all(&[2, 1, 0, 0, 9]).await.unwrap();
    assert_eq!(a.frame().await, vec![9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_packet_ends_the_connection() {
    let site = Site::new("north");
    let a = Heard::start(Bound::bind(site.config(Room::A), Local::default()).unwrap());
    for garbage in [&[9, 0, 0, 0][..], &[0, 1, 0, 1], &[3, 1, 0, 0, 0], &[4, 8, 0, 0]] {
        let mut stream = as_room_b(&site, &a.peer, Purpose::Frames).await;
        stream.write_all(garbage).await.unwrap();
        stream.write_all(&[0; 8]).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.expect("it is closed");
        assert!(rest.is_empty(), "{garbage:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_message_passes_and_a_larger_one_is_dropped() {
    let site = Site::new("north");
    let (a, b) = (site.config(Room::A), site.config(Room::B));
    let (a, mut b) = pair_of(a, b);
    connected(&a, &b).await;
    a.peer.send(vec![0; MESSAGE_BYTES + 1].into(), false);
    assert_eq!(a.peer.status().counters.frames_dropped, 1);
    let largest = Bytes::from(noise(MESSAGE_BYTES, 3));
    a.peer.send(largest.clone().into(), false);
    assert!(b.frame().await == largest);
}

/// How quick it is, for whoever runs it with `--ignored`; it asserts only that all arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    let site = Site::new("north");
    let (a, mut b) = site.pair().await;
    for (size, count) in [(200, 200_000_usize), (64 << 10, 8_000)] {
        let payload = Bytes::from(noise(size, 1));
        let begin = std::time::Instant::now();
        let sender = async {
            for _ in 0..count {
                while a.peer.status().waiting_bytes > QUEUE_BYTES / 2 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                a.peer.send(payload.clone().into(), false);
            }
        };
        let receiver = async {
            for _ in 0..count {
                b.frame().await;
            }
        };
        tokio::join!(sender, receiver);
        let took = begin.elapsed();
        let rate = count as f64 / took.as_secs_f64();
        let text = format!("{count} frames of {size} bytes in {took:?}: {rate:.0} a second\n");
        std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
    }
}
