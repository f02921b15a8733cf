//! Good and bad profiles.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::*;
use crate::InputErrors;

const DEBIAN: &str = "summary = 'packages'\n\
    [repositories.debian]\nuris = ['http://deb.example.org/debian/']\nsuite = 'trixie'\n\
    components = ['main']\nkeyring = 'keyrings/debian.gpg'\n";

const BASE: &str = "summary = 'every node'\ninherit = 'debian'\noverlays = ['duet']\n\
    [packages]\nroot = ['systemd', 'drbd-utils (>= 9.22)']\ntools = ['erofs-utils']\nexclude = ['perl-base']\n\
    [kernel]\npackage = 'linux-image-amd64'\ncmdline = ['quiet']\nmicrocode = ['intel-microcode']\n\
    [initrd]\nload = ['dm-verity']\ndrivers = ['nvme']\n\
    [image]\nesp_mib = 512\nroot_mib = 1536\nverity_mib = 16\nstate_mib = 64\ncompression = 'zstd,3'\ncluster = 65536\n\
    [files]\nremove = ['/usr/share/doc/*']\nkeep = ['/usr/share/doc/*/copyright']\n";

const CONTROL: &str = "summary = 'control node'\ninherit = 'base'\nrole = 'control'\n\
    overlays = ['control']\n\
    [packages]\nroot = ['curl', 'systemd (>= 257)']\n\
    [repositories.debian]\nuris = ['https://mirror.example.org']\n\
    [image]\nroot_mib = 1024\n[services]\nenable = ['chrony.service']\n";

fn parse(name: &str, text: &str) -> Result<RawProfile, InputErrors> {
    RawProfile::parse(text, &PathBuf::from(format!("profiles/{name}.toml")))
}

/// The profile that these files make, the profile itself first.
fn merge(files: &[(&str, &str)]) -> Result<Profile, ProfileError> {
    let mut chain = Chain::default();
    for (name, text) in files {
        chain.push(parse(name, text).unwrap())?;
    }
    chain.merge()
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&parse("base", text).unwrap_err().to_string());
}

fn check_merge(files: &[(&str, &str)], expected: Expect) {
    let error = merge(files).unwrap_err();
    let help = miette::Diagnostic::help(&error).unwrap();
    expected.assert_eq(&format!("{error}\nhint: {help}"));
}

