//! The bytes of hellos, verdicts and packets.

use std::io::IoSlice;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use pair::Room;
use proptest::prelude::*;

use super::super::Frame;
use super::super::hello::{Hello, Purpose, Verdict};
use super::super::outbox::Outbox;
use super::super::packet::{
    HEADER_BYTES, Header, Kind, MESSAGE_BYTES, PACKET_BYTES, Packet, PacketError, Reader,
};
use super::super::refusal::Refusal;

fn hello() -> Hello {
    Hello {
        versions: (1, 2),
        site: "north".to_owned(),
        room: Room::A,
        purpose: Some(Purpose::Calls),
        release: "0.1".to_owned(),
        clock: 1_800_000_000,
        terms: "operator".to_owned(),
    }
}

#[test]
fn a_hello_that_grew_is_read_as_far_as_it_is_known() {
    let bytes = hello().encode();
    assert_eq!(Hello::decode(&bytes), Ok(hello()));
    assert_eq!(Hello::decode(&[&bytes[..], b"and more"].concat()), Ok(hello()));
    for end in 0..bytes.len() {
        assert!(Hello::decode(&bytes[..end]).is_err());
    }
    let long = Hello { site: "x".repeat(200), ..hello() };
    assert!(Hello::decode(&long.encode()).is_err());
    let backward = Hello { versions: (3, 2), ..hello() };
    assert!(Hello::decode(&backward.encode()).is_err());
    let odd = Hello { release: "0.1\n\u{1b}[31m".to_owned(), ..hello() };
    assert_eq!(Hello::decode(&odd.encode()).unwrap().release, "0.1??[31m");
}

#[test]
fn hellos_are_judged() {
    let peer = Hello { room: Room::B, ..hello() };
    let judge = |peer: Hello| hello().judge(&peer);
    assert_eq!(judge(peer.clone()), Ok(2));
    assert_eq!(judge(Hello { versions: (2, 5), ..peer.clone() }), Ok(2));
    assert_eq!(judge(Hello { versions: (0, 1), ..peer.clone() }), Ok(1));
    let why = |peer: Hello| judge(peer).unwrap_err().to_string();
    assert_eq!(
        why(Hello { versions: (3, 3), ..peer.clone() }),
        "room a speaks version 1 to 2, room b 3: upgrade room a"
    );
    assert_eq!(
        why(Hello { versions: (0, 0), ..peer.clone() }),
        "room a speaks version 1 to 2, room b 0: upgrade room b"
    );
    assert_eq!(
        why(Hello { site: "south".to_owned(), ..peer.clone() }),
        "two sites have met: room a of `north` and room b of `south`"
    );
    assert!(matches!(judge(hello()), Err(Refusal::SameRoom { room: Room::A })));
    let clock = hello().clock;
    for (ahead, far) in [(86_400, false), (86_401, true)] {
        for clock in [clock + ahead, clock - ahead] {
            assert_eq!(judge(Hello { clock, ..peer.clone() }).is_err(), far, "{clock}");
        }
    }
    assert_eq!(
        why(Hello { clock: clock + 90_000, ..peer }),
        "the clock of room b is 25 hours ahead of room a's: set the one that is wrong"
    );
}

#[test]
fn a_verdict_is_understood_also_by_an_older_release() {
    let refusal = Refusal::SameRoom { room: Room::B };
    let verdict = Verdict::of(Some(&refusal));
    assert_eq!(Verdict::decode(&verdict.encode()), Ok(verdict.clone()));
    let welcome = Verdict::of(None);
    assert_eq!(Verdict::decode(&welcome.encode()), Ok(welcome));
    // A refusal with a number that is not known yet.
    let later = postcard::to_stdvec(&(Some("the moon is full"), Some(200_u8))).unwrap();
    let sentence = "the moon is full".to_owned();
    assert_eq!(Verdict::decode(&later), Ok(Verdict::Refused { sentence, refusal: None }));
}

/// All that a reader finds in some bytes, and how it ended.
fn read(bytes: &[u8]) -> (Vec<Packet>, Result<(), String>) {
    let mut reader = Reader::new(bytes);
    let mut found = Vec::new();
    loop {
        let next = pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop()));
        match next {
            Poll::Ready(Ok(Some(packet))) => found.push(packet),
            Poll::Ready(Ok(None)) => return (found, Ok(())),
            Poll::Ready(Err(error)) => return (found, Err(error.to_string())),
            Poll::Pending => panic!("bytes in memory are always there"),
        }
    }
}

