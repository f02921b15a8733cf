//! `duet lab run` on the demo's images: what came of each scenario. Start at [`outcomes`].

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::demo::{Demo, cache};
use crate::programs::{duet, hold, kept};
use crate::run::run;

/// All scenarios take a quarter of an hour of software emulation on a quiet computer with two cores.
const LIMIT: Duration = Duration::from_secs(2400);

/// Runs scenarios, one after the other, on one lab of machines with blank disks, with a witness and perhaps
/// with a machine of another site on the same wire.
///
/// # Panics
/// If the program says something else than a report.
#[must_use]
#[track_caller]
pub fn outcomes(demo: &Demo, names: &[&str], stranger: Option<&Path>) -> Vec<Value> {
    let images = [demo.rooms[0].disk(), demo.rooms[1].disk()];
    let stranger = stranger.map(|disk| vec![OsStr::new("--stranger"), disk.as_os_str()]);
    outcomes_of(demo, &images, names, &stranger.unwrap_or_default())
}

/// The same with other images of the demo's site, and with further words for `duet lab run`.
///
/// # Panics
/// If the program says something else than a report.
#[must_use]
#[track_caller]
pub fn outcomes_of(
    demo: &Demo,
    images: &[PathBuf; 2],
    names: &[&str],
    more: &[&OsStr],
) -> Vec<Value> {
    let _alone = hold("machines");
    let mut command = duet();
    command.args(["lab", "run", "--json", "--dir"]).arg(kept("labs").join("site")).args(names);
    command.arg("--image-a").arg(&images[0]).arg("--image-b").arg(&images[1]).args(more);
    command.arg("--site").arg(&demo.site).arg("--witness").arg(demo.witness());
    let said = run(command.env("DUET_CACHE", cache()), LIMIT);
    let report: Value = serde_json::from_str(&said.out)
        .unwrap_or_else(|error| panic!("no report: {error}\n{}\n{}", said.out, said.err));
    report["scenarios"].as_array().cloned().unwrap_or_default()
}

/// What happened in a scenario, a line each.
#[must_use]
pub fn told(outcome: &Value) -> String {
    let events = outcome["events"].as_array().into_iter().flatten();
    events.map(|event| format!("{} {}\n", event["seconds"], event["what"])).collect()
}
