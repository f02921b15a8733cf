//! What must hold for what comes from the other room, whatever bytes they are: hello, verdict, packets,
//! and what stands before requests and answers. Called by libFuzzer and by the stable test `corpus` of
//! `store`.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use store::peer::calls::{Ask, Reply};
use store::peer::hello::{Hello, Verdict};
use store::peer::packet::{Header, Kind, MESSAGE_BYTES, PACKET_BYTES, Packet, Reader};

/// The bytes are all that somebody says on a connection. Sound if a store would have listened to the end.
pub fn peer(data: &[u8]) -> bool {
    let Some((hello, rest)) = said(data) else { return false };
    let Some((verdict, rest)) = said(rest) else { return false };
    let mut sound = true;
    match Hello::decode(hello) {
        Ok(hello) => {
            assert_eq!(Hello::decode(&hello.encode()).as_ref(), Ok(&hello));
            let judged = hello.judge(&hello).expect_err("a room is not its own peer");
            let verdict = Verdict::of(Some(&judged));
            assert_eq!(Verdict::decode(&verdict.encode()), Ok(verdict));
        }
        Err(refusal) => {
            assert!(!refusal.to_string().is_empty());
            sound = false;
        }
    }
    match Verdict::decode(verdict) {
        Ok(Verdict::Refused { sentence, refusal }) => {
            assert!(!sentence.chars().any(char::is_control));
            assert!(refusal.is_none_or(|refusal| !refusal.to_string().is_empty()));
        }
        Ok(Verdict::Welcome) => (),
        Err(_) => sound = false,
    }
    let (packets, whole) = read(rest);
    assert!(packets.iter().map(content).sum::<usize>() <= rest.len(), "more came out than went in");
    let (again, same) = read(&packets.iter().flat_map(write).collect::<Vec<_>>());
    assert!(same && again == packets, "packets have changed");
    for packet in packets {
        let (Packet::Message(message) | Packet::Urgent(message)) = packet else { continue };
        if let Some(ask) = Ask::decode(&mut message.clone()) {
            assert_eq!(ask.encode()[..], message[..12]);
        }
        if let Some(reply) = Reply::decode(&mut message.clone()) {
            assert_eq!(reply.encode()[..], message[..9]);
        }
    }
    sound && whole
}

/// What was said first, behind its length.
fn said(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_le_bytes(*length).into())
}

fn read(bytes: &[u8]) -> (Vec<Packet>, bool) {
    let mut reader = Reader::new(bytes);
    let mut packets = Vec::new();
    loop {
        match pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Some(packet))) => packets.push(packet),
            Poll::Ready(Ok(None)) => return (packets, true),
            Poll::Ready(Err(_)) => return (packets, false),
            Poll::Pending => panic!("bytes in memory are always there"),
        }
    }
}

fn content(packet: &Packet) -> usize {
    match packet {
        Packet::Message(message) | Packet::Urgent(message) => message.len(),
        Packet::Ping(_) | Packet::Pong(_) => 8,
    }
}

fn write(packet: &Packet) -> Vec<u8> {
    let one = |kind, payload: &[u8]| {
        [&Header { kind, length: payload.len() }.encode()[..], payload].concat()
    };
    match packet {
        Packet::Message(message) => {
            assert!(message.len() <= MESSAGE_BYTES);
            let last = message.len().saturating_sub(1) / PACKET_BYTES * PACKET_BYTES;
            let mut bytes: Vec<u8> = message[..last]
                .chunks(PACKET_BYTES)
                .flat_map(|part| one(Kind::Part, part))
                .collect();
            bytes.extend(one(Kind::End, &message[last..]));
            bytes
        }
        Packet::Urgent(message) => one(Kind::Urgent, message),
        Packet::Ping(number) => one(Kind::Ping, &number.to_le_bytes()),
        Packet::Pong(number) => one(Kind::Pong, &number.to_le_bytes()),
    }
}
