//! `duet site new`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use site::keys::{FOLDER, KeyFile, SiteKeys, WitnessKeys};
use site::pair::Place;
use site::{Label, Site, SshKey};

use super::Ended;
use crate::console::{Console, wrapped};
use crate::files::{self, FileError};
use crate::load;

/// Everything in the site's folder that git should not keep.
const IGNORED: &str = "# Secrets, and what is built.\n/keys/\n/witness/\n/build/\n";

/// The folder beside the site file with what goes to the witness' machine.
const WITNESS_FOLDER: &str = "witness";

/// Columns of the advice on keys, so that it reads well on any terminal.
const ADVICE: usize = 72;

/// A name that machines cannot be named after.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the site cannot be named `{name}`")]
#[diagnostic(code(usage::name), help("a name has 1 to 40 of: a-z, 0-9 and `-`, such as my-campus"))]
struct BadName {
    name: String,
    #[source]
    source: site::LabelError,
}

/// Make a site: a commented site.toml, and new keys
///
/// Nothing is ever overwritten. Who may log in to the machines is said with --ssh-key; without it a key
/// pair for that is made too, `keys/ssh`, if ssh-keygen is installed.
#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// The site's name; or its folder, which is named like the site
    name: PathBuf,

    /// The folder to make, if it is not to be named like the site
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// A public key whose owner may log in to every machine, such as `~/.ssh/id_ed25519.pub`
    #[arg(long, value_name = "FILE")]
    ssh_key: Vec<PathBuf>,

    /// Give the site a witness of its own at HOST:PORT (such as witness.example.org:7411), and make its
    /// keys, in `witness`; 10.0.3.100:7411 is the lab's
    #[arg(long, value_name = "HOST:PORT")]
    witness: Option<Place>,
}

impl New {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let name = self.name.file_name().unwrap_or(self.name.as_os_str()).to_string_lossy();
        let bad = |source| BadName { name: name.clone().into_owned(), source };
        let name: Label = name.parse().map_err(bad)?;
        let folder = self.dir.as_ref().unwrap_or(&self.name);
        let given: Vec<SshKey> =
            self.ssh_key.iter().map(|path| load::ssh_key(path)).collect::<Result<_, _>>()?;
        refuse_to_overwrite(folder)?;
        let keys = SiteKeys::generate(&name, load::now())?.files();

        // Everything is made in a folder of its own and then given its names, site.toml last: whoever
        // finds that has the keys too.
        files::make_folder("the site's folder", folder)?;
        let draft = files::draft_folder("the site's folder", folder)?;
        let key_folder = draft.path().join(FOLDER);
        files::make_private_folder("the folder of keys", &key_folder)?;
        for key in &keys {
            let path = key_folder.join(key.name);
            files::write_new("the key", &path, key.mode, key.contents.as_bytes())?;
        }
        let mut ssh_keys = given;
        let made = ssh_keys.is_empty().then(|| make_ssh_key(&key_folder, &name)).flatten();
        ssh_keys.extend(made.clone());
        let witness =
            self.witness.as_ref().map(|_| WitnessKeys::generate(load::now())).transpose()?;
        let witness_folder = draft.path().join(WITNESS_FOLDER);
        if let Some(witness) = &witness {
            files::make_private_folder("the witness' folder", &witness_folder)?;
            for key in witness.files() {
                let path = witness_folder.join(key.name);
                files::write_new("the key", &path, key.mode, key.contents.as_bytes())?;
            }
        }
        let asked = self.witness.as_ref().zip(witness.as_ref().map(WitnessKeys::authority));
        let text = Site::template(&name, &ssh_keys, asked);
        files::write("the site file", &draft.path().join("site.toml"), text.as_bytes())?;
        files::rename("the folder of keys", &key_folder, &folder.join(FOLDER))?;
        if witness.is_some() {
            files::rename("the witness' folder", &witness_folder, &folder.join(WITNESS_FOLDER))?;
        }
        if !folder.join(".gitignore").exists() {
            files::write("the site's .gitignore", &folder.join(".gitignore"), IGNORED.as_bytes())?;
        }
        let site_file = folder.join("site.toml");
        files::rename("the site file", &draft.path().join("site.toml"), &site_file)?;

        console.result(summary(&name, folder, &keys, witness.as_ref(), made.is_some()))?;
        if ssh_keys.is_empty() {
            console.warning("nobody can log in to the machines: ssh-keygen is not installed");
            console.hint(format!("paste a public key into [ssh] of {}", site_file.display()));
        }
        let file = site_file.display();
        console
            .hint(format!("look through {file}, then: duet build control --site {file} --room a"));
        Ok(ExitCode::SUCCESS)
    }
}

fn refuse_to_overwrite(folder: &Path) -> Result<(), FileError> {
    let ours = [
        ("a site file", "site.toml"),
        ("a folder of keys", FOLDER),
        ("the witness' folder", WITNESS_FOLDER),
    ];
    for (what, name) in ours {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(FileError::Exists { what, path });
        }
    }
    Ok(())
}

/// A key pair for logging in, made by OpenSSH's own program; none if that is not there.
fn make_ssh_key(folder: &Path, site: &Label) -> Option<SshKey> {
    let path = folder.join("ssh");
    let mut command = Command::new("ssh-keygen");
    command.args([
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        &format!("{site} by duet site new"),
        "-f",
    ]);
    command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let made = command.status().is_ok_and(|status| status.success());
    made.then(|| load::ssh_key(&path.with_extension("pub")).ok()).flatten()
}

fn summary(
    name: &Label,
    folder: &Path,
    keys: &[KeyFile],
    witness: Option<&WitnessKeys>,
    with_ssh: bool,
) -> String {
    let mut text = format!("site {name} is in {}\n\n", folder.display());
    let mut line = |file: &str, secret: bool, advice: &str| {
        let secret = if secret { "  SECRET" } else { "" };
        let _ = writeln!(text, "  {file}{secret}");
        for advice in wrapped(advice, ADVICE) {
            let _ = writeln!(text, "      {advice}");
        }
    };
    line(
        "site.toml",
        false,
        "says what the site is: rooms, networks, who may log in. Yours to edit.",
    );
    for key in keys {
        line(&format!("{FOLDER}/{}", key.name), key.is_secret(), key.advice);
    }
    for key in witness.iter().flat_map(|witness| witness.files()) {
        line(&format!("{WITNESS_FOLDER}/{}", key.name), key.is_secret(), key.advice);
    }
    if with_ssh {
        let advice = "logs in to every machine, as `duet lab ssh` does. Replace it in site.toml by the \
                      keys of the people who may.";
        line(load::SSH_KEY, true, advice);
    }
    text
}
