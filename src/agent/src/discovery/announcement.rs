//! [`Announcement`]: what a machine says of itself on the wire, and the only way in for what is heard. Start
//! at [`Announcement::parse`].
//!
//! ```text
//!  _duet._tcp.local.  PTR  duet-ID._duet._tcp.local.
//!                     SRV  STORE duet-ID.local.          TXT  v=1 id=ID site=… room=a|b
//!  duet-ID.local.     A, AAAA                                 role=control|worker node=… store=… page=…
//! ```
//!
//! An instance is called after its [`Id`], never after the node: so two machines of one name do not fight for
//! it, and nobody's text is shown that was not read as a [`Label`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use site::{Label, Role, Room};

/// The type of the service (RFC 6763, section 7).
pub(super) const SERVICE: &str = "_duet._tcp.local.";

/// The form of the TXT record that this program writes and reads.
const VERSION: &str = "1";

/// How many addresses of one machine are kept: two cards with three each, and some more.
pub(super) const ADDRESSES: usize = 8;

/// How much of a stranger's text is shown.
const SHOWN: usize = 60;

/// Which machine, in which boot: 64 bits, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Id, ()> {
        let digits = text.len() == 16 && text.chars().all(|c| c.is_ascii_hexdigit());
        digits.then(|| u64::from_str_radix(text, 16).map(Id).ok()).flatten().ok_or(())
    }
}

impl Id {
    /// The name of the instance, without the service.
    pub(super) fn instance(self) -> String {
        format!("duet-{self}")
    }

    /// Whose instance a full name is.
    pub(super) fn of_instance(fullname: &str) -> Option<Id> {
        let lower = fullname.get(..fullname.len().min(255))?.to_ascii_lowercase();
        let instance = lower.strip_suffix(SERVICE)?.strip_suffix('.')?;
        instance.strip_prefix("duet-")?.parse().ok()
    }
}

/// Where a machine can be reached: an address, and for link-local ones of IPv6 the interface behind which it
/// is (RFC 4007, section 6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    ip: IpAddr,
    zone: Option<String>,
}

impl Address {
    /// An address that was heard on an interface of this machine; none if no machine can be reached by it.
    #[must_use]
    pub fn heard(ip: IpAddr, interface: &str, index: u32) -> Option<Address> {
        let ip = ip.to_canonical();
        let usable = match ip {
            IpAddr::V4(ip) => !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()),
            IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_multicast()),
        };
        if !usable {
            return None;
        }
        let zoned = matches!(ip, IpAddr::V6(ip) if is_unicast_link_local(ip));
        // A name may hold nearly anything; what would not survive in a URL is written as a number.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let zone = zoned.then(|| match !interface.is_empty() && interface.chars().all(plain) {
            true => interface.to_owned(),
            false => index.to_string(),
        });
        Some(Address { ip, zone })
    }

    /// The address without its zone.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Whether it means something on this wire only.
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        match self.ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => is_unicast_link_local(ip),
        }
    }

    /// As a line of the store's `peer-urls-file` has it.
    pub(super) fn url(&self, port: u16) -> String {
        match self.ip {
            IpAddr::V4(ip) => format!("https://{ip}:{port}"),
            IpAddr::V6(_) => format!("https://[{self}]:{port}"),
        }
    }

    /// What comes first where it is to be reached: routable ones, then those of IPv4, which people know.
    pub(super) fn rank(&self) -> (bool, bool, &Address) {
        (self.is_link_local(), self.ip.is_ipv6(), self)
    }
}

fn is_unicast_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

/// What a machine says of itself, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Which machine, in which boot.
    pub id: Id,
    /// The site's name.
    pub site: Label,
    /// In which room it says to stand.
    pub room: Room,
    /// What it says to be for.
    pub role: Role,
    /// Its name.
    pub node: Label,
    /// Where its store listens for the other room's: a TCP port. Of a worker, nothing is behind it, and it may
    /// be 0.
    pub store_port: u16,
    /// Where its page is: a TCP port, not 0.
    pub page_port: u16,
    /// Where it can be reached, best first; at least one of what was heard, none of what is to be said.
    pub addresses: Vec<Address>,
}

