//! What maintainer scripts would have done, and who has seen to it.
//!
//! Start at [`review`]. No maintainer script runs. What debhelper generates is known and left out;
//! what remains of a script must be in the reviewed list, by its hash, with what does its work
//! here. Anything else is a [`Finding`]: reported, never ignored.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::{hex, sha256};
use crate::unpack::Unpacked;

/// The scripts that run when a package is installed afresh (Debian Policy 6.5).
const SCRIPTS: [&str; 2] = ["preinst", "postinst"];

/// debhelper's generated parts whose work the composer or the booted system does: units by
/// presets, users by sysusers, /var and /run by tmpfiles, libraries by ldconfig, init scripts
/// not at all, upgrades not at all.
const GENERATED: [&str; 9] = [
    "dh_installsystemd",
    "dh_installsystemduser",
    "dh_installtmpfiles",
    "dh_installsysusers",
    "dh_installinit",
    "dh_installdeb",
    "dh_makeshlibs",
    "dh_installinitramfs",
    "dh_installudev",
];

/// Triggers that a package may pull (deb-triggers(5)), and whose work is done here.
const TRIGGERS: [&str; 2] = ["ldconfig", "update-initramfs"];

/// The list of scripts that a person has read: `profiles/scripts.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviewed {
    /// One for each script and version of its text.
    #[serde(default)]
    pub script: Vec<ReviewedScript>,
    /// What `dpkg-statoverride --add` would have set.
    #[serde(default)]
    pub statoverride: Vec<StatOverride>,
}

/// A script that a person has read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewedScript {
    /// The package, a kernel's release written `KERNEL`.
    pub package: String,
    /// `preinst` or `postinst`.
    pub name: String,
    /// SHA-256 of what remains of the script, hexadecimal, first 16 digits.
    pub sha256: String,
    /// What does its work here, or why there is none: for the reader.
    pub done_by: String,
}

/// An owner and mode that a package sets outside its archive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatOverride {
    /// Absolute path.
    pub path: String,
    /// User name.
    pub user: String,
    /// Group name.
    pub group: String,
    /// Permission bits, octal.
    pub mode: String,
}

/// A script, or a trigger, that nobody has read yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The package.
    pub package: String,
    /// `preinst`, `postinst` or `triggers`.
    pub name: String,
    /// What the reviewed list would have to name.
    pub sha256: String,
    /// The first line that remains.
    pub line: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Finding { package, name, sha256, line } = self;
        write!(f, "{package}: {name} ({sha256}) has not been reviewed: `{line}`")
    }
}

/// Every script and trigger of the packages that the list does not name.
pub fn review(packages: &[Unpacked], reviewed: &Reviewed) -> Vec<Finding> {
    let known: BTreeSet<(&str, &str, &str)> = reviewed
        .script
        .iter()
        .map(|one| (one.package.as_str(), one.name.as_str(), one.sha256.as_str()))
        .collect();
    let mut findings = Vec::new();
    for package in packages {
        let stem = without_release(&package.name);
        for name in SCRIPTS {
            let Some(script) = package.control.get(name) else { continue };
            let rest = remainder(script);
            let sha256 = hex(&sha256(rest.as_bytes())[..8]);
            if !rest.is_empty() && !known.contains(&(stem.as_str(), name, sha256.as_str())) {
                let line = rest.lines().next().unwrap_or_default().to_owned();
                let (package, name) = (package.name.clone(), name.to_owned());
                findings.push(Finding { package, name, sha256, line });
            }
        }
        findings.extend(unknown_triggers(package));
    }
    findings.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    findings
}

fn unknown_triggers(package: &Unpacked) -> Vec<Finding> {
    let text = package.control.get("triggers").map_or("", String::as_str);
    let pulled = text.lines().filter_map(|line| {
        let (kind, name) = line.trim().split_once(' ')?;
        (kind.starts_with("activate") && !TRIGGERS.contains(&name.trim())).then(|| line.trim())
    });
    let finding = |line: &str| Finding {
        package: package.name.clone(),
        name: "triggers".into(),
        sha256: hex(&sha256(line.as_bytes())[..8]),
        line: line.into(),
    };
    pulled.map(finding).collect()
}