/// All that an outbox has to write.
fn written(outbox: &Outbox) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let batch = pin!(outbox.batch()).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Some(mut batch)) = batch else { return bytes };
        while batch.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 3];
            let count = batch.chunks_vectored(&mut slices);
            let offered: Vec<u8> =
                slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
            assert!(offered.starts_with(batch.chunk()) && !batch.chunk().is_empty());
            // A socket takes what it has room for.
            let taken = offered.len().min(50_000);
            bytes.extend_from_slice(&offered[..taken]);
            batch.advance(taken);
        }
    }
}

#[test]
fn what_is_urgent_goes_between_the_pieces_of_a_large_frame() {
    let outbox = Outbox::default();
    let large = Bytes::from(vec![1; 5 * PACKET_BYTES]);
    assert!(outbox.push(large.clone().into(), false, 1));
    assert!(outbox.push(Bytes::from_static(b"small").into(), false, 2));
    let first = pin!(outbox.batch()).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Some(mut first)) = first else { panic!("something waits") };
    let mut bytes = first.copy_to_bytes(first.remaining()).to_vec();
    assert!(outbox.push(Bytes::from_static(b"urgent").into(), true, 0));
    assert!(outbox.push_number(Kind::Ping, 7));
    bytes.extend(written(&outbox));
    let small = Packet::Message(Bytes::from_static(b"small"));
    let expected = [
        Packet::Urgent(Bytes::from_static(b"urgent")),
        Packet::Ping(7),
        Packet::Message(large),
        small,
    ];
    assert_eq!(read(&bytes), (expected.to_vec(), Ok(())));
    assert_eq!(outbox.waiting_bytes(), 0);
}

#[test]
fn an_outbox_that_ends_says_what_was_never_begun() {
    let outbox = Outbox::default();
    for tag in 1..4 {
        assert!(outbox.push(vec![0; 2 * PACKET_BYTES].into(), false, tag));
    }
    assert!(outbox.push(vec![0].into(), true, 0));
    let batch = pin!(outbox.batch()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(batch, Poll::Ready(Some(batch)) if batch.messages == 1));
    let leftover = outbox.end();
    assert_eq!((leftover.tags, leftover.messages), (vec![2, 3], 3));
    assert!(!outbox.push(vec![0].into(), false, 0), "it takes no more");
}

#[test]
fn small_urgent_frames_are_bounded_too() {
    let outbox = Outbox::default();
    let taken = (0..1_000_000).take_while(|_| outbox.push(Frame::default(), true, 0)).count();
    assert!((1000..100_000).contains(&taken), "{taken}");
    let taken = (0..1_000_000).take_while(|_| outbox.push(Frame::default(), false, 0)).count();
    assert!((100_000..1_000_000).contains(&taken), "{taken}");
}

#[test]
fn packets_that_no_peer_sends_are_named() {
    let long = (PACKET_BYTES as u32 + 1).to_le_bytes();
    for (bytes, error) in [
        (vec![5, 0, 0, 0], PacketError::Kind(5)),
        (vec![0, long[0], long[1], long[2]], PacketError::Long(PACKET_BYTES + 1)),
        (vec![3, 7, 0, 0], PacketError::Ping(7)),
    ] {
        assert_eq!(read(&bytes), (vec![], Err(error.to_string())));
    }
    let part = Header { kind: Kind::Part, length: PACKET_BYTES }.encode();
    let mut part = part.to_vec();
    part.resize(HEADER_BYTES + PACKET_BYTES, 0);
    let endless = part.repeat(MESSAGE_BYTES / PACKET_BYTES + 1);
    assert_eq!(read(&endless), (vec![], Err(PacketError::Message.to_string())));
    let (_, cut) = read(&part);
    assert!(cut.is_err(), "a message that does not end");
}

/// Some are copied, some are not.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![0..100_usize, 0..5000_usize, 0..70_000_usize]
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(
        messages in proptest::collection::vec((proptest::collection::vec(sizes(), 0..4), any::<bool>()), 0..8)
    ) {
        let outbox = Outbox::default();
        let (mut urgent, mut bulk) = (Vec::new(), Vec::new());
        for (number, (pieces, hurry)) in messages.iter().enumerate() {
            let pieces: Vec<Bytes> = pieces.iter().map(|size| vec![number as u8; *size].into()).collect();
            let whole = Bytes::from(pieces.concat());
            prop_assert!(outbox.push(Frame::new(pieces), *hurry, 0));
            if *hurry && whole.len() <= PACKET_BYTES {
                urgent.push(Packet::Urgent(whole));
            } else {
                bulk.push(Packet::Message(whole));
            }
        }
        let (found, ended) = read(&written(&outbox));
        prop_assert_eq!(ended, Ok(()));
        urgent.append(&mut bulk);
        prop_assert!(found == urgent);
        prop_assert_eq!(outbox.waiting_bytes(), 0);
    }

    #[test]
    fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Hello::decode(&bytes);
        let _ = Verdict::decode(&bytes);
        let _ = read(&bytes);
    }
}
