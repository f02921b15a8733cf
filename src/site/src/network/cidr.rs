//! [`Cidr`]: an address together with its subnet.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::text::text_serde;

/// An address of a machine and the length of its subnet's prefix, such as `192.0.2.10/24`
/// (RFC 4632, section 3.1; RFC 4291, section 2.3). Always an address that a machine can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not an address with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum CidrError {
    /// There is no `/`.
    #[error("`{0}` has no prefix length")]
    #[diagnostic(code(input::address), help("add the subnet's prefix length, such as {0}/24"))]
    NoPrefix(String),
    /// The part before the `/` is no IP address.
    #[error("`{0}` is not an IP address")]
    #[diagnostic(code(input::address), help("write 192.0.2.10/24 or 2001:db8::10/64"))]
    Address(String),
    /// The part after the `/` is no number in range.
    #[error("`{found}` is not a prefix length")]
    #[diagnostic(code(input::address), help("the prefix length is a number from 1 to {most}"))]
    Prefix {
        /// What was written.
        found: String,
        /// The longest prefix of this IP version.
        most: u8,
    },
    /// A good address that no machine can have.
    #[error("{address} is {what}, not the address of a machine")]
    #[diagnostic(code(input::address), help("give an address inside {cidr} that is its own"))]
    NotAHost {
        /// The address.
        address: IpAddr,
        /// What it is instead.
        what: &'static str,
        /// The whole text.
        cidr: String,
    },
}

impl Cidr {
    /// The machine's address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of the subnet's prefix in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `other` lies in the same subnet.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                (mine.to_bits() ^ other.to_bits()) & !self.host_mask_v4() == 0
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => {
                let host_mask = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                (mine.to_bits() ^ other.to_bits()) & !host_mask == 0
            }
            _ => false,
        }
    }

    fn host_mask_v4(&self) -> u32 {
        u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0)
    }

    /// What `address` is if it cannot be a machine's own in this subnet.
    pub(crate) fn not_a_host(&self, address: IpAddr) -> Option<&'static str> {
        let special = if address.is_unspecified() {
            Some("the unspecified address")
        } else if address.is_loopback() {
            Some("a loopback address")
        } else if address.is_multicast() {
            Some("a multicast address")
        } else {
            None
        };
        special.or(match address {
            // Subnets of one or two addresses have neither (RFC 3021).
            IpAddr::V4(v4) if self.prefix < 31 => match v4.to_bits() & self.host_mask_v4() {
                0 => Some("the address of the subnet itself"),
                host if host == self.host_mask_v4() => Some("the subnet's broadcast address"),
                _ => None,
            },
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                Some("a link-local address, which every card has by itself,")
            }
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("a mapped IPv4 address"),
            IpAddr::V6(_) => None,
        })
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some(parts) => parts,
            None if text.parse::<IpAddr>().is_ok() => {
                return Err(CidrError::NoPrefix(text.to_owned()));
            }
            None => return Err(CidrError::Address(text.to_owned())),
        };
        let address: IpAddr =
            address.parse().map_err(|_| CidrError::Address(address.to_owned()))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix.parse::<u8>() {
            Ok(bits) if (1..=most).contains(&bits) && !prefix.starts_with('+') => bits,
            _ => return Err(CidrError::Prefix { found: prefix.to_owned(), most }),
        };
        let cidr = Cidr { address, prefix };
        match cidr.not_a_host(address) {
            Some(what) => Err(CidrError::NotAHost { address, what, cidr: text.to_owned() }),
            None => Ok(cidr),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

text_serde!(Cidr);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_knows_what_lies_in_it() {
        for (subnet, address, inside) in [
            ("192.0.2.10/24", "192.0.2.1", true),
            ("192.0.2.10/24", "192.0.3.1", false),
            ("192.0.2.10/31", "192.0.2.11", true),
            ("192.0.2.10/32", "192.0.2.11", false),
            ("10.1.2.3/1", "127.0.0.1", true),
            ("2001:db8::10/64", "2001:db8::1", true),
            ("2001:db8::10/64", "2001:db8:0:1::1", false),
            ("2001:db8::10/128", "2001:db8::10", true),
            ("192.0.2.10/24", "2001:db8::1", false),
        ] {
            assert_eq!(cidr(subnet).contains(address.parse().unwrap()), inside, "{subnet}");
        }
    }

    #[test]
    fn what_no_machine_can_have_is_refused() {
        for (text, why) in [
            ("192.0.2.10", "`192.0.2.10` has no prefix length"),
            ("192.0.2/24", "`192.0.2` is not an IP address"),
            ("192.0.2.10/33", "`33` is not a prefix length"),
            ("192.0.2.10/0", "`0` is not a prefix length"),
            ("192.0.2.10/+8", "`+8` is not a prefix length"),
            ("192.0.2.0/24", "192.0.2.0 is the address of the subnet itself"),
            ("192.0.2.255/24", "192.0.2.255 is the subnet's broadcast address"),
            ("127.0.0.1/8", "127.0.0.1 is a loopback address"),
            ("239.1.1.1/8", "239.1.1.1 is a multicast address"),
            ("::/64", ":: is the unspecified address"),
            ("fe80::1/64", "fe80::1 is a link-local address"),
            ("campus", "`campus` is not an IP address"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
        assert_eq!(cidr("192.0.2.0/31").to_string(), "192.0.2.0/31");
        assert_eq!(cidr("2001:DB8::A/64").to_string(), "2001:db8::a/64");
    }
}
