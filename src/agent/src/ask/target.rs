//! [`Target`]: where a node may be. The address of a link has a zone, the interface behind which it lies.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};

/// The longest name: DNS has at most 253 letters, and a zone some more.
const LONGEST: usize = 300;

/// A host, or an address, with or without a port: `a1.example.org`, `10.0.0.1:8443`,
/// `[fe80::1%enp1s0]:8443`, `https://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: Option<u16>,
}

/// Not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` is no address of a node")]
#[diagnostic(
    code(usage::node),
    help("write HOST or HOST:PORT, such as 10.0.0.1, [2001:db8::1]:8443 or [fe80::1%enp1s0]:8443")
)]
pub struct BadTarget(pub String);

impl Target {
    /// The same host, at this port.
    #[must_use]
    pub fn at(self, port: u16) -> Target {
        Target { port: Some(port), ..self }
    }

    /// The same, at this port if none is said.
    #[must_use]
    pub fn or_at(self, port: u16) -> Target {
        let port = self.port.unwrap_or(port);
        self.at(port)
    }

    /// Connects to the first of its addresses that answers.
    pub(crate) async fn connect(&self, patience: Duration) -> io::Result<TcpStream> {
        let connected = async {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in self.addresses().await? {
                match TcpStream::connect(address).await {
                    Ok(socket) => {
                        socket.set_nodelay(true)?;
                        return Ok(socket);
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        match tokio::time::timeout(patience, connected).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out")),
        }
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let port = self.port.unwrap_or(443);
        if let Some((address, zone)) = self.host.split_once('%') {
            let address: Ipv6Addr = address.parse().map_err(io::Error::other)?;
            return Ok(vec![SocketAddrV6::new(address, port, 0, scope(zone)?).into()]);
        }
        Ok(lookup_host((self.host.as_str(), port)).await?.take(8).collect())
    }
}

/// The number of an interface, by its name or its number.
fn scope(zone: &str) -> io::Result<u32> {
    if let Ok(number) = zone.parse() {
        return Ok(number);
    }
    let path = format!("/sys/class/net/{zone}/ifindex");
    let there = fs::read_to_string(path);
    let number = there.ok().and_then(|text| text.trim().parse().ok());
    let gone = || io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {zone}"));
    number.ok_or_else(gone)
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Target, BadTarget> {
        let bad = || BadTarget(text.chars().take(LONGEST).collect());
        let rest = text.trim();
        let rest = rest.strip_prefix("https://").unwrap_or(rest);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(bad)?;
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').ok_or_else(bad)?),
                };
                (host, port)
            }
            // More than one colon without brackets is an address of IPv6.
            None if rest.matches(':').count() > 1 => (rest, None),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().map_err(|_| bad())).transpose()?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
        // A zone is the name of an interface and goes into a path.
        let zone_fits = !zone.is_empty() && zone.len() < 16 && zone != ".." && zone != ".";
        let zoned = !host.contains('%') || address.parse::<Ipv6Addr>().is_ok();
        let v6 = !host.contains(':') || address.parse::<Ipv6Addr>().is_ok();
        let sound = !host.is_empty() && host.len() <= LONGEST && host.chars().all(fits);
        if !(sound && zone_fits && zoned && v6) {
            return Err(bad());
        }
        Ok(Target { host: host.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]")?
        } else {
            f.write_str(host)?
        }
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts_are_read_as_people_write_them() {
        for (text, shown) in [
            ("a1.example.org", "a1.example.org:8443"),
            ("10.0.0.1:9", "10.0.0.1:9"),
            ("2001:db8::1", "[2001:db8::1]:8443"),
            ("[2001:db8::1]:9", "[2001:db8::1]:9"),
            ("https://[fe80::1%enp0s16]:2380", "[fe80::1%enp0s16]:2380"),
            ("fe80::1%3", "[fe80::1%3]:8443"),
            ("https://a1:9/", "a1:9"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().or_at(8443).to_string(), shown);
        }
        assert_eq!("a1:9".parse::<Target>().unwrap().at(8443).to_string(), "a1:8443");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "a b",
            "a:",
            "a:x",
            "a:70000",
            "[::1",
            "[::1]9",
            "a/b",
            "fe80::1%",
            "fe80::1%../x",
            "a%b",
            "x:y:z",
            "fe80::1%..",
            "\u{202e}a",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_zone_is_an_interface_of_this_machine() {
        let target: Target = "[::1%lo]:9".parse().unwrap();
        let addresses = target.addresses().await.unwrap();
        assert!(matches!(addresses[..], [SocketAddr::V6(address)] if address.scope_id() == 1));
        let target: Target = "[fe80::1%nowhere0]:9".parse().unwrap();
        let error = target.addresses().await.unwrap_err();
        assert_eq!(error.to_string(), "there is no interface nowhere0");
    }
}
