//! Tells the store, the agent and Kubernetes what the seed says. Start at [`write`].

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use agent::Settings;
use agent::kubernetes::{self, AGENT_CONFIG, Facts, SERVER_CONFIG, SERVERS, TOLD, Told};
use agent::render::{self, AUTHORITY_FILE, WITNESS_AUTHORITY_FILE};
use site::seed::Secrets;
use site::{Host, Role, Seed};
use zeroize::Zeroizing;

use crate::disks;
use crate::durable;
use crate::root::{
    AGENT_SETTINGS, COMPONENTS, DISKS_SETTINGS, JOIN_TOKEN, Root, STORE_OF_IMAGE, STORE_SETTINGS,
};
use crate::status::Component;

/// The component whose settings are written where it is in the image.
const K3S: &str = "k3s";

/// Writes the settings of what runs on this machine, or removes them: a service without its file is not
/// started.
pub(super) fn write(root: &Root, known: Option<(&Seed, &Secrets)>) -> io::Result<()> {
    let of_stores = [STORE_SETTINGS, AGENT_SETTINGS, AUTHORITY_FILE, WITNESS_AUTHORITY_FILE];
    let of_k3s = [SERVER_CONFIG, AGENT_CONFIG, SERVERS, TOLD];
    for path in of_stores.into_iter().chain(of_k3s).chain([DISKS_SETTINGS]) {
        durable::forget(&root.path(path))?;
    }
    let Some((seed, secrets)) = known else { return Ok(()) };
    let put = |path: &str, text: &str| durable::write(&root.path(path), text.as_bytes(), 0o644);
    put(AUTHORITY_FILE, &seed.ca_certificate.to_string())?;
    if let Some(witness) = &seed.pair.witness {
        put(WITNESS_AUTHORITY_FILE, &witness.certificate.to_string())?;
    }
    if seed.role == Role::Control {
        let own = fs::read_to_string(root.path(STORE_OF_IMAGE))?;
        put(STORE_SETTINGS, &render::store(seed, &own).unwrap_or_default())?;
    }
    let disks = disks::Settings {
        site: seed.site.clone(),
        own_seed: seed.naming.is_seed(),
        rules: seed.disks.clone(),
    };
    put(DISKS_SETTINGS, &toml::to_string(&disks).map_err(io::Error::other)?)?;
    let settings = render::settings(seed);
    put(AGENT_SETTINGS, &toml::to_string(&settings).map_err(io::Error::other)?)?;
    match k3s(root) {
        Some(k3s) => write_kubernetes(root, seed, secrets, &settings, &k3s.version),
        None => Ok(()),
    }
}

/// The component, if this image has it.
fn k3s(root: &Root) -> Option<Component> {
    let list = fs::read_to_string(root.path(COMPONENTS)).ok()?;
    let list: Vec<Component> = serde_json::from_str(&list).ok()?;
    list.into_iter().find(|component| component.name == K3S && component.present)
}

fn write_kubernetes(
    root: &Root,
    seed: &Seed,
    secrets: &Secrets,
    settings: &Settings,
    version: &str,
) -> io::Result<()> {
    let token = Zeroizing::new(format!("{}\n", secrets.join.reveal().as_str()));
    durable::write_private(&root.path(JOIN_TOKEN), token.as_bytes())?;
    let addresses: Vec<IpAddr> =
        seed.network.addresses().iter().map(|cidr| cidr.address()).collect();
    let control: Vec<Host> = [seed.hosts(seed.room), seed.hosts(seed.room.other())].concat();
    let facts = Facts {
        settings,
        kubernetes: &seed.kubernetes,
        version,
        token_file: Path::new(JOIN_TOKEN),
        addresses: &addresses,
        control: &control,
    };
    let told = serde_json::to_string_pretty(&Told::of(&facts)).map_err(io::Error::other)?;
    durable::write(&root.path(TOLD), told.as_bytes(), 0o644)?;
    for (path, text, mode) in kubernetes::render(&facts) {
        durable::write(&root.path(path), text.as_bytes(), mode)?;
    }
    Ok(())
}
