//! Who executes the guests' instructions. Start at [`Accelerator::probe`], which does not believe
//! that KVM works until firmware has run on it.
//!
//! `/dev/kvm` proves nothing: inside a virtual machine it can exist, accept a guest, and then fail at
//! the first unusual instruction ("KVM internal error: emulation failure") or at a register that it
//! may not set. The first hangs, the second ends QEMU, so both are waited for.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Tools;

/// With KVM the firmware needs one second; a computer on which it takes longer than this is
/// emulated all the same.
const PATIENCE: Duration = Duration::from_secs(15);
/// What the firmware says once it has initialised processor, memory and devices: the prefix of the
/// boot device selection's messages (MdeModulePkg/Universal/BdsDxe).
const ALIVE: &[u8] = b"BdsDxe: ";
/// How much of the firmware's or QEMU's words is kept.
const LONGEST: usize = 64 << 10;

/// Who executes the guests' instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor, through Linux's KVM.
    Kvm,
    /// QEMU's own emulation, 5 to 20 times slower.
    Tcg,
}

/// Which accelerator was found to work, and why it is this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What to use.
    pub accelerator: Accelerator,
    /// Why, in words for a person.
    pub reason: String,
}

impl Accelerator {
    /// KVM if firmware really runs on it, else emulation.
    pub fn probe(tools: &Tools) -> Probe {
        match try_kvm(tools) {
            Ok(took) => Probe {
                accelerator: Accelerator::Kvm,
                reason: format!("firmware ran on it in {:.1} s", took.as_secs_f64()),
            },
            Err(reason) => Probe { accelerator: Accelerator::Tcg, reason },
        }
    }

    pub(crate) fn option(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg,thread=multi",
        }
    }

    pub(crate) fn cpu(self) -> &'static str {
        match self {
            Accelerator::Kvm => "host",
            // A fifth level of page tables would be walked in software too.
            Accelerator::Tcg => "max,la57=off",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "software emulation",
        })
    }
}

/// Boots the firmware with KVM; says how long it took, or why it does not work.
fn try_kvm(tools: &Tools) -> Result<Duration, String> {
    match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err("this computer offers no KVM (there is no /dev/kvm)".into());
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err("you may not use /dev/kvm (join the group kvm)".into());
        }
        Err(error) => return Err(format!("/dev/kvm cannot be opened: {error}")),
    }
    boot_firmware(&mut firmware_only(tools), PATIENCE)
        .map_err(|why| format!("/dev/kvm is there but does not run firmware: {why}"))
}

/// A machine with firmware and a serial line, and nothing to boot.
fn firmware_only(tools: &Tools) -> Command {
    let mut command = tools.qemu();
    let code = tools.firmware().display().to_string().replace(',', ",,");
    command.args(["-nodefaults", "-no-user-config", "-machine", "q35", "-m", "128M"]);
    command.args(["-accel", Accelerator::Kvm.option(), "-cpu", Accelerator::Kvm.cpu()]);
    command.args(["-display", "none", "-serial", "stdio", "-drive"]);
    command.arg(format!("if=pflash,format=raw,unit=0,readonly=on,file={code}"));
    command
}

fn boot_firmware(command: &mut Command, limit: Duration) -> Result<Duration, String> {
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("QEMU does not start: {error}"))?;
    let (Some(serial), Some(complaints)) = (child.stdout.take(), child.stderr.take()) else {
        unreachable!("both were asked for as pipes");
    };
    let complaints = thread::spawn(move || read_to_end(complaints));
    let alive = wait_until_alive(serial, start + limit);
    end(&mut child);
    let complaints = complaints.join().unwrap_or_default();
    match alive {
        Ok(()) => Ok(start.elapsed()),
        Err(verdict) => Err(first_complaint(&complaints).unwrap_or(verdict)),
    }
}

/// Reads the serial line until the firmware is alive, the line ends, or time is up.
fn wait_until_alive(
    mut serial: impl Read + Send + 'static,
    deadline: Instant,
) -> Result<(), String> {
    let (send, receive) = mpsc::channel();
    // Ends when QEMU does, which the caller sees to.
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = serial.read(&mut chunk) {
            if send.send(chunk[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut said = Vec::new();
    loop {
        match receive.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(chunk) => said.extend(chunk),
            Err(RecvTimeoutError::Timeout) => return Err("it came to nothing in time".into()),
            Err(RecvTimeoutError::Disconnected) => return Err("QEMU ended without a word".into()),
        }
        if said.windows(ALIVE.len()).any(|window| window == ALIVE) {
            return Ok(());
        }
        if said.len() > LONGEST {
            return Err("it says much, but not that it is alive".into());
        }
    }
}

fn read_to_end(stream: impl Read) -> String {
    let mut said = Vec::new();
    let _ = stream.take(LONGEST as u64).read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

/// What QEMU complained about first, without its own name before it.
fn first_complaint(said: &str) -> Option<String> {
    let line = said.lines().find(|line| !line.contains("terminating on signal"))?;
    let line = line.trim_start_matches("qemu-system-x86_64: ").trim_start_matches("error: ");
    (!line.is_empty()).then(|| line.to_owned())
}

fn end(child: &mut Child) {
    // Both fail only for a child that has ended.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn boot(script: &str, limit_ms: u64) -> Result<Duration, String> {
        let mut command = Command::new("sh");
        boot_firmware(command.args(["-c", script]), Duration::from_millis(limit_ms))
    }

    #[test]
    fn firmware_that_speaks_is_believed_and_then_ended() {
        let took =
            boot("printf '\\033[2JBdsD'; printf 'xe: loading'; exec sleep 60", 20_000).unwrap();
        assert!(took < Duration::from_secs(20));
    }

    #[test]
    fn firmware_that_hangs_is_given_up() {
        let hang = "echo 'KVM internal error. Suberror: 1' >&2; exec sleep 60";
        assert_eq!(boot(hang, 200).unwrap_err(), "KVM internal error. Suberror: 1");
        assert_eq!(boot("exec sleep 60", 200).unwrap_err(), "it came to nothing in time");
    }

    #[test]
    fn a_qemu_that_ends_is_quoted() {
        let msr = "echo 'qemu-system-x86_64: error: failed to set MSR 0x10a' >&2; exit 1";
        assert_eq!(boot(msr, 20_000).unwrap_err(), "failed to set MSR 0x10a");
        assert_eq!(boot("exit 0", 20_000).unwrap_err(), "QEMU ended without a word");
    }
}
