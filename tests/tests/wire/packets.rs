//! Packets of mDNS that no machine of Duet sends, made by hand. Start at [`Forger::new`].

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
const SECONDS: u32 = 120;

/// A sender on the wire, at an address that this network has there.
pub(crate) struct Forger(UdpSocket);

impl Forger {
    pub(crate) fn new(address: Ipv4Addr) -> Forger {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT).into()).unwrap();
        socket.set_multicast_if_v4(&address).unwrap();
        socket.set_multicast_ttl_v4(255).unwrap();
        Forger(socket.into())
    }

    /// Announces an instance: one label, the pairs of its TXT record, one address.
    pub(crate) fn announce(&self, instance: &[u8], txt: &[(&str, &str)], address: Ipv4Addr) {
        let service = [&b"_duet"[..], b"_tcp", b"local"];
        let full = [&[instance][..], &service].concat();
        let host = [instance, b"local"];
        // A response with authority (RFC 6762, section 18): no question, four answers.
        let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
        record(&mut packet, &service, 12, 1, &name(&full));
        let mut place = vec![0, 0, 0, 0];
        place.extend(2380_u16.to_be_bytes());
        place.extend(name(&host));
        record(&mut packet, &full, 33, 0x8001, &place);
        let mut pairs = Vec::new();
        for (key, value) in txt {
            let pair = format!("{key}={value}");
            pairs.push(u8::try_from(pair.len()).unwrap());
            pairs.extend(pair.bytes());
        }
        record(&mut packet, &full, 16, 0x8001, &pairs);
        record(&mut packet, &host, 1, 0x8001, &address.octets());
        self.send(&packet);
    }

    pub(crate) fn send(&self, packet: &[u8]) {
        self.0.send_to(packet, SocketAddrV4::new(GROUP, PORT)).unwrap();
    }
}

/// A name as labels (RFC 1035, section 3.1), whatever their bytes.
fn name(labels: &[&[u8]]) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        name.push(u8::try_from(label.len()).unwrap());
        name.extend(*label);
    }
    name.push(0);
    name
}

fn record(packet: &mut Vec<u8>, owner: &[&[u8]], kind: u16, class: u16, data: &[u8]) {
    packet.extend(name(owner));
    packet.extend(kind.to_be_bytes());
    packet.extend(class.to_be_bytes());
    packet.extend(SECONDS.to_be_bytes());
    packet.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    packet.extend(data);
}
