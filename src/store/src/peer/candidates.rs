//! Where the other room may be: the addresses that are set, and those of a file that is read anew each time.
//! Start at [`addresses`]. Believes nothing: an address only leads to a dial, and certificates decide.

use std::io::{self, Read as _};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::dial::Problem;
use crate::config::host;

/// How long a name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(2);

/// The most addresses of all candidates that are tried.
const ADDRESSES: usize = 16;

/// What of a file is read: four times what 64 of the longest names need.
const FILE_BYTES: u64 = 64 << 10;

/// How many of its lines: four times as many as there are addresses to try.
const FILE_LINES: usize = 64;

/// How much of a bad line is shown.
const SHOWN: usize = 80;

/// What the candidates mean now, without repetition, and what of them means nothing: first those that are
/// set, as `host:port`, then those of the file.
pub(super) async fn addresses(
    set: &[String],
    file: Option<&Path>,
) -> (Vec<SocketAddr>, Vec<Problem>) {
    let (mut names, mut problems) = (set.to_vec(), Vec::new());
    if let Some(file) = file {
        let (listed, bad) = load_file(file);
        if listed.is_empty() && bad.is_empty() && names.is_empty() {
            problems.push(Problem::NotYet { file: file.to_owned() });
        }
        names.extend(listed);
        problems.extend(bad);
    }
    let mut addresses = Vec::new();
    for found in futures_util::future::join_all(names.iter().map(|name| lookup(name))).await {
        match found {
            Err(problem) => problems.push(problem),
            Ok(found) => {
                for address in found {
                    if !addresses.contains(&address) && addresses.len() < ADDRESSES {
                        addresses.push(address);
                    }
                }
            }
        }
    }
    (addresses, problems)
}

/// The candidates of a file, and its bad lines. One that is not there yet is empty.
fn load_file(path: &Path) -> (Vec<String>, Vec<Problem>) {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes).map(drop));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), Vec::new()),
        Err(error) => (Vec::new(), vec![Problem::File { file: path.to_owned(), error }]),
        Ok(()) => parse_file(&String::from_utf8_lossy(&bytes), path),
    }
}

/// One `https://host:port` each line; `#` begins a comment.
fn parse_file(text: &str, path: &Path) -> (Vec<String>, Vec<Problem>) {
    let (mut names, mut problems) = (Vec::new(), Vec::new());
    for (line, number) in text.lines().take(FILE_LINES).zip(1..) {
        let url = line.split('#').next().unwrap_or_default().trim();
        if url.is_empty() {
            continue;
        }
        match host("peer-urls-file", url) {
            // What stands behind a space or a control character is no part of any host.
            Ok(name) if !name.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                names.push(name);
            }
            _ => problems.push(Problem::Line {
                file: path.to_owned(),
                number,
                text: url.chars().take(SHOWN).flat_map(char::escape_debug).collect(),
            }),
        }
    }
    (names, problems)
}

async fn lookup(name: &str) -> Result<Vec<SocketAddr>, Problem> {
    let failed = |error| Problem::Name { name: name.to_owned(), error };
    if let Ok(address) = name.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    if let Some(address) = zoned(name) {
        return address.map(|address| vec![address]).map_err(failed);
    }
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the name in 2 s");
    let found = timeout(LOOKUP, lookup_host(name)).await.map_err(late).and_then(|found| found);
    found.map(Iterator::collect::<Vec<_>>).map_err(failed)
}

/// `[fe80::1%enp1s0]:2380`, an address of IPv6 with the name of an interface as its zone (RFC 4007, section
/// 11); none if it is of another form. The standard library reads zones that are numbers only. The name is
/// looked up each time: an interface that comes back has another number.
fn zoned(text: &str) -> Option<io::Result<SocketAddr>> {
    let (address, port) = text.strip_prefix('[')?.split_once("]:")?;
    let (address, zone) = address.split_once('%')?;
    let (address, port): (Ipv6Addr, u16) = (address.parse().ok()?, port.parse().ok()?);
    Some(number_of(zone).map(|zone| SocketAddrV6::new(address, port, 0, zone).into()))
}

