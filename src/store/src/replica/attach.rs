//! What goes along with messages: entries and snapshots. Start at [`Replica::send`].

use pair::{Body, Message, Position};

use super::input::Output;
use super::packet::Packet;
use super::ring::position;
use super::step::Replica;
use crate::record::Record;

/// Entries of one packet: little beside a heartbeat's time on any link that a site has.
const BYTES: usize = 1 << 20;

impl Replica {
    pub(super) fn send(&mut self, message: Message) {
        match message.body {
            Body::Entries { .. } => self.send_entries(&message),
            Body::Snapshot { at, .. } => self.send_snapshot(message, at),
            _ => self.outputs.push(Output::Send(Packet::bare(message))),
        }
    }

    /// The entries, in as many packets as their bytes need.
    fn send_entries(&mut self, message: &Message) {
        let Body::Entries { term, mut after, epoch, last } = message.body else { return };
        let mut records: Vec<Record> = Vec::new();
        let mut bytes = 0;
        let mut packets = Vec::new();
        for record in self.ring.between(after.index, last) {
            bytes += record.weight();
            records.push(record.clone());
            if bytes >= BYTES || record.index == last {
                let body = Body::Entries { term, after, epoch, last: record.index };
                let message = Message { body, ..message.clone() };
                let records = std::mem::take(&mut records);
                packets.push(Output::Send(Packet { message, records }));
                (after, bytes) = (position(record), 0);
            }
        }
        self.outputs.append(&mut packets);
    }

    /// One snapshot at a time; a follower asks for it with each heartbeat until it has it.
    fn send_snapshot(&mut self, message: Message, at: Position) {
        if self.sending.is_some() {
            return;
        }
        let Some(state) = self.state_at(at.index) else { return };
        self.sending = Some(at);
        self.outputs.push(Output::Snapshot(message, state));
    }
}
