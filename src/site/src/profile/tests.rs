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
            lock: None,
            components: [],
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

/// A good component.
const K3S: &str = "summary = 'Kubernetes'\nversion = 'v1.35.6+k3s1'\nlicence = 'Apache-2.0'\n\
    homepage = 'https://github.com/k3s-io/k3s'\npackages = ['kmod']\nmodules = ['br-netfilter']\n\
    overlay = 'k3s'\nenable = ['k3s.service']\n\
    [[file]]\nurl = 'https://example.org/{version}/k3s'\nsums = 'https://example.org/{version}/sums.txt'\n\
    path = '/usr/bin/k3s'\nmode = '0755'\n";

fn component(text: &str) -> Result<Component, InputErrors> {
    Component::parse(text, &PathBuf::from("profiles/components/k3s.toml"))
}

#[test]
fn a_component_is_a_release_and_what_it_needs() {
    let k3s = component(K3S).unwrap();
    assert_eq!((k3s.name.as_str(), k3s.modules[0].as_str()), ("k3s", "br_netfilter"));
    let file = &k3s.files[0];
    assert_eq!(file.url, "https://example.org/v1.35.6%2Bk3s1/k3s");
    assert_eq!(file.sums, "https://example.org/v1.35.6%2Bk3s1/sums.txt");
    assert_eq!((file.released_name(), file.mode), ("k3s", 0o755));
    let files = [("control", CONTROL), ("base", BASE), ("debian", DEBIAN)];
    let mut profile = merge(&files).unwrap();
    let before = profile.packages.root.len();
    profile.ask_for(&k3s);
    profile.ask_for(&k3s);
    assert_eq!(profile.packages.root.len(), before + 1, "kmod comes along once");
}

#[test]
fn a_bad_component_is_refused_with_every_problem() {
    let check = |text: &str, expected: Expect| {
        expected.assert_eq(&component(text).unwrap_err().to_string());
    };
    check(
        "sumary = 'x'\n",
        expect![[r#"
        5 problems in profiles/components/k3s.toml:

        profiles/components/k3s.toml:1:1: unknown key `sumary`
          1 | sumary = 'x'
            | ^^^^^^
          hint: did you mean `summary`?

        profiles/components/k3s.toml:1:1: `version` is missing
          hint: write version = "v1.2.3"

        profiles/components/k3s.toml:1:1: `licence` is missing
          hint: write licence = "Apache-2.0"

        profiles/components/k3s.toml:1:1: `homepage` is missing
          hint: write homepage = "https://…"

        profiles/components/k3s.toml:1:1: `file` is missing
          hint: write [[file]] and below it url, sums, path and mode"#]],
    );
    check(
        &K3S.replace("https://example.org/{version}/k3s", "http://example.org/../k3s")
            .replace("/usr/bin/k3s", "/etc/k3s")
            .replace("0755", "4755")
            .replace("v1.35.6+k3s1", "../x"),
        expect![[r#"
            4 problems in profiles/components/k3s.toml:

            profiles/components/k3s.toml:2:11: `../x` cannot be the version of a component
              2 | version = '../x'
                |           ^^^^^^
              hint: write it as the release is called, such as "v1.35.6+k3s1"

            profiles/components/k3s.toml:10:7: `http://example.org/../k3s` cannot be the address of a file
              10 | url = 'http://example.org/../k3s'
                 |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^
              hint: write https:// and the whole address; {version} stands for the component's version

            profiles/components/k3s.toml:12:8: `/etc/k3s` cannot be the path of a file in the root
              12 | path = '/etc/k3s'
                 |        ^^^^^^^^^^
              hint: write a path below /usr without `..`, such as "/usr/bin/k3s"

            profiles/components/k3s.toml:13:8: `4755` cannot be the mode of a file
              13 | mode = '4755'
                 |        ^^^^^^
              hint: write "0755" for a program and "0644" for anything else"#]],
    );
    check(
        &format!(
            "{K3S}[[file]]\nurl = 'https://example.org/b'\npath = '/usr/bin/k3s'\nmode = '0755'\n"
        ),
        expect![[r#"
            a problem in profiles/components/k3s.toml:

            profiles/components/k3s.toml:14:1: [file] lacks `sums`
              14 | [[file]]
                 | ^^^^^^^^
              hint: write the address of the release's list of SHA-256 sums"#]],
    );
    let twice = K3S.split_once("[[file]]").unwrap().1;
    check(
        &format!("{K3S}[[file]]{twice}"),
        expect![[r#"
        a problem in profiles/components/k3s.toml:

        profiles/components/k3s.toml:9:1: /usr/bin/k3s is written by two files
          9 | [[file]]
            | ^^^^^^^^
          hint: give each [[file]] a path of its own"#]],
    );
}

#[test]
fn the_nearest_profile_says_what_becomes_of_a_component() {
    let wishes = |upper: &str| {
        let base = format!("{BASE}[components]\nk3s = 'required'\ndrbd = 'optional'\n");
        let control = format!("{CONTROL}{upper}");
        let files = [("control", control.as_str()), ("base", &base), ("debian", DEBIAN)];
        let wishes = merge(&files).unwrap().components;
        wishes.iter().map(|wish| format!("{} {:?}", wish.name, wish.need)).collect::<Vec<_>>()
    };
    assert_eq!(wishes(""), ["k3s Required", "drbd Optional"]);
    assert_eq!(wishes("[components]\nk3s = 'optional'\ndrbd = 'none'\n"), ["k3s Optional"]);
    check(
        "summary = 's'\n[components]\nk3s = 'maybe'\n'../x' = 'none'\ny = 1\n",
        expect![[r#"
        3 problems in profiles/base.toml:

        profiles/base.toml:3:7: `k3s` cannot be "maybe"
          3 | k3s = 'maybe'
            |       ^^^^^^^
          hint: one of `required`, `optional`, `none`

        profiles/base.toml:4:1: `../x` cannot be the name of a component
          4 | '../x' = 'none'
            | ^^^^^^
          hint: name a file below profiles/components without its .toml, such as "k3s"

        profiles/base.toml:5:5: `y` is a number, not a text
          5 | y = 1
            |     ^
          hint: write it in "quotes""#]],
    );
}

#[test]
fn a_profile_may_use_another_ones_lock() {
    let lab = "summary = 'lab'\ninherit = 'control'\nlock = 'control'\n";
    let files = [("lab", lab), ("control", CONTROL), ("base", BASE), ("debian", DEBIAN)];
    let profile = merge(&files).unwrap();
    assert_eq!((profile.name.as_str(), profile.lock_name()), ("lab", "control"));
    // What inherits from it has a lock of its own.
    let own = "summary = 'mine'\ninherit = 'lab'\n";
    let files = [("mine", own), files[0], files[1], files[2], files[3]];
    assert_eq!(merge(&files).unwrap().lock_name(), "mine");
    check(
        "summary = 's'\nlock = 'base'\n",
        expect![[r#"
        a problem in profiles/base.toml:

        profiles/base.toml:2:8: the profile names its own lock
          2 | lock = 'base'
            |        ^^^^^^
          hint: leave the key out: a profile has a lock of its own"#]],
    );
}
