//! A profile that something is built from is locked, so that a clean checkout builds what was tested.

use std::collections::BTreeMap;

use crate::Tree;

/// A profile that no other inherits from has its lock beside it or names the profile whose lock it uses,
/// and a lock has its profile. A component below profiles/components has its lock likewise.
pub(crate) fn are_locked(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let mut profiles: BTreeMap<&str, toml::Table> = BTreeMap::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.starts_with("profiles/")) {
        let Some(name) = path.strip_suffix(".toml") else { continue };
        match text.parse::<toml::Table>() {
            // The reviewed list of maintainer scripts lies beside the profiles and is none.
            Ok(list) if list.contains_key("script") => {}
            Ok(profile) => drop(profiles.insert(name, profile)),
            Err(error) => findings.push(format!("{path}: {}", error.message())),
        }
    }
    let borrowed = |profile: &&toml::Table| profile.get("lock").is_some_and(toml::Value::is_str);
    let inherited: Vec<String> = profiles
        .values()
        .filter(|profile| !borrowed(profile))
        .filter_map(|profile| profile.get("inherit")?.as_str())
        .map(|name| format!("profiles/{name}"))
        .collect();
    for (name, profile) in
        profiles.iter().filter(|(name, _)| !inherited.contains(&name.to_string()))
    {
        let owner = match profile.get("lock").and_then(toml::Value::as_str) {
            Some(owner) => format!("profiles/{owner}"),
            None => (*name).to_owned(),
        };
        if tree.get(&format!("{owner}.lock")).is_none_or(|lock| lock.trim().is_empty()) {
            findings.push(format!("{name}.toml: its lock is missing or empty; run `duet lock`"));
        }
    }
    for name in tree.keys().filter_map(|path| path.strip_suffix(".lock")) {
        if name.starts_with("profiles/") && !tree.contains_key(&format!("{name}.toml")) {
            findings.push(format!("{name}.lock: there is no {name}.toml"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn an_unlocked_profile_is_found() {
        let tree = tree(&[
            ("profiles/base.toml", "[packages]\nroot = [\"systemd\"]"),
            ("profiles/control.toml", "inherit = \"base\"\nrole = \"control\""),
            ("profiles/control.lock", "version = 1"),
            ("profiles/lab.toml", "inherit = \"control\"\nlock = \"control\""),
            ("profiles/stray.toml", "inherit = \"control\"\nlock = \"gone-too\""),
            ("profiles/components/k3s.toml", "version = \"v1\""),
            ("profiles/worker.toml", "inherit = \"base\"\nrole = \"worker\""),
            ("profiles/tools.toml", "[packages]\ntools = [\"qemu\"]"),
            ("profiles/tools.lock", "\n"),
            ("profiles/gone.lock", "version = 1"),
            ("profiles/broken.toml", "role ="),
            ("Cargo.lock", "version = 4"),
        ]);
        let found = are_locked(&tree).join("\n");
        for name in [
            "worker.toml",
            "tools.toml",
            "gone.lock",
            "broken.toml",
            "stray.toml",
            "components/k3s.toml",
        ] {
            let start = format!("profiles/{name}: ");
            assert!(found.lines().any(|line| line.starts_with(&start)), "{name} in {found}");
        }
        assert_eq!(found.lines().count(), 6, "{found}");
    }
}
