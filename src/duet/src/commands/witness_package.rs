//! `duet witness-package`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use image::compose::overlay;
use image::witness_package::{self, Request};
use serde::Serialize;

use super::Ended;
use super::options::ProfilesDir;
use crate::console::Console;
use crate::files;
use crate::places::Places;

/// Package the witness for a machine outside of the rooms: as a Debian package, or a container image
///
/// Both hold the static program duetd. The same program and version give the same bytes, whoever
/// builds them, wherever, whenever.
#[derive(Debug, clap::Args)]
pub(crate) struct WitnessPackage {
    /// What to make
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Format,

    /// Where the file goes; without it, here
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// The release's version
    #[arg(long, value_name = "V", default_value = env!("CARGO_PKG_VERSION"))]
    #[arg(value_parser = version)]
    version: String,

    /// The date of every file within, in seconds since 1970
    #[arg(long, value_name = "SECONDS", default_value_t = 0, env = "SOURCE_DATE_EPOCH")]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=LAST_DATE))]
    date: u64,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    profiles: ProfilesDir,

    /// The folder of the node's programs, duetd and initrd
    #[arg(long, value_name = "DIR", env = "DUET_NODE_PROGRAMS", hide_env_values = true)]
    node_programs: Option<PathBuf>,
}

/// The most that a tar archive's 11 octal digits hold: the year 2242.
const LAST_DATE: u64 = (1 << 33) - 1;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A Debian package
    Deb,
    /// A container image: an OCI image layout in a tar archive
    Oci,
}

/// A version as Debian takes it (deb-version(7)), and as a tag of a container image.
fn version(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || ".-~".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_digit());
    if starts && text.len() <= 40 && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err("a version begins with a digit, and has up to 40 of: letters, digits, `.`, `-` and `~`"
            .into())
    }
}

#[derive(Serialize)]
struct Made {
    file: PathBuf,
    format: witness_package::Format,
    size_bytes: usize,
    sha256: String,
}

impl WitnessPackage {
    pub(super) fn run(&self, console: &Console) -> Ended {
        let folder = self.profiles.find()?;
        let programs = match &self.node_programs {
            Some(programs) => programs.clone(),
            None => Places::now().node_programs()?,
        };
        let duetd = files::read("the node's program", &programs.join("duetd"))?;
        let overlay = overlay::load(&folder.join("../overlays/witness"))?;
        let request =
            Request { duetd: &duetd, overlay: &overlay, version: &self.version, date: self.date };
        let format = match self.format {
            Format::Deb => witness_package::Format::Deb,
            Format::Oci => witness_package::Format::Oci,
        };
        let package = witness_package::build(format, &request)?;
        files::make_folder("the package", &self.out)?;
        let file = self.out.join(&package.name);
        files::write("the package", &file, &package.bytes)?;
        let size_bytes = package.bytes.len();
        if self.json {
            console.json(&Made { file, format, size_bytes, sha256: package.sha256 })?;
        } else {
            console.result(format!(
                "{}: a {format} of {:.1} MB\n  sha256  {}\n",
                file.display(),
                size_bytes as f64 / 1e6,
                package.sha256
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_fits_both() {
        for good in ["0.1.0", "2026.11.1~rc1", "1-2"] {
            assert_eq!(version(good).as_deref(), Ok(good));
        }
        for bad in ["", "v1", "1^2", "1+3", "1/2", "1 2", &"1".repeat(41)] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