/// An announcement that is none. The texts are safe for a screen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{instance}: {reason}")]
pub struct Malformed {
    /// Who said it, as far as that can be shown.
    pub instance: String,
    /// What is wrong.
    pub reason: String,
}

impl Announcement {
    /// Reads what was heard: the instance's full name, the pairs of its TXT record, its addresses.
    ///
    /// # Errors
    /// If something is missing, is no name, or contradicts itself.
    pub fn parse<'a>(
        fullname: &str,
        txt: impl Fn(&str) -> Option<&'a [u8]>,
        addresses: impl IntoIterator<Item = Address>,
    ) -> Result<Announcement, Malformed> {
        let bad = |reason: String| Malformed { instance: shown(fullname), reason };
        let text = |key: &str| match txt(key).map(std::str::from_utf8) {
            Some(Ok(value)) => Ok(value),
            Some(Err(_)) => Err(bad(format!("{key} is no text"))),
            None => Err(bad(format!("{key} is missing"))),
        };
        let version = text("v")?;
        if version != VERSION {
            return Err(bad(format!("it speaks version {}, not {VERSION}", shown(version))));
        }
        let said = |key: &str| text(key).map(|value| (value, format!("{key}={}", shown(value))));
        let (id, wrong) = said("id")?;
        let id: Id = id.parse().map_err(|()| bad(wrong))?;
        if Id::of_instance(fullname) != Some(id) {
            return Err(bad(format!("id={id} is not what the instance is called after")));
        }
        let port = |key: &str, least: u16| {
            let (value, wrong) = said(key)?;
            value.parse().ok().filter(|port| *port >= least).ok_or_else(|| bad(wrong))
        };
        let label = |key: &str| {
            let (value, wrong) = said(key)?;
            value.parse::<Label>().map_err(|_| bad(wrong))
        };
        let (room, wrong) = said("room")?;
        let room: Room = room.parse().map_err(|_| bad(wrong))?;
        let (role, wrong) = said("role")?;
        let role: Role = role.parse().map_err(|_| bad(wrong))?;
        let mut addresses: Vec<Address> = addresses.into_iter().collect();
        addresses.sort_by(|one, other| one.rank().cmp(&other.rank()));
        addresses.dedup();
        addresses.truncate(ADDRESSES);
        if addresses.is_empty() {
            return Err(bad("no machine can be reached at its addresses".to_owned()));
        }
        Ok(Announcement {
            id,
            site: label("site")?,
            room,
            role,
            node: label("node")?,
            store_port: port("store", u16::from(role == Role::Control))?,
            page_port: port("page", 1)?,
            addresses,
        })
    }

    /// The pairs of the TXT record.
    pub(super) fn txt(&self) -> Vec<(&'static str, String)> {
        vec![
            ("v", VERSION.to_owned()),
            ("id", self.id.to_string()),
            ("site", self.site.to_string()),
            ("room", self.room.to_string()),
            ("role", self.role.to_string()),
            ("node", self.node.to_string()),
            ("store", self.store_port.to_string()),
            ("page", self.page_port.to_string()),
        ]
    }
}

/// A stranger's text as a screen may have it: short, and without anything that moves a cursor.
pub(super) fn shown(text: &str) -> String {
    let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(SHOWN).map(printable).collect()
}

