//! A profile that something is built from is locked, so that a clean checkout builds what was tested.

use crate::Tree;

/// A profile with a role, or with tools to unpack, has its lock beside it; the others are only
/// inherited from. A lock has its profile.
pub(crate) fn are_locked(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.starts_with("profiles/")) {
        if let Some(name) = path.strip_suffix(".lock") {
            let profile = format!("{name}.toml");
            if !tree.contains_key(&profile) {
                findings.push(format!("{path}: locks {profile}, which is not there"));
            }
        } else if let Some(name) = path.strip_suffix(".toml") {
            let profile: toml::Table = match text.parse() {
                Ok(profile) => profile,
                Err(error) => {
                    findings.push(format!("{path}: {}", error.message()));
                    continue;
                }
            };
            let lock = format!("{name}.lock");
            if is_built_from(&profile) && tree.get(&lock).is_none_or(|lock| lock.trim().is_empty())
            {
                findings.push(format!("{path}: {lock} is missing or empty; run `duet lock`"));
            }
        }
    }
    findings
}

fn is_built_from(profile: &toml::Table) -> bool {
    let tools = profile.get("packages").and_then(|packages| packages.get("tools"));
    profile.contains_key("role") || tools.is_some_and(|tools| tools.as_array() != Some(&Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn an_unlocked_profile_is_found() {
        let tree = tree(&[
            ("profiles/base.toml", "[packages]\nroot = [\"systemd\"]"),
            ("profiles/control.toml", "role = \"control\""),
            ("profiles/control.lock", "version = 1"),
            ("profiles/worker.toml", "role = \"worker\""),
            ("profiles/tools.toml", "[packages]\ntools = [\"qemu\"]"),
            ("profiles/tools.lock", "\n"),
            ("profiles/gone.lock", "version = 1"),
            ("profiles/broken.toml", "role ="),
        ]);
        let found = are_locked(&tree).join("\n");
        let of =
            |name: &str| found.lines().any(|line| line.starts_with(&format!("profiles/{name}")));
        assert!(
            of("worker.toml") && of("tools.toml") && of("gone.lock") && of("broken.toml"),
            "{found}"
        );
        assert_eq!(found.lines().count(), 4, "{found}");
    }
}
