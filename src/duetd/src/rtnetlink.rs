//! The addresses that this machine has now, straight from the kernel. Start at [`addresses`].
//! [`parse`] reads the kernel's answer and is pure.
//!
//! The format is that of rtnetlink(7) and netlink(7): messages of a 16-byte header and a body, both
//! in the machine's byte order, aligned to 4 bytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, netlink, sockopt};

/// An address of one of the machine's network interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The interface's number.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// The length of the subnet's prefix in bits.
    pub prefix: u8,
}

/// Whether an address is of use beyond its link.
pub(crate) fn is_routable(address: IpAddr) -> bool {
    !address.is_loopback()
        && !address.is_unspecified()
        && match address {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        }
}

/// Values of linux/netlink.h, linux/rtnetlink.h and linux/if_addr.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const RT_SCOPE_HOST: u8 = 254;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// The address is being checked for a duplicate, or has one.
const IFA_F_UNUSABLE: u8 = 0x40 | 0x08;

/// The lengths of nlmsghdr, ifaddrmsg and rtattr.
const HEADER: usize = 16;
const ADDRESS_BODY: usize = 8;
const ATTRIBUTE: usize = 4;

/// More parts than any machine's answer has; each holds dozens of addresses.
const MOST_PARTS: usize = 256;

/// All usable addresses except loopback ones.
pub(crate) fn addresses() -> io::Result<Vec<Address>> {
    let socket = net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // NETLINK_ROUTE is number zero.
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(5)))?;
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    net::sendto(&socket, &request(), net::SendFlags::empty(), &kernel)?;
    let mut all = Vec::new();
    let mut part = vec![0; 64 << 10];
    for _ in 0..MOST_PARTS {
        let (count, _) = net::recv(&socket, part.as_mut_slice(), net::RecvFlags::empty())?;
        match parse(&part[..count], &mut all) {
            Answer::More => {}
            Answer::Done => return Ok(all),
            Answer::Refused => break,
        }
    }
    Err(io::Error::other("the kernel refused to list the addresses"))
}

/// Asks for the addresses of all interfaces.
fn request() -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + ADDRESS_BODY);
    message.extend(((HEADER + ADDRESS_BODY) as u32).to_ne_bytes());
    message.extend(RTM_GETADDR.to_ne_bytes());
    message.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    message.resize(HEADER + ADDRESS_BODY, 0);
    message
}

/// Whether the answer goes on.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    More,
    Done,
    Refused,
}

/// Adds the addresses in one part of the answer to `all`.
fn parse(mut part: &[u8], all: &mut Vec<Address>) -> Answer {
    while part.len() >= HEADER {
        let length = u32_at(part, 0) as usize;
        if length < HEADER || length > part.len() {
            return Answer::Refused;
        }
        match u16_at(part, 4) {
            NLMSG_DONE => return Answer::Done,
            NLMSG_ERROR => return Answer::Refused,
            RTM_NEWADDR => all.extend(address(&part[HEADER..length])),
            _ => {}
        }
        part = &part[aligned(length).min(part.len())..];
    }
    Answer::More
}

/// The address that the body of a message describes, if it is one to be shown.
fn address(body: &[u8]) -> Option<Address> {
    let (fixed, mut attributes) = body.split_at_checked(ADDRESS_BODY)?;
    let [family, prefix, flags, scope, ..] = *fixed else { return None };
    if scope == RT_SCOPE_HOST || flags & IFA_F_UNUSABLE != 0 {
        return None;
    }
    let (mut address, mut local) = (None, None);
    while attributes.len() >= ATTRIBUTE {
        let length = usize::from(u16_at(attributes, 0));
        let value = attributes.get(ATTRIBUTE..length)?;
        match u16_at(attributes, 2) {
            IFA_ADDRESS => address = ip(family, value),
            IFA_LOCAL => local = ip(family, value),
            _ => {}
        }
        attributes = attributes.get(aligned(length)..).unwrap_or_default();
    }
    // On a point-to-point link IFA_ADDRESS is the other end's (linux/if_addr.h).
    Some(Address { index: u32_at(fixed, 4), address: local.or(address)?, prefix })
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(value).ok().map(|b| Ipv4Addr::from(b).into()),
        AF_INET6 => <[u8; 16]>::try_from(value).ok().map(|b| Ipv6Addr::from(b).into()),
        _ => None,
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A message with an address body and attributes, as the kernel would send it.
    fn message(kind: u16, body: [u8; 8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut rest = body.to_vec();
        for (kind, value) in attributes {
            rest.extend(((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
            rest.extend(kind.to_ne_bytes());
            rest.extend(*value);
            rest.resize(aligned(rest.len()), 0);
        }
        let mut message = ((HEADER + rest.len()) as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend(rest);
        message
    }

    fn body(family: u8, prefix: u8, flags: u8, scope: u8) -> [u8; 8] {
        let [a, b, c, d] = 7u32.to_ne_bytes();
        [family, prefix, flags, scope, a, b, c, d]
    }

    #[test]
    fn the_kernel_s_addresses_are_read() {
        let name: &[u8] = b"eth0\0";
        let v6 = "2001:db8::11".parse::<Ipv6Addr>().unwrap().octets();
        let part = [
            message(
                RTM_NEWADDR,
                body(AF_INET, 8, 0, RT_SCOPE_HOST),
                &[(IFA_LOCAL, &[127, 0, 0, 1])],
            ),
            message(
                RTM_NEWADDR,
                body(AF_INET, 24, 0, 0),
                &[(3, name), (IFA_LOCAL, &[192, 0, 2, 1])],
            ),
            message(
                RTM_NEWADDR,
                body(AF_INET, 32, 0, 0),
                &[(IFA_ADDRESS, &[192, 0, 2, 9]), (IFA_LOCAL, &[192, 0, 2, 8])],
            ),
            message(RTM_NEWADDR, body(AF_INET6, 64, 0, 0), &[(IFA_ADDRESS, &v6)]),
            message(RTM_NEWADDR, body(AF_INET6, 64, 0x40, 0), &[(IFA_ADDRESS, &v6)]),
        ]
        .concat();
        let mut all = Vec::new();
        assert_eq!(parse(&part, &mut all), Answer::More);
        assert_eq!(parse(&message(NLMSG_DONE, [0; 8], &[]), &mut all), Answer::Done);
        let shown: Vec<String> =
            all.iter().map(|a| format!("{} {}/{}", a.index, a.address, a.prefix)).collect();
        assert_eq!(shown, ["7 192.0.2.1/24", "7 192.0.2.8/32", "7 2001:db8::11/64"]);
    }

    #[test]
    fn no_cut_of_an_answer_is_read_beyond_its_end() {
        let whole = message(RTM_NEWADDR, body(AF_INET, 24, 0, 0), &[(IFA_LOCAL, &[192, 0, 2, 1])]);
        for end in 0..whole.len() {
            let mut all = Vec::new();
            parse(&whole[..end], &mut all);
            assert_eq!(all, [], "{end} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            parse(&damaged, &mut Vec::new());
        }
    }

    #[test]
    fn this_machine_answers() {
        addresses().unwrap();
    }
}
