//! Who may know whom: the floors of ARCHITECTURE.md's table against the crates' Cargo.toml files.
//!
//! Start at [`point_downward`]. The table is the truth; this file holds no crate's name.

use std::collections::BTreeMap;

use crate::Tree;

const MAP: &str = "ARCHITECTURE.md";

/// The floors, lowest first, by the words of the table's second column.
const FLOORS: [&str; 4] = ["ground", "room", "program", "roof"];

/// A dependency within the workspace must lie on a lower floor than what depends on it.
pub(crate) fn point_downward(tree: &Tree) -> Vec<String> {
    let floors = floors(tree);
    let mut findings = Vec::new();
    for (name, path, manifest) in crates(tree) {
        let manifest: toml::Table = match manifest.parse() {
            Ok(manifest) => manifest,
            Err(error) => {
                findings.push(format!("{path}: {}", error.message()));
                continue;
            }
        };
        for other in dependencies(&manifest) {
            let (Some(from), Some(to)) = (floors.get(&name), floors.get(&other)) else { continue };
            if to >= from {
                let (from, to) = (FLOORS[*from], FLOORS[*to]);
                findings.push(format!("{path}: {name} ({from}) may not depend on {other} ({to})"));
            }
        }
    }
    findings
}

/// The table has a line for every crate, with a floor, and no line for a crate that is gone.
pub(crate) fn map_shows_every_crate(tree: &Tree) -> Vec<String> {
    let shown = table(tree);
    let mut findings = Vec::new();
    for (name, path, _) in crates(tree) {
        if !shown.contains_key(&name) {
            findings.push(format!("{path}: {MAP} does not show {name}"));
        }
    }
    for (name, floor) in &shown {
        if !crates(tree).iter().any(|(known, ..)| known == name) {
            findings.push(format!("{MAP}: shows {name}, which is not there"));
        }
        if !FLOORS.contains(&floor.as_str()) {
            findings.push(format!("{MAP}: puts {name} on {floor:?}, which is no floor"));
        }
    }
    findings
}

/// Crates in the folders that the workspace names: name, path of the manifest, its text. What stands in
/// a folder on the roof and is not named there, such as the fuzz targets, is no crate of the workspace.
fn crates(tree: &Tree) -> Vec<(String, &str, &str)> {
    let members = members(tree);
    let named = |path: &str| match path.split('/').collect::<Vec<_>>()[..] {
        ["src", name, "Cargo.toml"] => Some(name.to_owned()),
        ["tests", "Cargo.toml"] => Some("tests".to_owned()),
        ["tests", name, "Cargo.toml"] if members.contains(&format!("tests/{name}")) => {
            Some(name.to_owned())
        }
        _ => None,
    };
    tree.iter()
        .filter_map(|(path, text)| Some((named(path)?, path.as_str(), text.as_str())))
        .collect()
}

/// What the workspace names one by one.
fn members(tree: &Tree) -> Vec<String> {
    let manifest = tree.get("Cargo.toml").and_then(|text| text.parse::<toml::Table>().ok());
    let members = manifest.and_then(|manifest| manifest.get("workspace")?.get("members").cloned());
    members.and_then(|members| members.try_into().ok()).unwrap_or_default()
}

/// All that a manifest depends on: for running, testing and building, also under `[target.…]`.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        if ["dependencies", "dev-dependencies", "build-dependencies"].contains(&key.as_str()) {
            for (name, wanted) in table {
                let renamed = wanted.get("package").and_then(|package| package.as_str());
                names.push(renamed.unwrap_or(name).to_owned());
            }
        } else if key == "target" {
            names.extend(table.values().filter_map(|one| one.as_table()).flat_map(dependencies));
        }
    }
    names
}

fn floors(tree: &Tree) -> BTreeMap<String, usize> {
    let height = |floor: &String| FLOORS.iter().position(|known| known == floor);
    table(tree).iter().filter_map(|(name, floor)| Some((name.clone(), height(floor)?))).collect()
}

