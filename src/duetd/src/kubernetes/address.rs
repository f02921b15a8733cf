//! The addresses that this machine has in Kubernetes, where the site file does not say them: k3s must be told
//! one of each IP version that pods have, or takes one of another version. Start at [`find`]; [`choose`]
//! decides.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use agent::kubernetes::{IpVersion, TOLD, Told, found};

use super::NotYet;
use crate::root::Root;
use crate::rtnetlink::{self, Address, is_routable};
use crate::{bounded, durable};

/// What `duetd boot` told k3s on this machine.
///
/// # Errors
/// If the file is not there, as before `duetd boot`, or was cut off.
pub(super) fn told(root: &Root) -> io::Result<Told> {
    Ok(serde_json::from_str(&bounded::text(&root.path(TOLD))?)?)
}

/// Finds this machine's addresses and has k3s read them with its settings, in `file`.
///
/// # Errors
/// If there is none of a version that pods have.
pub(super) fn find(root: &Root, told: &Told, file: &str) -> Result<(), NotYet> {
    let unwritten = |error| NotYet(format!("{file} cannot be written: {error}"));
    if told.find.is_empty() {
        // An earlier seed of this boot may have left it to the machine.
        return durable::forget(&root.path(file)).map_err(unwritten);
    }
    let all = rtnetlink::addresses()
        .map_err(|error| NotYet(format!("its addresses cannot be read: {error}")))?;
    let own = choose(&told.find, outward, &all)?;
    durable::write(&root.path(file), found(&own).as_bytes(), 0o644).map_err(unwritten)
}

/// Of each version the address from which this machine reaches far networks (`outward`), as k3s itself would
/// choose; where there is no such way, the first one of its interfaces.
fn choose(
    versions: &[IpVersion],
    outward: impl Fn(IpVersion) -> Option<IpAddr>,
    all: &[Address],
) -> Result<Vec<IpAddr>, NotYet> {
    let of = |version: &IpVersion| {
        let of_version = |own: &&Address| IpVersion::of(own.address) == *version;
        let first = || {
            all.iter()
                .filter(of_version)
                .filter(|own| is_routable(own.address))
                .min_by_key(|own| (own.index, own.address))
        };
        outward(*version)
            .filter(|address| is_routable(*address))
            .or_else(|| first().map(|own| own.address))
            .ok_or_else(|| {
                let version = version.as_str();
                NotYet(format!("this machine has no {version} address, and pods are to have one"))
            })
    };
    versions.iter().map(of).collect()
}

/// The address from which packets to far networks would go. Nothing is sent: connecting such a socket only
/// asks the kernel for the way.
fn outward(version: IpVersion) -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): no network has them, so the default route is taken.
    let (own, far): (IpAddr, IpAddr) = match version {
        IpVersion::V4 => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(203, 0, 113, 1).into()),
        IpVersion::V6 => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1).into(),
        ),
    };
    let socket = UdpSocket::bind((own, 0)).ok()?;
    socket.connect((far, 9)).ok()?; // the port of "discard" (RFC 863)
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn own(index: u32, text: &str) -> Address {
        Address { index, address: text.parse().unwrap(), prefix: 24 }
    }

    fn words(chosen: Result<Vec<IpAddr>, NotYet>) -> String {
        let chosen = chosen.map_err(|NotYet(why)| why).unwrap();
        chosen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_way_out_decides_and_else_the_first_card() {
        let all = [
            own(3, "192.0.2.9"),
            own(2, "169.254.7.7"),
            own(2, "10.0.2.15"),
            own(2, "fe80::1"),
            own(3, "2001:db8::9"),
        ];
        let none = |_| None;
        let both = [IpVersion::V4, IpVersion::V6];
        assert_eq!(words(choose(&both, none, &all)), "10.0.2.15 2001:db8::9");
        let out = |version| (version == IpVersion::V4).then(|| "192.0.2.9".parse().unwrap());
        assert_eq!(words(choose(&both, out, &all)), "192.0.2.9 2001:db8::9");
        let link = |_| Some("169.254.7.7".parse().unwrap());
        assert_eq!(words(choose(&both[..1], link, &all)), "10.0.2.15");
        let why = choose(&both, none, &all[..3]).unwrap_err();
        assert_eq!(why.0, "this machine has no IPv6 address, and pods are to have one");
    }

    #[test]
    fn k3s_is_told_where_nobody_said_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let file = agent::kubernetes::SERVER_ADDRESS;
        durable::write(&root.path(file), b"of an earlier seed", 0o644).unwrap();
        find(&root, &Told::default(), file).unwrap();
        assert!(!root.path(file).exists(), "the site file says it");
        assert!(told(&root).is_err());
    }
}