fn number_of(interface: &str) -> io::Result<u32> {
    let (family, kind) = (AddressFamily::INET6, SocketType::DGRAM);
    let any = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    netdevice::name_to_index(any, interface).map_err(|error| {
        let reason = format!("there is no network interface `{}`", interface.escape_debug());
        io::Error::new(error.kind(), reason)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fmt::Write as _;

    use super::*;

    fn texts(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn candidates_are_addresses_and_names() {
        let names = ["[::1]:7", "127.0.0.1:7", "localhost:7", "127.0.0.1:7", "nowhere.invalid:7"];
        let names: Vec<String> = names.map(str::to_owned).to_vec();
        let (found, problems) = addresses(&names, None).await;
        let mut texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        texts.sort();
        assert_eq!(texts, ["127.0.0.1:7", "[::1]:7"], "each once");
        assert!(
            matches!(&problems[..], [Problem::Name { name, .. }] if name == "nowhere.invalid:7"),
            "{problems:?}"
        );
    }

    #[tokio::test]
    async fn a_file_is_read_anew_and_comes_after_what_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("peers");
        let shown = file.display().to_string();
        let (found, problems) = addresses(&[], Some(&file)).await;
        assert!(found.is_empty());
        assert_eq!(
            texts(&problems),
            [format!("no address of the other room is known yet ({shown})")]
        );

        std::fs::write(&file, "# nobody yet\n\n").unwrap();
        let (_, problems) = addresses(&[], Some(&file)).await;
        assert!(matches!(&problems[..], [Problem::NotYet { .. }]), "{problems:?}");

        let set = ["127.0.0.1:1".to_owned()];
        std::fs::write(&file, "https://127.0.0.1:2 # b\r\n https://[fe80::1%lo]:3/\n").unwrap();
        let (found, problems) = addresses(&set, Some(&file)).await;
        let lo = number_of("lo").unwrap();
        let expected = ["127.0.0.1:1", "127.0.0.1:2", &format!("[fe80::1%{lo}]:3")]
            .map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(found, expected);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn bad_lines_are_named_and_the_others_used() {
        let text = "http://127.0.0.1:1\nhttps://127.0.0.1\nhttps://a:1 b:2\nhttps://\u{1b}[2J:1\n\
                    https://good:1\nhttps://[fe80::1%3]:9\n";
        let (names, problems) = parse_file(text, Path::new("/p"));
        assert_eq!(names, ["good:1", "[fe80::1%3]:9"]);
        assert_eq!(
            texts(&problems),
            [
                "/p, line 1: `http://127.0.0.1:1` is no https://host:port",
                "/p, line 2: `https://127.0.0.1` is no https://host:port",
                "/p, line 3: `https://a:1 b:2` is no https://host:port",
                "/p, line 4: `https://\\u{1b}[2J:1` is no https://host:port",
            ]
        );
    }

    #[tokio::test]
    async fn a_file_has_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("peers");
        let mut text = String::new();
        for port in 1..1000 {
            writeln!(text, "https://127.0.0.1:{port}").unwrap();
        }
        std::fs::write(&file, &text).unwrap();
        let (names, _) = load_file(&file);
        assert_eq!(names.len(), FILE_LINES);
        assert_eq!(addresses(&[], Some(&file)).await.0.len(), ADDRESSES);
        std::fs::write(&file, "# ".repeat(1 << 20) + "\nhttps://127.0.0.1:1\n").unwrap();
        assert!(load_file(&file).0.is_empty(), "what is beyond the bound is not read");
        let (_, problems) = load_file(folder.path());
        assert!(matches!(&problems[..], [Problem::File { .. }]), "{problems:?}");
    }

    #[test]
    fn zones_are_names_or_numbers() {
        let one: SocketAddr = "[fe80::1%7]:2380".parse().unwrap();
        assert!(matches!(one, SocketAddr::V6(address) if address.scope_id() == 7));
        let error = zoned("[fe80::1%nothing0]:2380").unwrap().unwrap_err();
        assert_eq!(error.to_string(), "there is no network interface `nothing0`");
        for other in ["host:1", "127.0.0.1:1", "[fe80::1]:1", "[fe80::x%lo]:1", "[fe80::1%lo]:x"] {
            assert!(zoned(other).is_none(), "{other}");
        }
    }
}
