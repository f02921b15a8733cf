//! Sockets as the link wants them: a dead peer is noticed, and nothing urgent waits in the kernel. Start
//! at [`listen`] and [`tune`].

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::hello::Purpose;

/// How long sent bytes may stay unacknowledged (RFC 5482). The protocol holds a peer silent after 1.5 s.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);

/// The same for a snapshot: whoever writes it to a disk may stop reading while the disk is busy, and the
/// kernel counts that, too.
const UNREAD_SNAPSHOT: Duration = Duration::from_secs(60);

/// When a silent connection is asked, and how often. Whole seconds are all that the kernel takes.
const ASK: Duration = Duration::from_secs(1);

/// How much the kernel takes that it does not send yet: what is urgent waits behind it.
const UNSENT_BYTES: u32 = 128 << 10;

/// The most bytes of a segment: such packets pass every path that carries IPv6 (RFC 8200, section 5; RFC 9293,
/// section 3.7.1). To find out that a path loses larger ones without a word takes TCP longer than
/// [`UNACKNOWLEDGED`], so a link that had begun with large ones would never come up there.
const SEGMENT: u32 = 1280 - 40 - 20;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;

/// Listens on an address. `alone` is whether a wildcard of IPv6 must leave IPv4 to another socket.
pub(super) fn listen(address: SocketAddr, alone: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the process before must not keep this one from its port.
    socket.set_reuseaddr(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED && alone {
        SockRef::from(&socket).set_only_v6(true)?;
    }
    // Those that are accepted have it too, and tell it the other end (tcp(7), `TCP_MAXSEG`).
    SockRef::from(&socket).set_tcp_mss(SEGMENT)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sets what every connection needs.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(ASK).with_interval(ASK).with_retries(2);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)
}

/// Sets what a connection needs that is used for this.
pub(super) fn tune_for(stream: &TcpStream, purpose: Purpose) -> io::Result<()> {
    match purpose {
        Purpose::Frames | Purpose::Calls => Ok(()),
        Purpose::Snapshot => SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_SNAPSHOT)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn packets_of_the_link_pass_every_path() {
        for own in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen(own.parse().unwrap(), false).unwrap();
            let address = listener.local_addr().unwrap();
            let (dialled, accepted) =
                tokio::join!(TcpStream::connect(address), async { listener.accept().await });
            for end in [dialled.unwrap(), accepted.unwrap().0] {
                let segment = SockRef::from(&end).tcp_mss().unwrap();
                assert!(segment <= SEGMENT, "{own}: {segment} bytes");
            }
        }
    }
}
