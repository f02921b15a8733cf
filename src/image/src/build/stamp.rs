//! Whether a build's artefacts stand there already, unchanged.
//!
//! Beside the artefacts lies a hidden file that names the inputs they were made of, and each one's
//! size and time of change. It is no artefact: it says something about this folder only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{BuildError, Plan};
use crate::manifest::Manifest;

#[derive(Serialize, Deserialize)]
struct Stamp {
    inputs: String,
    /// Name, bytes, seconds and nanoseconds of the last change.
    artefacts: Vec<(String, u64, i64, i64)>,
}

fn path(plan: &Plan) -> PathBuf {
    // One for each disk image: both rooms' builds may share a folder.
    let last = plan.artefacts.last().map_or("", String::as_str);
    plan.out.join(format!(".{last}.stamp"))
}

fn facts(plan: &Plan) -> Option<Vec<(String, u64, i64, i64)>> {
    let fact = |name: &String| {
        let meta = fs::metadata(plan.out.join(name)).ok()?;
        Some((name.clone(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    };
    plan.artefacts.iter().map(fact).collect()
}

/// The manifest of the artefacts that stand there, if they are what this plan would make.
pub(super) fn fresh(plan: &Plan) -> Option<Manifest> {
    let stamp: Stamp = serde_json::from_slice(&fs::read(path(plan)).ok()?).ok()?;
    let unchanged = stamp.inputs == plan.inputs && stamp.artefacts == facts(plan)?;
    if unchanged { shared(plan) } else { None }
}

/// The manifest of the shared artefacts, when another room's build has made them already.
pub(super) fn shared(plan: &Plan) -> Option<Manifest> {
    let path = plan.out.join(format!("{}.manifest.json", plan.name));
    let manifest: Manifest = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let there = manifest.artefacts.iter().all(|artefact| {
        let meta = fs::metadata(plan.out.join(&artefact.name));
        meta.is_ok_and(|meta| meta.len() == artefact.size)
    });
    (manifest.inputs == plan.shared_inputs && there).then_some(manifest)
}

/// Notes that the artefacts are what the plan makes.
pub(super) fn write(plan: &Plan) -> Result<(), BuildError> {
    let artefacts = facts(plan).unwrap_or_default();
    let stamp = Stamp { inputs: plan.inputs.clone(), artefacts };
    let text = serde_json::to_vec(&stamp).expect("a stamp is plain data");
    let path = path(plan);
    fs::write(&path, text).map_err(|source| BuildError::Write { path, source })
}
