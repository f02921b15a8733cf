//! A machine's TPM: swtpm from the tools tree, one process for each machine that has one. Start at
//! [`start`]. It is on while its machine is: it ends by itself when QEMU leaves it, and is looked for when
//! the machine's remains are cleared. What it holds stays, as in a chip, until the machine becomes a new one.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::daemon::{Daemon, Ready};
use crate::lab::{Leave, remove_dir, remove_empty_dir};
use crate::places::{MachinePlaces, TpmPlaces};
use crate::{LabError, Tools, notes};

/// Starts the TPM of a machine that is about to be switched on. [`clear`] has been called.
pub(crate) fn start(machine: &str, own: &MachinePlaces, tools: &Tools) -> Result<(), LabError> {
    let data = &own.tpm.daemon.data;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(LabError::system("make", data))?;
    let (program, before) = tools.swtpm()?;
    let mut daemon = daemon(machine, &own.tpm);
    daemon.program = program;
    daemon.arguments.splice(..0, before);
    daemon.start()
}

/// Ends the TPM of a machine that is off, if it has not ended by itself, and removes its socket.
pub(crate) fn clear(machine: &str, own: &MachinePlaces) -> Result<(), LabError> {
    daemon(machine, &own.tpm).kill()?;
    notes::remove(&own.tpm.socket)
}

/// Makes the machine's next TPM one that was never used.
pub(crate) fn forget(own: &MachinePlaces) -> Result<(), LabError> {
    remove_dir(&own.tpm.daemon.data)
}

/// Removes what is left of the TPM of a machine that is off.
pub(crate) fn remove(own: &MachinePlaces, leave: Leave) -> Result<(), LabError> {
    forget(own)?;
    if leave == Leave::Nothing {
        notes::remove(&own.tpm.daemon.log)?;
    }
    remove_empty_dir(&own.tpm.daemon.dir);
    Ok(())
}

/// The process by its own arguments. They are enough to find it and to end it, without the tools tree.
fn daemon(machine: &str, places: &TpmPlaces) -> Daemon {
    let option = |before: &str, path: &Path| {
        let mut word = OsString::from(before);
        word.push(path);
        word.push(",mode=0600");
        word
    };
    let arguments = vec![
        "socket".into(),
        "--tpm2".into(),
        // When QEMU ends, however it does.
        "--terminate".into(),
        "--tpmstate".into(),
        option("dir=", &places.daemon.data),
        "--ctrl".into(),
        option("type=unixio,path=", &places.socket),
    ];
    Daemon {
        name: format!("TPM of machine {machine}"),
        program: PathBuf::new(),
        arguments,
        ready: Ready::Opens(places.socket.clone()),
        places: places.daemon.clone(),
    }
}
