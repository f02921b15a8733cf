//! `duet lab relay`: started by QEMU for each connection of a machine to the witness.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::ExitCode;

use super::Ended;

/// Carry standard input and output to a place on this computer; the lab's machines start it
#[derive(Debug, clap::Args)]
pub(super) struct Relay {
    /// The place
    place: SocketAddr,
}

impl Relay {
    pub(super) fn run(&self) -> Ended {
        // Standard error is the connection, too, so nothing may be said there, not even an error.
        let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
        let relayed = own(std::io::stdin().as_fd())
            .and_then(|input| Ok((input, own(std::io::stdout().as_fd())?)))
            .and_then(|(input, output)| lab::relay(input, output, self.place));
        Ok(if relayed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