/// Addresses that mean this machine itself.
pub(super) fn is_loopback(address: &Address) -> bool {
    match address.ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip == Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NAME: &str = "duet-00000000000000ff._duet._tcp.local.";

    fn address(text: &str) -> Option<Address> {
        Address::heard(text.parse().unwrap(), "enp0s16", 3)
    }

    /// What comes of an announcement in which some pairs are changed; a value of `-` takes one away.
    fn parse(name: &str, changes: &[(&str, &str)]) -> Result<Announcement, String> {
        let good = [
            ("v", "1"),
            ("id", "00000000000000ff"),
            ("site", "demo"),
            ("room", "b"),
            ("role", "control"),
            ("node", "demo-b1"),
            ("store", "2380"),
            ("page", "2382"),
            ("later", "unknown keys are passed over"),
        ];
        let find = |key: &str| {
            let mut all = changes.iter().chain(&good);
            let value = all.find(|(name, _)| *name == key).map(|(_, value)| *value)?;
            (value != "-").then_some(value.as_bytes())
        };
        let addresses = ["fe80::2", "10.0.0.2", "fd00::2", "10.0.0.2"];
        let addresses = addresses.iter().filter_map(|text| address(text));
        Announcement::parse(name, find, addresses).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_is_heard() {
        let heard = parse(NAME, &[]).unwrap();
        let shown: Vec<String> = heard.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.2", "fd00::2", "fe80::2%enp0s16"], "routable ones first");
        assert_eq!(heard.addresses[2].url(7), "https://[fe80::2%enp0s16]:7");
        assert_eq!(heard.addresses[0].url(7), "https://10.0.0.2:7");
        let txt = heard.txt();
        let find = |key: &str| {
            txt.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_bytes())
        };
        assert_eq!(Announcement::parse(NAME, find, heard.addresses.clone()).unwrap(), heard);
        assert_eq!(Id::of_instance(&NAME.to_uppercase()), Some(Id(255)), "DNS knows no case");
    }

    #[test]
    fn what_is_malformed_is_refused_with_words_for_a_screen() {
        let long = "x".repeat(64);
        for (name, changes, reason) in [
            (NAME, ("v", "2"), "it speaks version 2, not 1"),
            (NAME, ("v", "-"), "v is missing"),
            (NAME, ("id", "ff"), "id=ff"),
            (NAME, ("id", "00000000000000fe"), "is not what the instance is called after"),
            ("other._duet._tcp.local.", ("v", "1"), "is not what the instance is called after"),
            (NAME, ("site", "Demo"), "site=Demo"),
            (NAME, ("site", long.as_str()), "site=xxx"),
            (NAME, ("node", "a\u{1b}[2Jb"), "node=a?[2Jb"),
            (NAME, ("node", "a\nb"), "node=a?b"),
            (NAME, ("room", "c"), "room=c"),
            (NAME, ("role", "king"), "role=king"),
            (NAME, ("store", "0"), "store=0"),
            (NAME, ("store", "65536"), "store=65536"),
            (NAME, ("page", "-"), "page is missing"),
        ] {
            let error = parse(name, &[changes]).unwrap_err();
            assert!(error.contains(reason), "{changes:?}: {error}");
            assert!(!error.contains(char::is_control) && error.len() < 300, "{error:?}");
        }
        assert!(parse(NAME, &[("store", "0"), ("role", "worker")]).is_ok());
        let nowhere = Announcement::parse(
            NAME,
            |key| Some(if key == "v" { b"1" } else { &b"\xff"[..] }),
            Vec::new(),
        );
        assert!(nowhere.unwrap_err().to_string().contains("id is no text"));
    }

    #[test]
    fn addresses_that_lead_to_nobody_are_none() {
        for text in
            ["0.0.0.0", "224.0.0.251", "255.255.255.255", "::", "ff02::fb", "::ffff:0.0.0.0"]
        {
            assert_eq!(address(text), None, "{text}");
        }
        assert_eq!(address("::ffff:10.0.0.1").unwrap().to_string(), "10.0.0.1");
        let strange = Address::heard("fe80::1".parse().unwrap(), "a#b c", 9).unwrap();
        assert_eq!(strange.to_string(), "fe80::1%9");
        assert!(address("169.254.1.1").unwrap().is_link_local());
    }
}
