//! Tells the store and the agent what the seed says. Start at [`write`].

use std::fs;
use std::io;

use agent::render::{self, AUTHORITY_FILE, WITNESS_AUTHORITY_FILE};
use site::{Role, Seed};

use crate::durable;
use crate::root::{AGENT_SETTINGS, Root, STORE_OF_IMAGE, STORE_SETTINGS};

/// Writes the settings of what runs on this machine, or removes them: a service without its file is not
/// started.
pub(super) fn write(root: &Root, seed: Option<&Seed>) -> io::Result<()> {
    for path in [STORE_SETTINGS, AGENT_SETTINGS, AUTHORITY_FILE, WITNESS_AUTHORITY_FILE] {
        durable::forget(&root.path(path))?;
    }
    let Some(seed) = seed else { return Ok(()) };
    let put = |path: &str, text: &str| durable::write(&root.path(path), text.as_bytes(), 0o644);
    put(AUTHORITY_FILE, &seed.ca_certificate.to_string())?;
    if let Some(witness) = &seed.pair.witness {
        put(WITNESS_AUTHORITY_FILE, &witness.certificate.to_string())?;
    }
    if seed.role == Role::Control {
        let own = fs::read_to_string(root.path(STORE_OF_IMAGE))?;
        put(STORE_SETTINGS, &render::store(seed, &own).unwrap_or_default())?;
    }
    let settings = toml::to_string(&render::settings(seed)).map_err(io::Error::other)?;
    put(AGENT_SETTINGS, &settings)
}