/// Name and floor of each line of the map's table whose first cell is a name in back quotes.
fn table(tree: &Tree) -> BTreeMap<String, String> {
    let map = tree.get(MAP).map_or("", String::as_str);
    let mut after_head = false;
    let mut shown = BTreeMap::new();
    for line in map.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells[..] {
            ["", "crate", "floor", ..] => after_head = true,
            ["", name, floor, ..] if after_head => {
                if let Some(name) = name.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
                    shown.insert(name.to_owned(), floor.to_owned());
                }
            }
            _ => after_head = false,
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    const TABLE: &str = "\
| crate | floor | what |
|---|---|---|
| `tests` | roof | t |
| `top` | program | p |
| `left` | room | l |
| `right` | room | r |
| `below` | ground | g |

| other | table |
|---|---|
| `noise` | ground |
";

    fn with(crates: &[(&str, &str)]) -> Tree {
        let mut tree = tree(&[(MAP, TABLE)]);
        for name in ["top", "left", "right", "below"] {
            tree.insert(format!("src/{name}/Cargo.toml"), "[package]".into());
        }
        tree.insert("tests/Cargo.toml".into(), "[dev-dependencies]\ntop = \"1\"".into());
        for (name, text) in crates {
            tree.insert(format!("src/{name}/Cargo.toml"), (*text).to_owned());
        }
        tree
    }

    #[test]
    fn downward_is_fine() {
        let tree = with(&[("top", "[dependencies]\nleft.workspace = true\nserde = \"1\"")]);
        assert_eq!(point_downward(&tree), [""; 0]);
        assert_eq!(map_shows_every_crate(&tree), [""; 0]);
    }

    #[test]
    fn upward_and_sideways_are_found() {
        let found = |name, manifest| point_downward(&with(&[(name, manifest)])).join("\n");
        assert_eq!(
            found("below", "[dependencies]\nleft.workspace = true"),
            "src/below/Cargo.toml: below (ground) may not depend on left (room)"
        );
        assert!(
            found("left", "[dev-dependencies]\nright.workspace = true").contains("right (room)")
        );
        assert!(found("left", "[build-dependencies]\ntop = { path = \"../top\" }").contains("top"));
        assert!(
            found("left", "[target.'cfg(unix)'.dependencies]\ntop.workspace = true")
                .contains("top")
        );
        assert!(
            found("left", "[dependencies]\nt = { package = \"top\" }").contains("top (program)")
        );
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_found() {
        assert_eq!(point_downward(&with(&[("left", "[dependencies")])).len(), 1);
    }

    #[test]
    fn a_crate_missing_from_the_map_is_found() {
        let tree = with(&[("newcomer", "")]);
        assert_eq!(
            map_shows_every_crate(&tree),
            ["src/newcomer/Cargo.toml: ARCHITECTURE.md does not show newcomer"]
        );
    }

    #[test]
    fn a_crate_on_the_roof_is_found_if_the_workspace_names_it() {
        let mut tree = with(&[]);
        tree.insert("tests/loft/Cargo.toml".into(), "[dependencies]\ntests = \"1\"".into());
        assert_eq!(map_shows_every_crate(&tree), [""; 0]);
        tree.insert("Cargo.toml".into(), "[workspace]\nmembers = [\"tests/loft\"]".into());
        assert_eq!(
            map_shows_every_crate(&tree),
            ["tests/loft/Cargo.toml: ARCHITECTURE.md does not show loft"]
        );
        tree.insert(MAP.into(), TABLE.replace("| `top`", "| `loft` | roof | o |\n| `top`"));
        let found = point_downward(&tree).join("\n");
        assert!(found.contains("loft (roof) may not depend on tests (roof)"), "{found}");
    }

    #[test]
    fn a_line_without_a_crate_or_a_floor_is_found() {
        let mut tree = with(&[]);
        tree.remove("src/right/Cargo.toml");
        tree.insert(MAP.into(), TABLE.replace("program", "cellar"));
        let found = map_shows_every_crate(&tree).join("\n");
        assert!(found.contains("shows right, which is not there"), "{found}");
        assert!(found.contains("puts top on \"cellar\""), "{found}");
        assert!(!found.contains("noise"), "{found}");
    }
}
