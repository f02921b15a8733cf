//! Asks this machine's TPM 2.0 to seal a secret, or to open one that it sealed, by way of
//! systemd-creds(1). Start at [`seal`] and [`unseal`].
//!
//! A secret goes through pipes and memory, never through an argument or a file. Nothing here decides what
//! is kept; whoever may ask the TPM of a running machine can open what it sealed, so this guards a drive
//! that leaves its machine, and nothing else.

use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::process::{AskError, pipe};
use crate::root::{Root, TPM, TPM_TABLE};

const PROGRAM: &str = "/usr/bin/systemd-creds";

/// What is sealed, and by what. The name is sealed too, so that nothing else that was sealed on this
/// machine is taken for the secrets.
const NAME: &str = "--name=duet.seed.secrets";
const DEVICE: &str = "--tpm2-device=/dev/tpmrm0";
/// To no measurement: each upgrade starts another kernel and initrd, a firmware update changes what the
/// machine measures, and a machine must open its secrets in both slots after either.
const TO_NO_PCR: &str = "--tpm2-pcrs=";

/// The drivers of common TPMs are built into the kernel, so the device is there when this program starts;
/// one whose self-test takes longer is waited for.
const APPEARS_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The first sealing of a machine makes the TPM's storage key. Some need many seconds for that.
const SEALED_WITHIN: Duration = Duration::from_secs(60);
const OPENED_WITHIN: Duration = Duration::from_secs(30);

/// The secret, sealed; nothing on a machine without a TPM 2.0.
pub(super) fn seal(root: &Root, secret: &[u8]) -> Result<Option<Vec<u8>>, AskError> {
    if !is_there(root, APPEARS_WITHIN) {
        return Ok(None);
    }
    let args = ["encrypt", NAME, "--with-key=tpm2", DEVICE, TO_NO_PCR, "-", "-"];
    pipe(PROGRAM, &args, secret, SEALED_WITHIN).map(|sealed| Some(sealed.to_vec()))
}

/// What was sealed, opened; nothing on a machine without a TPM 2.0.
pub(super) fn unseal(root: &Root, sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, AskError> {
    if !is_there(root, APPEARS_WITHIN) {
        return Ok(None);
    }
    let open = || pipe(PROGRAM, &["decrypt", NAME, DEVICE, "-", "-"], sealed, OPENED_WITHIN);
    // A machine that cannot open its secrets takes no part in its site, so one bad moment of a chip does
    // not decide that.
    open().or_else(|_| open()).map(Some)
}

/// Whether the kernel drives a TPM 2.0. One of which the firmware speaks is waited for.
fn is_there(root: &Root, patience: Duration) -> bool {
    let (device, table) = (root.path(TPM), root.path(TPM_TABLE));
    let began = Instant::now();
    loop {
        if device.exists() {
            return true;
        }
        if !table.exists() || began.elapsed() >= patience {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    fn put(root: &Root, path: &str) {
        fs::create_dir_all(root.path(path).parent().unwrap()).unwrap();
        fs::write(root.path(path), "").unwrap();
    }

    #[test]
    fn a_tpm_is_waited_for_only_where_the_firmware_says_that_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let never = Duration::from_secs(3600);
        assert!(!is_there(&root, never), "it did not wait for what nobody promised");
        put(&root, TPM_TABLE);
        assert!(!is_there(&root, Duration::from_millis(1)), "it does not wait for ever");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| is_there(&root, never));
            put(&root, TPM);
            assert!(waiting.join().unwrap());
        });
        fs::remove_file(root.path(TPM_TABLE)).unwrap();
        assert!(is_there(&root, Duration::ZERO), "the device is what counts");
    }

    #[test]
    fn without_a_tpm_nothing_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        assert_eq!(seal(&root, b"secret").unwrap(), None);
        assert!(unseal(&root, b"sealed").unwrap().is_none());
    }
}
