//! [`of`]: where a host is dialled.

use std::net::IpAddr;

/// `https://HOST:PORT` of a name, an address, or an address of IPv6 with a zone, which stands in brackets
/// (RFC 3986, section 3.2.2; RFC 4007, section 11).
pub(crate) fn of(host: &str, port: u16) -> String {
    let address = host.split('%').next().unwrap_or_default().parse::<IpAddr>();
    match address {
        Ok(IpAddr::V6(_)) => format!("https://[{host}]:{port}"),
        _ => format!("https://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_ipv6_stand_in_brackets() {
        for (host, url) in [
            ("b1.example.org", "https://b1.example.org:2380"),
            ("10.0.0.2", "https://10.0.0.2:2380"),
            ("2001:db8::2", "https://[2001:db8::2]:2380"),
            ("fe80::1%enp0s16", "https://[fe80::1%enp0s16]:2380"),
        ] {
            assert_eq!(of(host, 2380), url);
        }
    }
}
