//! The machine's name. Start at [`of`]: the same machine has the same name at every boot, also after its disk
//! was replaced, as long as its board or its network card stays.

use std::fs;

use ring::digest::{SHA256, digest};
use site::{Label, Naming, Seed};

use crate::root::Root;

/// The hardware's number (System Management BIOS Reference Specification, section 7.2.1).
const PRODUCT_UUID: &str = "/sys/class/dmi/id/product_uuid";

/// Where the network cards are.
const CARDS: &str = "/sys/class/net";

/// The machine's own number, where its hardware has none.
const MACHINE_ID: &str = "/etc/machine-id";

/// Numbers that whole series of boards have in common: a vendor forgot to set them.
const FORGOTTEN: [&str; 3] = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
];

/// How many digits follow what the seed says: of a hundred machines of one room, two have the same with a
/// chance of 3 in 10,000.
const DIGITS: usize = 6;

/// What the seed says, or what it begins with and six digits that identify the hardware.
pub(super) fn of(root: &Root, seed: &Seed) -> Label {
    if seed.naming == Naming::Seed {
        return seed.hostname.clone();
    }
    let hash = digest(&SHA256, identity(root).as_bytes());
    let digits = data_encoding::HEXLOWER.encode(&hash.as_ref()[..DIGITS.div_ceil(2)]);
    let name = format!("{}-{digits}", seed.hostname);
    // `site` leaves room for the digits.
    name.parse().unwrap_or_else(|_| seed.hostname.clone())
}

/// What tells this machine from all others: the board's number, else the lowest address of a card.
fn identity(root: &Root) -> String {
    let read = |path: &str| {
        let text = fs::read_to_string(root.path(path)).unwrap_or_default();
        text.trim().to_ascii_lowercase()
    };
    let uuid = read(PRODUCT_UUID);
    if uuid.len() == FORGOTTEN[0].len() && !FORGOTTEN.contains(&uuid.as_str()) {
        return uuid;
    }
    let names = fs::read_dir(root.path(CARDS)).into_iter().flatten().flatten();
    let names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    // A card has hardware; bridges and bonds take the address of one.
    let real = names.iter().filter(|name| root.path(&format!("{CARDS}/{name}/device")).exists());
    let addresses = real.map(|name| read(&format!("{CARDS}/{name}/address")));
    let lowest = addresses.filter(|address| address.len() == 17).min();
    lowest.unwrap_or_else(|| read(MACHINE_ID))
}
