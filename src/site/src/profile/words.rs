//! The kinds of text that a profile is made of. Start at [`Refused`], which says why one is none.

use std::str::FromStr;

use super::request::is_package_name;

/// A text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{}` cannot be {what}", text.escape_debug())]
#[diagnostic(code(input::profile_value), help("{hint}"))]
pub(super) struct Refused {
    text: String,
    what: &'static str,
    hint: &'static str,
}

/// Defines a text that is refused, with what it should be and a hint, unless the condition holds.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $hint:literal, $good:expr) => {
        $(#[$doc])*
        pub(super) struct $name(pub(super) String);

        impl FromStr for $name {
            type Err = Refused;

            fn from_str(text: &str) -> Result<Self, Refused> {
                let good: fn(&str) -> bool = $good;
                if good(text) {
                    return Ok($name(text.to_owned()));
                }
                Err(Refused { text: text.to_owned(), what: $what, hint: $hint })
            }
        }
    };
}

text!(
    /// The name of a profile, and so of its file.
    ProfileName,
    "the name of a profile",
    "name the file in the same folder without its .toml, such as \"base\"",
    |text| is_made_of(text, "-_")
);
text!(
    /// The name of a binary package.
    PackageName,
    "the name of a package",
    "a name has two or more of: a-z, 0-9, `+`, `-` and `.`",
    is_package_name
);
text!(
    /// The base URL of a repository or a snapshot service.
    Uri,
    "the address of a repository",
    "write http:// or https:// and a host, such as \"http://deb.debian.org/debian\"",
    |text| {
        let rest = text.strip_prefix("https://").or(text.strip_prefix("http://"));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
            && text.chars().all(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}?#".contains(c))
    }
);
text!(
    /// A suite or codename of a repository.
    Suite,
    "the name of a suite",
    "such as \"trixie\" or \"trixie-security\"",
    |text| is_relative(text, "-_.+~")
);
text!(
    /// A component of a suite.
    Component,
    "the name of a component",
    "such as \"main\" or \"non-free-firmware\"",
    |text| is_relative(text, "-_.")
);
text!(
    /// A Debian architecture.
    Architecture,
    "an architecture",
    "write \"amd64\": the images are for 64-bit PCs",
    |text| text == "amd64"
);
text!(
    /// A file or folder below the one that it is looked for in.
    RelativePath,
    "the path of a file in the profile's folder",
    "write a path without `..` that does not start with `/`",
    |text| is_relative(text, "-_.+")
);
text!(
    /// One word of the kernel's command line.
    KernelWord,
    "a word of the kernel's command line",
    "write each word as its own entry; root=, init= and duet.root= are written by the build",
    |text| {
        let ours = ["root=", "roothash=", "init=", "rdinit=", "initrd=", "duet.root="];
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_graphic())
            && !ours.iter().any(|key| text.starts_with(key))
    }
);
text!(
    /// A kernel module.
    Module,
    "the name of a kernel module",
    "write it as `lsmod` does, without .ko: \"dm_verity\"",
    |text| is_made_of(text, "-_")
);
text!(
    /// A systemd unit that can be enabled (systemd.unit(5)).
    Unit,
    "the name of a unit",
    "write the whole name, such as \"chrony.service\"",
    |text| {
        let kinds = ["service", "socket", "timer", "path", "mount", "target"];
        text.rsplit_once('.').is_some_and(|(name, kind)| {
            kinds.contains(&kind) && is_made_of(name, "-_.@:\\")
        })
    }
);
text!(
    /// A pattern of absolute paths.
    PathPattern,
    "a pattern of paths in the root",
    "start it with `/` and name at least one folder, such as \"/usr/share/doc/*\"",
    |text| {
        text.strip_prefix('/').is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_alphanumeric())
                && !rest.split('/').any(|part| part == "..")
                && !rest.chars().any(char::is_control)
        })
    }
);
text!(
    /// What `mkfs.erofs -z` takes (mkfs.erofs(1)): an algorithm and perhaps a level.
    Compression,
    "a compression",
    "write one of lz4, lz4hc, lzma, deflate and zstd, perhaps with a level: \"zstd,3\"",
    |text| {
        let (name, level) = match text.split_once(',') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let level_is_good =
            level.is_none_or(|level| level.parse::<u8>().is_ok_and(|level| level <= 109));
        ["lz4", "lz4hc", "lzma", "deflate", "zstd"].contains(&name) && level_is_good
    }
);

text!(
    /// A component, and so its file below `components/`.
    ComponentName,
    "the name of a component",
    "name a file below profiles/components without its .toml, such as \"k3s\"",
    |text| is_made_of(text, "-")
);
text!(
    /// The version of a component, as its makers write it; it becomes part of addresses.
    Release,
    "the version of a component",
    "write it as the release is called, such as \"v1.35.6+k3s1\"",
    |text| text.len() <= 64 && is_made_of(text, "-_.+~")
);
text!(
    /// Where a release's file is; `{version}` stands for the version.
    Address,
    "the address of a file",
    "write https:// and the whole address; {version} stands for the component's version",
    |text| {
        let plain = text.replace("{version}", "1");
        plain.strip_prefix("https://").is_some_and(|rest| {
            rest.split_once('/').is_some_and(|(host, path)| {
                is_made_of(host, "-.:") && path.split('/').all(|part| is_made_of(part, "-_.+%"))
            })
        })
    }
);
text!(
    /// A licence, as SPDX names it (SPDX 2.3, annex D).
    Licence,
    "a licence",
    "write SPDX's name of it, such as \"Apache-2.0\"",
    |text| is_made_of(text, "-.+ ()")
);
text!(
    /// Where a file lies in the root.
    RootPath,
    "the path of a file in the root",
    "write a path below /usr without `..`, such as \"/usr/bin/k3s\"",
    |text| text.strip_prefix("/usr/").is_some_and(|rest| is_relative(rest, "-_.+"))
);
text!(
    /// A file's permission bits in octal.
    FileMode,
    "the mode of a file",
    "write \"0755\" for a program and \"0644\" for anything else",
    |text| ["0755", "0644"].contains(&text)
);

/// Whether a text is one word of letters, digits and a few signs.
fn is_made_of(text: &str, signs: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || signs.contains(c))
}

/// Whether a text is a path that leads downward only.
fn is_relative(text: &str, signs: &str) -> bool {
    text.split('/').all(|part| is_made_of(part, signs))
}
