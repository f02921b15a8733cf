//! [`Subnet`]: a range of addresses that belongs to nobody in particular.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::Cidr;
use crate::text::text_serde;

/// A range of addresses, such as `10.42.0.0/16`: its first address and the length of the prefix (RFC 4632,
/// section 3.1; RFC 4291, section 2.3). No bit behind the prefix is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    first: IpAddr,
    prefix: u8,
}

/// Why a text is no [`Subnet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum SubnetError {
    /// Not an address, a `/` and a number in range.
    #[error("`{0}` is not a range of addresses")]
    #[diagnostic(code(input::subnet), help("write 10.42.0.0/16 or 2001:db8:42::/56"))]
    Form(String),
    /// Bits behind the prefix are set.
    #[error("`{found}` names an address inside of a range")]
    #[diagnostic(code(input::subnet), help("write the range: {meant}"))]
    Inside {
        /// What was written.
        found: String,
        /// The range that the address lies in.
        meant: Subnet,
    },
    /// Not for hosts.
    #[error("`{0}` holds addresses that no machine can have")]
    #[diagnostic(
        code(input::subnet),
        help(
            "take a private range, such as 10.42.0.0/16 (RFC 1918) or one below fd00::/8 (RFC 4193)"
        )
    )]
    Special(String),
}

impl Subnet {
    /// The first address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The length of the prefix in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    /// The address that many places behind the first one; the first one itself if the range is not that
    /// large.
    pub fn nth(&self, places: u16) -> IpAddr {
        let address = match self.first {
            IpAddr::V4(first) => {
                Ipv4Addr::from_bits(first.to_bits().saturating_add(places.into())).into()
            }
            IpAddr::V6(first) => {
                Ipv6Addr::from_bits(first.to_bits().saturating_add(places.into())).into()
            }
        };
        if self.contains(address) { address } else { self.first }
    }

    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.is_ipv4() == address.is_ipv4() && start(address, self.prefix) == self.first
    }

    /// Whether both have an address in common.
    pub fn overlaps(&self, other: &Subnet) -> bool {
        let shorter = self.prefix.min(other.prefix);
        self.is_ipv4() == other.is_ipv4()
            && start(self.first, shorter) == start(other.first, shorter)
    }
}

/// The first address of the range that has this prefix and holds the address.
fn start(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let behind = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & !behind).into()
        }
        IpAddr::V6(v6) => {
            let behind = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & !behind).into()
        }
    }
}

impl From<&Cidr> for Subnet {
    /// The subnet that a machine's address lies in.
    fn from(cidr: &Cidr) -> Subnet {
        Subnet { first: start(cidr.address(), cidr.prefix()), prefix: cidr.prefix() }
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let form = || SubnetError::Form(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(form)?;
        let first: IpAddr = address.parse().map_err(|_| form())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let good = |bits: &u8| (1..=most).contains(bits) && !prefix.starts_with('+');
        let prefix = prefix.parse::<u8>().ok().filter(good).ok_or_else(form)?;
        let meant = Subnet { first: start(first, prefix), prefix };
        if meant.first != first {
            return Err(SubnetError::Inside { found: text.to_owned(), meant });
        }
        let special = match first {
            IpAddr::V4(v4) => {
                v4.is_loopback() || v4.is_multicast() || v4.is_link_local() || v4.is_unspecified()
            }
            IpAddr::V6(v6) => {
                v6.is_loopback()
                    || v6.is_multicast()
                    || v6.is_unicast_link_local()
                    || v6.is_unspecified()
                    || v6.to_ipv4_mapped().is_some()
            }
        };
        if special { Err(SubnetError::Special(text.to_owned())) } else { Ok(meant) }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

text_serde!(Subnet);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_know_what_lies_in_them() {
        assert!(subnet("10.42.0.0/16").contains("10.42.255.255".parse().unwrap()));
        assert!(!subnet("10.42.0.0/16").contains("10.43.0.0".parse().unwrap()));
        assert!(!subnet("10.42.0.0/16").contains("::a2a:1".parse().unwrap()));
        assert_eq!(subnet("10.43.0.0/16").nth(10).to_string(), "10.43.0.10");
        assert_eq!(subnet("fd00:43::/112").nth(10).to_string(), "fd00:43::a");
        assert_eq!(subnet("192.0.2.8/30").nth(10).to_string(), "192.0.2.8");
        for (one, other, overlap) in [
            ("10.42.0.0/16", "10.0.0.0/8", true),
            ("10.42.0.0/16", "10.42.7.0/24", true),
            ("10.42.0.0/16", "10.43.0.0/16", false),
            ("fd00:42::/56", "fd00:42::/48", true),
            ("fd00:42::/56", "10.42.0.0/16", false),
        ] {
            assert_eq!(subnet(one).overlaps(&subnet(other)), overlap, "{one} {other}");
            assert_eq!(subnet(other).overlaps(&subnet(one)), overlap, "{other} {one}");
        }
        let of: Subnet = (&"192.0.2.10/24".parse::<Cidr>().unwrap()).into();
        assert_eq!(of.to_string(), "192.0.2.0/24");
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, why) in [
            ("10.42.0.0", "`10.42.0.0` is not a range of addresses"),
            ("10.42.0.0/33", "`10.42.0.0/33` is not a range of addresses"),
            ("10.42.0.0/0", "`10.42.0.0/0` is not a range of addresses"),
            ("10.42/16", "`10.42/16` is not a range of addresses"),
            ("10.42.0.1/16", "`10.42.0.1/16` names an address inside of a range"),
            ("127.0.0.0/8", "`127.0.0.0/8` holds addresses that no machine can have"),
            ("fe80::/64", "`fe80::/64` holds addresses that no machine can have"),
        ] {
            assert_eq!(text.parse::<Subnet>().unwrap_err().to_string(), why);
        }
    }
}
