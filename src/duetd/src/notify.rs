//! Tells systemd that the service is ready and alive (sd_notify(3)). Outside a service it says
//! nothing.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The way to systemd, if there is one.
#[derive(Debug)]
pub(crate) struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Uses the socket that systemd names in `NOTIFY_SOCKET`: a path, or an abstract name after `@`.
    pub(crate) fn new(socket: Option<&str>) -> io::Result<Notifier> {
        let Some(name) = socket else { return Ok(Notifier(None)) };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        Ok(Notifier(Some((UnixDatagram::unbound()?, address))))
    }

    /// Sends one or more assignments, such as `READY=1`.
    pub(crate) fn say(&self, state: &str) -> io::Result<()> {
        match &self.0 {
            Some((socket, address)) => socket.send_to_addr(state.as_bytes(), address).map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn systemd_hears_what_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str()).unwrap();
        notifier.say("READY=1").unwrap();
        let mut heard = [0; 64];
        let count = systemd.recv(&mut heard).unwrap();
        assert_eq!(&heard[..count], b"READY=1");
        Notifier::new(None).unwrap().say("READY=1").unwrap();
    }
}
