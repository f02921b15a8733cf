//! URLs that the store listens on. Start at [`Listen`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use super::error::Problem;
use super::raw::List;

/// One place to listen on: `http`, `https`, `unix` or `unixs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Encrypted.
    pub tls: bool,
    /// Where.
    pub place: Place,
}

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address; `localhost` means 127.0.0.1, as with etcd.
    Tcp {
        /// As it was written.
        host: String,
        /// What it means.
        address: IpAddr,
        /// 0 to have one chosen.
        port: u16,
    },
    /// A file.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(url: &str) -> Result<Listen, String> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| format!("`{url}` is no URL; write http://127.0.0.1:2379"))?;
        let tls = match scheme {
            "http" | "unix" => false,
            "https" | "unixs" => true,
            _ => {
                return Err(format!("`{url}` is neither http, https, unix nor unixs"));
            }
        };
        if scheme.starts_with("unix") {
            if rest.is_empty() || rest.contains('\0') {
                return Err(format!("`{url}` names no file; write unix:///run/store.sock"));
            }
            return Ok(Listen { tls, place: Place::Unix(rest.into()) });
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('/') {
            return Err(format!("`{url}` has a path; the store answers at the root only"));
        }
        let (host, port) = authority
            .rsplit_once(':')
            .ok_or_else(|| format!("`{url}` has no port; write {scheme}://{authority}:2379"))?;
        let port = port.parse().map_err(|_| format!("`{url}` has no port between 0 and 65535"))?;
        let address = address(host).ok_or_else(|| {
            format!(
                "`{url}` has no IP address to listen on; a name is taken only if it is localhost"
            )
        })?;
        Ok(Listen { tls, place: Place::Tcp { host: host.to_owned(), address, port } })
    }
}

fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6),
        None if host == "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tls { "s" } else { "" };
        match &self.place {
            Place::Tcp { host, port, .. } => write!(f, "http{s}://{host}:{port}"),
            Place::Unix(path) => write!(f, "unix{s}://{}", path.display()),
        }
    }
}

/// Reads a list, noting what is no URL and what comes twice.
pub(super) fn all(setting: &'static str, list: &List, problems: &mut Vec<Problem>) -> Vec<Listen> {
    let mut urls: Vec<Listen> = Vec::new();
    for text in &list.0 {
        match text.parse::<Listen>() {
            // Port 0 means a new one each time, so it may come twice.
            Ok(url) if urls.contains(&url) && !matches!(url.place, Place::Tcp { port: 0, .. }) => {
                problems.push(Problem::new(setting, format!("`{text}` comes twice")));
            }
            Ok(url) => urls.push(url),
            Err(reason) => problems.push(Problem::new(setting, reason)),
        }
    }
    urls
}

/// A URL that is told to clients: names are allowed, since the client looks them up.
pub(super) fn advertised(url: &str) -> Result<(), Problem> {
    let known = ["http://", "https://", "unix://", "unixs://"];
    let rest = known.into_iter().find_map(|scheme| url.strip_prefix(scheme));
    if rest.is_none_or(str::is_empty) || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let reason = format!("`{url}` is no URL that a client could use");
        return Err(Problem::new("advertise-client-urls", reason));
    }
    Ok(())
}
