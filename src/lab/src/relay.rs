//! Carries one connection of a machine to a place on this computer's loopback. Start at [`relay`]. QEMU
//! starts it (`duet lab relay`) with the connection as standard input, output *and* error, so it never
//! says a word of its own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long the other direction may go on when one has ended. Nobody tells a relay that its machine was
/// switched off while it waits for an answer, and it must not stay behind.
const REST: Duration = Duration::from_secs(5);
/// How long the place may take to take the connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// The bytes that are carried at once.
const PIECE: usize = 16 << 10;

/// Carries bytes both ways until either side has ended and the other one has had a moment to.
///
/// # Errors
/// If nobody takes the connection at `to`.
pub fn relay(input: File, output: File, to: SocketAddr) -> io::Result<()> {
    let there = TcpStream::connect_timeout(&to, PATIENCE)?;
    there.set_nodelay(true)?;
    let (back, told) = (there.try_clone()?, there.try_clone()?);
    let (ended, ends) = mpsc::channel();
    let other = ended.clone();
    thread::spawn(move || {
        carry(input, there);
        let _ = told.shutdown(Shutdown::Write);
        let _ = ended.send(());
    });
    thread::spawn(move || {
        carry(back, output);
        let _ = other.send(());
    });
    if ends.recv().is_ok() {
        let _ = ends.recv_timeout(REST);
    }
    Ok(())
}

/// Until the end, or until one side fails: to the other one that is an end, too.
fn carry(mut from: impl Read, mut to: impl Write) {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                if to.write_all(&piece[..length]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn bytes_go_both_ways_until_one_side_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let (mut guest, qemu) = UnixStream::pair().unwrap();
        let input = File::from(OwnedFd::from(qemu.try_clone().unwrap()));
        let output = File::from(OwnedFd::from(qemu));
        let relaying = thread::spawn(move || relay(input, output, to));
        let (mut place, _) = listener.accept().unwrap();
        guest.write_all(b"question").unwrap();
        let mut said = [0; 8];
        place.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"question");
        place.write_all(b"answer").unwrap();
        let mut said = [0; 6];
        guest.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"answer");
        // The machine goes off: the place is told, and ends.
        drop(guest);
        assert_eq!(place.read(&mut [0; 8]).unwrap(), 0);
        drop(place);
        relaying.join().unwrap().unwrap();
    }

    #[test]
    fn without_anybody_there_it_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        drop(listener);
        let (_guest, qemu) = UnixStream::pair().unwrap();
        let input = File::from(OwnedFd::from(qemu.try_clone().unwrap()));
        let output = File::from(OwnedFd::from(qemu));
        assert!(relay(input, output, to).is_err());
    }
}
