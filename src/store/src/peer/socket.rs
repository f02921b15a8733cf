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
