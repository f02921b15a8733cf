//! Images of the demo's site for bad surroundings. Start at [`one_address`].

use std::fs;
use std::path::PathBuf;

use crate::demo::{Built, Demo, ROOMS, build, finish};
use crate::programs::kept;

/// The card at the wire `rooms` of machine a1, of b1 (src/lab/src/argv.rs makes them from the names).
const CARDS: [&str; 2] = ["52:54:00:7f:4b:c8", "52:54:00:30:74:48"];

/// Both rooms' images with one address for both machines, each from a site file of its own: as when somebody
/// has changed a file on one computer and not on the other.
///
/// # Panics
/// If a build fails.
#[must_use]
pub fn one_address(demo: &Demo) -> [PathBuf; 2] {
    let folder = demo.site.parent().expect("a site file lies in a folder");
    let text = fs::read_to_string(&demo.site).expect("the site file is text");
    [0, 1].map(|index| {
        let room = ROOMS[index];
        // Beside the first, since the keys are there.
        let file = folder.join(format!("one-address-{room}.toml"));
        fs::write(&file, with_address(&text, index)).expect("a site file can be written");
        let out = kept("faults").join("one-address").join(room);
        let _ = finish(&mut build(&file, room, &out)).well();
        Built::read(&out).disk()
    })
}

/// The site file with the address for one room, and the other room left on DHCP.
fn with_address(text: &str, index: usize) -> String {
    let card = CARDS[index];
    let room = ROOMS[index];
    format!(
        "{text}\n[room.{room}.network]\nmode = \"static\"\ninterface = \"{card}\"\n\
         addresses = [\"192.0.2.10/24\"]\n"
    )
}