/// What a person has to read of a script: no comments, no blank lines, no generated parts, and a
/// kernel's release as a word, so that a point release needs no new review.
pub fn remainder(script: &str) -> String {
    let mut rest = Vec::new();
    let mut generated = false;
    for line in script.lines() {
        let trimmed = line.trim();
        if let Some(by) = trimmed.strip_prefix("# Automatically added by ") {
            let tool = by.split('/').next().unwrap_or_default();
            generated = GENERATED.contains(&tool);
        }
        if trimmed == "# End automatically added section" {
            generated = false;
        }
        if !generated && !trimmed.is_empty() && !trimmed.starts_with('#') {
            rest.push(without_release(line.trim_end()));
        }
    }
    let idle = |line: &String| matches!(line.trim(), "set -e" | "set -eu" | "exit 0" | ":");
    if rest.iter().all(idle) { String::new() } else { rest.join("\n") }
}

/// `linux-image-6.12.57+deb13-amd64` → `linux-image-KERNEL`.
fn without_release(text: &str) -> String {
    let is_release = |word: &str| {
        let digits = word.split('.').take(2).all(|part| part.parse::<u32>().is_ok());
        digits && word.contains("+deb") && word.ends_with("-amd64")
    };
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '~' | '_') {
            word.push(c);
            continue;
        }
        let starts = word.char_indices().filter(|&(at, _)| at == 0 || word[..at].ends_with('-'));
        match starts.map(|(at, _)| at).find(|&at| is_release(&word[at..])) {
            Some(at) => {
                out.push_str(&word[..at]);
                out.push_str("KERNEL");
            }
            None => out.push_str(&word),
        }
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// The scripts by package, for what is taken from them (alternatives).
pub fn installation_scripts(packages: &[Unpacked]) -> BTreeMap<&str, &str> {
    let postinst = |package| Unpacked::postinst(package).map(|text| (package.name.as_str(), text));
    packages.iter().filter_map(postinst).collect()
}

impl Unpacked {
    fn postinst(&self) -> Option<&str> {
        self.control.get("postinst").map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GENERATED_ONLY: &str = "#!/bin/sh
set -e
# Automatically added by dh_installsystemd/13.24.2
systemctl enable everything
# End automatically added section
exit 0
";

    fn package(name: &str, postinst: &str) -> Unpacked {
        let control = [("postinst".to_owned(), postinst.to_owned())].into();
        Unpacked { name: name.into(), entries: Vec::new(), control }
    }

    #[test]
    fn generated_parts_need_no_review_but_unknown_generators_do() {
        assert_eq!(remainder(GENERATED_ONLY), "");
        let unknown = GENERATED_ONLY.replace("dh_installsystemd", "dh_something_new");
        assert!(remainder(&unknown).contains("systemctl enable everything"));
    }

    #[test]
    fn a_script_nobody_has_read_is_reported_until_it_is_listed() {
        let packages = [package("foo", "#!/bin/sh\nset -e\nrm -rf /\n")];
        let found = review(&packages, &Reviewed::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, "set -e");
        let listed = format!(
            "[[script]]\npackage='foo'\nname='postinst'\nsha256='{}'\ndone_by='nobody'\n",
            found[0].sha256
        );
        assert!(review(&packages, &toml::from_str(&listed).unwrap()).is_empty());
        let changed = [package("foo", "#!/bin/sh\nset -e\nrm -rf /usr\n")];
        assert_eq!(review(&changed, &toml::from_str(&listed).unwrap()).len(), 1);
    }

    #[test]
    fn a_kernel_release_is_a_word() {
        assert_eq!(without_release("linux-image-6.12.57+deb13-amd64"), "linux-image-KERNEL");
        assert_eq!(without_release("version=6.12.117+deb13-amd64 x"), "version=KERNEL x");
        assert_eq!(without_release("libc6-2.41-amd64"), "libc6-2.41-amd64");
    }

    #[test]
    fn a_trigger_that_nobody_answers_is_reported() {
        let mut one = package("foo", "");
        one.control.insert("triggers".into(), "activate-noawait ldconfig\nactivate what\n".into());
        let found = review(&[one], &Reviewed::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, "activate what");
    }
}
