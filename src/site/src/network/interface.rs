//! [`Interface`]: which network card is meant.

use std::fmt;
use std::str::FromStr;

use crate::text::text_serde;

/// A network card, chosen by its own address or by the kernel's name for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// The card with this hardware address.
    Mac(Mac),
    /// The cards whose name matches one of these patterns (systemd.network(5), `Name=`).
    Name(Vec<String>),
}

/// The hardware address of one card (IEEE 802, EUI-48), written `52:54:00:12:34:56`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

/// Why a text names no card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum InterfaceError {
    /// Nothing was written.
    #[error("no interface is named")]
    #[diagnostic(
        code(input::interface),
        help("write a name such as \"enp1s0\", a pattern such as \"en*\" or a MAC address")
    )]
    Empty,
    /// Linux has no such name.
    #[error("`{0}` cannot be the name of an interface")]
    #[diagnostic(
        code(input::interface),
        help(
            "a name has at most 15 of: a-z, A-Z, 0-9, `.`, `_`, `-`, and as a pattern `*`, `?`, `[` and `]`"
        )
    )]
    Name(String),
    /// A group or the empty address.
    #[error("{0} is not the address of one card")]
    #[diagnostic(
        code(input::interface),
        help("`ip link` on that machine shows its cards' addresses after `link/ether`")
    )]
    Mac(Mac),
}

/// The longest interface name, in bytes: IFNAMSIZ of linux/if.h without the closing zero.
const LONGEST_NAME: usize = 15;

impl Interface {
    /// Whether at most one card can be meant.
    pub fn is_exact(&self) -> bool {
        match self {
            Interface::Mac(_) => true,
            Interface::Name(names) => names.len() == 1 && !names[0].contains(['*', '?', '[']),
        }
    }
}

impl Default for Interface {
    /// Every Ethernet card, however it is named.
    fn default() -> Self {
        Interface::Name(vec!["en*".into(), "eth*".into()])
    }
}

impl FromStr for Interface {
    type Err = InterfaceError;

    fn from_str(text: &str) -> Result<Self, InterfaceError> {
        if let Some(mac) = Mac::read(text) {
            let Mac(bytes) = mac;
            // The lowest bit of the first byte marks a group address.
            let one_card = bytes != [0; 6] && bytes[0] & 1 == 0;
            return if one_card { Ok(Interface::Mac(mac)) } else { Err(InterfaceError::Mac(mac)) };
        }
        let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let good = |c: char| c.is_ascii_alphanumeric() || "._-*?[]".contains(c);
        match names.iter().find(|n| n.len() > LONGEST_NAME || !n.chars().all(good)) {
            Some(bad) => Err(InterfaceError::Name(bad.clone())),
            None if names.is_empty() => Err(InterfaceError::Empty),
            None => Ok(Interface::Name(names)),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interface::Mac(mac) => mac.fmt(f),
            Interface::Name(names) => f.write_str(&names.join(" ")),
        }
    }
}

impl Mac {
    /// Reads six pairs of hexadecimal digits with colons or hyphens between them.
    fn read(text: &str) -> Option<Mac> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && !p.starts_with('+'))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Mac(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

text_serde!(Interface);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_card_is_named_or_addressed() {
        for (text, kept, exact) in [
            ("52:54:00:AB:cd:01", "52:54:00:ab:cd:01", true),
            ("52-54-00-ab-cd-01", "52:54:00:ab:cd:01", true),
            ("enp1s0", "enp1s0", true),
            ("en*  eth*", "en* eth*", false),
            ("enp1s0 enp2s0", "enp1s0 enp2s0", false),
            ("eth[01]", "eth[01]", false),
        ] {
            let interface: Interface = text.parse().unwrap();
            assert_eq!(interface.to_string(), kept);
            assert_eq!(interface.is_exact(), exact, "{text}");
        }
    }

    #[test]
    fn what_names_no_card_is_refused() {
        for (text, why) in [
            ("", "no interface is named"),
            (" ", "no interface is named"),
            ("enp1s0!", "`enp1s0!` cannot be the name of an interface"),
            ("a-name-of-16-byte", "`a-name-of-16-byte` cannot be the name of an interface"),
            ("52:54:00:ab:cd", "`52:54:00:ab:cd` cannot be the name of an interface"),
            ("00:00:00:00:00:00", "00:00:00:00:00:00 is not the address of one card"),
            ("01:00:5e:00:00:01", "01:00:5e:00:00:01 is not the address of one card"),
        ] {
            assert_eq!(text.parse::<Interface>().unwrap_err().to_string(), why);
        }
    }
}