#[test]
fn what_is_inherited_is_joined_or_overridden() {
    let profile = merge(&[("control", CONTROL), ("base", BASE), ("debian", DEBIAN)]).unwrap();
    expect![[r#"
        Profile {
            name: "control",
            summary: "control node",
            repositories: [
                Repository {
                    name: "debian",
                    uris: [
                        "https://mirror.example.org",
                    ],
                    snapshot: None,
                    suite: "trixie",
                    components: [
                        "main",
                    ],
                    keyring: "keyrings/debian.gpg",
                    architectures: [
                        "amd64",
                    ],
                },
            ],
            packages: Packages {
                root: [
                    PackageRequest {
                        name: "systemd",
                        at_least: Some(
                            "257",
                        ),
                    },
                    PackageRequest {
                        name: "drbd-utils",
                        at_least: Some(
                            "9.22",
                        ),
                    },
                    PackageRequest {
                        name: "curl",
                        at_least: None,
                    },
                ],
                exclude: [
                    "perl-base",
                ],
                tools: [
                    PackageRequest {
                        name: "erofs-utils",
                        at_least: None,
                    },
                ],
            },
            system: Some(
                System {
                    role: Control,
                    kernel: Kernel {
                        package: "linux-image-amd64",
                        cmdline: [
                            "quiet",
                        ],
                        microcode: [
                            "intel-microcode",
                        ],
                    },
                    initrd: Initrd {
                        load: [
                            "dm_verity",
                        ],
                        drivers: [
                            "nvme",
                        ],
                    },
                    image: Image {
                        esp_mib: 512,
                        root_mib: 1024,
                        verity_mib: 16,
                        state_mib: 64,
                        compression: "zstd,3",
                        cluster: 65536,
                    },
                    overlays: [
                        "duet",
                        "control",
                    ],
                    enable: [
                        "chrony.service",
                    ],
                    files: Files {
                        remove: [
                            "/usr/share/doc/*",
                        ],
                        keep: [
                            "/usr/share/doc/*/copyright",
                        ],
                    },
                },
            ),
        }
    "#]]
    .assert_debug_eq(&profile);
}

#[test]
fn a_profile_without_a_role_is_tools_only() {
    let tools = "summary = 'tools'\ninherit = 'debian'\n[packages]\ntools = ['ovmf']\n";
    let profile = merge(&[("lab-tools", tools), ("debian", DEBIAN)]).unwrap();
    assert_eq!(profile.system, None);
    assert_eq!(profile.packages.tools[0].name, "ovmf");
}

#[test]
fn a_chain_asks_for_what_is_missing_and_ends() {
    let mut chain = Chain::default();
    assert_eq!(chain.push(parse("control", CONTROL).unwrap()), Ok(Some("base".into())));
    assert_eq!(chain.push(parse("base", BASE).unwrap()), Ok(Some("debian".into())));
    assert_eq!(chain.push(parse("debian", DEBIAN).unwrap()), Ok(None));
    let circle = "summary = 'x'\ninherit = 'control'\n";
    check_merge(
        &[("control", CONTROL), ("base", circle)],
        expect![[r#"
        the profiles inherit from one another in a circle: control -> base -> control
        hint: remove `inherit` from one of them"#]],
    );
    let link = |n: usize| format!("summary = 'x'\ninherit = 'p{}'\n", n + 1);
    let links: Vec<_> = (0..9).map(|n| (format!("p{n}"), link(n))).collect();
    let links: Vec<_> = links.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    check_merge(
        &links,
        expect![[r#"
        more than 8 profiles inherit from one another: p0 -> p1 -> p2 -> p3 -> p4 -> p5 -> p6 -> p7 -> p8
        hint: bring some of them together in one file"#]],
    );
}

#[test]
fn what_no_profile_says_is_named() {
    check_merge(
        &[("x", "summary = 'x'\nrole = 'worker'\n[repositories.r]\n")],
        expect![[r#"
        the profile `x` lacks `uris` in [repositories.r], `suite` in [repositories.r], `components` in [repositories.r], `keyring` in [repositories.r], `package` in [kernel], `esp_mib` in [image], `root_mib` in [image], `verity_mib` in [image], `state_mib` in [image], `compression` in [image], `cluster` in [image]
        hint: write it in x.toml or in a profile that it inherits from"#]],
    );
    check_merge(
        &[("x", "summary = 'x'\n")],
        expect![[r#"
        the profile `x` lacks [repositories.NAME]
        hint: write it in x.toml or in a profile that it inherits from"#]],
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    let excludes = CONTROL.replace(
        "[packages]\n",
        "[packages]\nexclude = ['systemd', 'linux-image-amd64', 'erofs-utils']\n",
    );
    check_merge(
        &[("control", &excludes), ("base", BASE), ("debian", DEBIAN)],
        expect![[r#"
        the profile `control` asks for and excludes systemd, erofs-utils, linux-image-amd64
        hint: remove them from `exclude` or from the lists of packages, also of the profiles that it inherits from"#]],
    );
    let large = CONTROL.replace("1024", "4096");
    check_merge(
        &[("control", &large), ("base", BASE), ("debian", DEBIAN)],
        expect![[r#"
        verity_mib = 16 is too small for root_mib = 4096 in the profile `control`
        hint: the hash tree of a full root needs verity_mib = 33"#]],
    );
}

#[test]
fn misspelt_keys_are_named_with_the_nearest() {
    check(
        "sumary = 'x'\ninherits = 'debian'\n[repositories.debian]\nuri = 'http://x'\n\
         [kernel]\ncomandline = []\n[service]\nenable = []\n",
        expect![[r#"
            5 problems in profiles/base.toml:

            profiles/base.toml:1:1: unknown key `sumary`
              1 | sumary = 'x'
                | ^^^^^^
              hint: did you mean `summary`?

            profiles/base.toml:2:1: unknown key `inherits`
              2 | inherits = 'debian'
                | ^^^^^^^^
              hint: did you mean `inherit`?

            profiles/base.toml:4:1: unknown key `uri` in [repositories.debian]
              4 | uri = 'http://x'
                | ^^^
              hint: did you mean `uris`?

            profiles/base.toml:6:1: unknown key `comandline` in [kernel]
              6 | comandline = []
                | ^^^^^^^^^^
              hint: did you mean `cmdline`?

            profiles/base.toml:7:2: unknown key `service`
              7 | [service]
                |  ^^^^^^^
              hint: did you mean `services`?"#]],
    );
}

#[test]
fn impossible_values_are_refused() {
    check(
        "summary = 'x'\ninherit = 'base'\nrole = 'controll'\noverlays = ['../etc']\n\
         [image]\nesp_mib = 10\ncluster = 60000\ncompression = 'zip'\n",
        expect![[r#"
            6 problems in profiles/base.toml:

            profiles/base.toml:2:11: the profile inherits from itself
              2 | inherit = 'base'
                |           ^^^^^^
              hint: name another profile

            profiles/base.toml:3:8: `role` cannot be "controll"
              3 | role = 'controll'
                |        ^^^^^^^^^^
              hint: did you mean `control`?

            profiles/base.toml:4:13: `../etc` cannot be the path of a file in the profile's folder
              4 | overlays = ['../etc']
                |             ^^^^^^^^
              hint: write a path without `..` that does not start with `/`

            profiles/base.toml:6:11: `esp_mib = 10` is impossible
              6 | esp_mib = 10
                |           ^^
              hint: write a whole number from 64 to 4096

            profiles/base.toml:7:11: `cluster = 60000` is impossible
              7 | cluster = 60000
                |           ^^^^^
              hint: write a power of two, such as 65536

            profiles/base.toml:8:15: `zip` cannot be a compression
              8 | compression = 'zip'
                |               ^^^^^
              hint: write one of lz4, lz4hc, lzma, deflate and zstd, perhaps with a level: "zstd,3""#]],
    );
    check(
        "summary = 'x'\n[packages]\nroot = ['curl', 'curl (>= 8)', 'drbd = 9']\nexclude = ['Perl']\n\
         [services]\nenable = ['chrony']\n[files]\nremove = ['usr/share/doc', '/*']\n",
        expect![[r#"
            6 problems in profiles/base.toml:

            profiles/base.toml:3:17: `curl` is in the list twice
              3 | root = ['curl', 'curl (>= 8)', 'drbd = 9']
                |                 ^^^^^^^^^^^^^
              hint: remove one of them

            profiles/base.toml:3:32: `= 9` is not a condition on the version
              3 | root = ['curl', 'curl (>= 8)', 'drbd = 9']
                |                                ^^^^^^^^^^
              hint: write "name" or "name (>= 1.2)"

            profiles/base.toml:4:12: `Perl` cannot be the name of a package
              4 | exclude = ['Perl']
                |            ^^^^^^
              hint: a name has two or more of: a-z, 0-9, `+`, `-` and `.`

            profiles/base.toml:6:11: `chrony` cannot be the name of a unit
              6 | enable = ['chrony']
                |           ^^^^^^^^
              hint: write the whole name, such as "chrony.service"

            profiles/base.toml:8:11: `usr/share/doc` cannot be a pattern of paths in the root
              8 | remove = ['usr/share/doc', '/*']
                |           ^^^^^^^^^^^^^^^
              hint: start it with `/` and name at least one folder, such as "/usr/share/doc/*"

            profiles/base.toml:8:28: `/*` cannot be a pattern of paths in the root
              8 | remove = ['usr/share/doc', '/*']
                |                            ^^^^
              hint: start it with `/` and name at least one folder, such as "/usr/share/doc/*""#]],
    );
    check(
        "summary = 'x'\n[kernel]\npackage = 'Linux'\ncmdline = ['quiet loglevel=4', 'root=/dev/sda']\n\
         [initrd]\nload = ['dm-verity', 'dm_verity']\ndrivers = ['nvme.ko']\n",
        expect![[r#"
            5 problems in profiles/base.toml:

            profiles/base.toml:3:11: `Linux` cannot be the name of a package
              3 | package = 'Linux'
                |           ^^^^^^^
              hint: a name has two or more of: a-z, 0-9, `+`, `-` and `.`

            profiles/base.toml:4:12: `quiet loglevel=4` cannot be a word of the kernel's command line
              4 | cmdline = ['quiet loglevel=4', 'root=/dev/sda']
                |            ^^^^^^^^^^^^^^^^^^
              hint: write each word as its own entry; root=, init= and duet.root= are written by the build

            profiles/base.toml:4:32: `root=/dev/sda` cannot be a word of the kernel's command line
              4 | cmdline = ['quiet loglevel=4', 'root=/dev/sda']
                |                                ^^^^^^^^^^^^^^^
              hint: write each word as its own entry; root=, init= and duet.root= are written by the build

            profiles/base.toml:6:22: `dm_verity` is in the list twice
              6 | load = ['dm-verity', 'dm_verity']
                |                      ^^^^^^^^^^^
              hint: remove one of them

            profiles/base.toml:7:12: `nvme.ko` cannot be the name of a kernel module
              7 | drivers = ['nvme.ko']
                |            ^^^^^^^^^
              hint: write it as `lsmod` does, without .ko: "dm_verity""#]],
    );
    check(
        "summary = 'x'\n[repositories.debian]\nuris = []\nsnapshot = 'ftp://x'\nsuite = '../trixie'\n\
         keyring = '/etc/apt/trusted.gpg'\narchitectures = ['riscv64']\ncomponents = ['main', 'main']\n",
        expect![[r#"
            6 problems in profiles/base.toml:

            profiles/base.toml:3:1: `uris` is empty
              3 | uris = []
                | ^^^^
              hint: name at least one

            profiles/base.toml:4:12: `ftp://x` cannot be the address of a repository
              4 | snapshot = 'ftp://x'
                |            ^^^^^^^^^
              hint: write http:// or https:// and a host, such as "http://deb.debian.org/debian"

            profiles/base.toml:5:9: `../trixie` cannot be the name of a suite
              5 | suite = '../trixie'
                |         ^^^^^^^^^^^
              hint: such as "trixie" or "trixie-security"

            profiles/base.toml:6:11: `/etc/apt/trusted.gpg` cannot be the path of a file in the profile's folder
              6 | keyring = '/etc/apt/trusted.gpg'
                |           ^^^^^^^^^^^^^^^^^^^^^^
              hint: write a path without `..` that does not start with `/`

            profiles/base.toml:7:18: `riscv64` cannot be an architecture
              7 | architectures = ['riscv64']
                |                  ^^^^^^^^^
              hint: write "amd64": the images are for 64-bit PCs

            profiles/base.toml:8:23: `main` is in the list twice
              8 | components = ['main', 'main']
                |                       ^^^^^^
              hint: remove one of them"#]],
    );
}

#[test]
fn the_profiles_of_the_project_are_good() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles"));
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // The reviewed list of maintainer scripts lies beside the profiles and is none.
        if name == "scripts" {
            continue;
        }
        let mut chain = Chain::default();
        let mut next = Some(name.clone());
        while let Some(name) = next {
            let path = folder.join(format!("{name}.toml"));
            let text = std::fs::read_to_string(&path).unwrap();
            let raw = RawProfile::parse(&text, &path).unwrap_or_else(|error| panic!("{error}"));
            next = chain.push(raw).unwrap();
        }
        let profile = chain.merge().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(profile.name, name);
        count += 1;
    }
    assert!(count >= 3, "only {count} profiles in {}", folder.display());
}
