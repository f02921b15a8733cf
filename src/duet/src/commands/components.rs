//! The options that say what becomes of components, for commands that build. Start at [`Components::parts`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::component::{Asked, ComponentError, Part, choose};
use image::compose::overlay;
use image::tree::Tree;
use site::Profile;

use crate::console::Console;
use crate::{files, load};

/// The largest local file of a component, in bytes: several times the largest one known.
const LARGEST: u64 = 1 << 30;

/// What is done with the profile's components.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Components {
    /// Take the component NAME from a file here, whatever its lock says; may be given again
    ///
    /// The manifest and the SBOM have the file's SHA-256 and say that it is local.
    #[arg(long = "component", value_name = "NAME=PATH", value_parser = local)]
    local: Vec<(String, PathBuf)>,

    /// Leave the optional component NAME out; may be given again
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
}

fn local(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), path.into()))
        }
        _ => Err("write NAME=PATH, such as k3s=./k3s".to_owned()),
    }
}

impl Components {
    /// Every component that the profile wants, decided.
    ///
    /// # Errors
    /// When one is required and cannot be had, a file cannot be read, or a name is none of the profile's.
    pub(crate) fn parts(&self, folder: &Path, profile: &Profile) -> miette::Result<Vec<Part>> {
        let wanted = |name: &String| profile.components.iter().any(|wish| wish.name == *name);
        let named = self.local.iter().map(|(name, _)| name).chain(&self.without);
        if let Some(name) = named.into_iter().find(|name| !wanted(name)) {
            let names: Vec<&str> =
                profile.components.iter().map(|wish| wish.name.as_str()).collect();
            let known = match names.as_slice() {
                [] => "the profile has none; write [components] in it".to_owned(),
                names => format!("the components of this profile: {}", names.join(", ")),
            };
            let (name, profile) = (name.clone(), profile.name.clone());
            return Err(ComponentError::Unwanted { name, profile, known }.into());
        }
        let components = load::components(folder, profile)?;
        let part = |(wish, component): (&site::profile::Wish, site::profile::Component)| {
            let lock = load::component_lock(folder, &wish.name)?;
            let overlay = match &component.overlay {
                Some(name) => overlay::load(&load::overlay_path(folder, name))?,
                None => Tree::default(),
            };
            let asked = self.asked(&wish.name)?;
            Ok(choose(&component, wish.need, lock.as_ref(), asked, overlay)?)
        };
        profile.components.iter().zip(components).map(part).collect()
    }

    fn asked(&self, name: &str) -> miette::Result<Asked> {
        if self.without.iter().any(|without| without == name) {
            return Ok(Asked::Without);
        }
        match self.local.iter().rev().find(|(local, _)| local == name) {
            None => Ok(Asked::Nothing),
            Some((_, path)) => {
                let bytes = files::read_at_most("the component", path, LARGEST)?;
                Ok(Asked::Local(Arc::from(bytes)))
            }
        }
    }
}

/// Says which components an image was built without.
pub(crate) fn tell_left_out(records: &[image::component::Record], console: &Console) {
    for one in records.iter().filter(|one| !one.present) {
        let why = one.why.as_deref().unwrap_or_default();
        console.warning(format!("{} is left out of this image: {why}", one.name));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_local_file_has_a_name_and_a_path() {
        assert_eq!(local("k3s=/a=b").unwrap(), ("k3s".to_owned(), PathBuf::from("/a=b")));
        for bad in ["k3s", "=x", "k3s=", ""] {
            assert!(local(bad).is_err(), "{bad}");
        }
    }
}
