//! Resolving small, made-up repositories: what is chosen, and how a refusal reads.

#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};

use super::*;
use crate::repository::Indexes;

/// Resolves `install` among packages written one to a line: `name version; Field: value; …`.
fn resolve(packages: &str, install: &str, exclude: &str) -> String {
    let stanza = |line: &str| {
        let (head, fields) = line.split_once(';').unwrap_or((line, ""));
        let (name, version) = head.trim().split_once(' ').unwrap();
        let fields: String = fields.split(';').map(|field| format!("{}\n", field.trim())).collect();
        let hash = "00".repeat(32);
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: {name}.deb\nSize: 1\nSHA256: {hash}\n{}\n",
            fields.trim_start_matches('\n')
        )
    };
    let text = packages
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(stanza)
        .collect::<String>();
    let indexes = Indexes::unsigned("amd64", text);
    let universe = Universe::new(&indexes);
    let request = Request {
        label: "control".to_owned(),
        install: install
            .split(',')
            .map(|one| one.trim().to_owned())
            .filter(|one| !one.is_empty())
            .collect(),
        essential: packages.contains("Essential"),
        exclude: exclude.split_whitespace().map(str::to_owned).collect(),
    };
    match universe.resolve(&request) {
        Ok(Resolution { packages, dropped }) => {
            let mut words: Vec<String> = packages
                .iter()
                .map(|package| format!("{}={}", package.name(), package.version()))
                .collect();
            words.extend(
                dropped.iter().map(|one| format!("[{} without {}]", one.package, one.depends)),
            );
            words.join(" ")
        }
        Err(error) => error.to_string(),
    }
}

fn check(packages: &str, install: &str, expected: Expect) {
    expected.assert_eq(&resolve(packages, install, ""));
}

#[test]
fn the_highest_version_that_fits_is_taken() {
    let packages = "a 1.9\n a 1.10\n b 1; Depends: a (<< 1.10)\n c 1; Depends: a (= 2)";
    check(packages, "a", expect!["a=1.10"]);
    check(packages, "b", expect!["a=1.9 b=1"]);
    check(packages, "a (<= 1.9)", expect!["a=1.9"]);
    check(packages, "a, a", expect!["a=1.10"]);
}

#[test]
fn depends_and_pre_depends_are_followed_and_nothing_else() {
    let packages = "a 1; Pre-Depends: b; Depends: c; Recommends: d\n b 1\n c 1; Depends: a\n d 1";
    check(packages, "a", expect!["a=1 b=1 c=1"]);
}

#[test]
fn the_first_alternative_is_taken_unless_another_is_there() {
    let packages = "a 1; Depends: x | y\n b 1; Depends: y | x\n c 1; Depends: y\n x 1\n y 1\n \
                    d 1; Depends: nothing | y\n e 1; Depends: x (>= 2) | y";
    check(packages, "a", expect!["a=1 x=1"]);
    check(packages, "b", expect!["b=1 y=1"]);
    check(packages, "a, c", expect!["a=1 c=1 y=1"]);
    check(packages, "c, a", expect!["a=1 c=1 y=1"]);
    check(packages, "a, y", expect!["a=1 y=1"]);
    check(packages, "d", expect!["d=1 y=1"]);
    check(packages, "e", expect!["e=1 y=1"]);
}

#[test]
fn virtual_packages_are_provided_by_the_likeliest() {
    let packages = "a 1; Depends: mta\n postfix 3; Provides: mta; Priority: optional\n \
                    exim 4; Provides: mta; Priority: standard\n nullmailer 1; Provides: mta; Priority: optional";
    check(packages, "a", expect!["a=1 exim=4"]);
    check(packages, "a, postfix", expect!["a=1 postfix=3"]);
    check(packages, "mta", expect!["exim=4"]);
    let real_first = "a 1; Depends: mta\n mta 0\n exim 4; Provides: mta; Priority: required";
    check(real_first, "a", expect!["a=1 mta=0"]);
}

#[test]
fn provides_meet_a_bound_only_with_a_version() {
    let packages = "a 1; Depends: api (>= 2)\n one 1; Provides: api\n two 1; Provides: api (= 1.5)\n \
                    three 1; Provides: api (= 2.1)";
    check(packages, "a", expect!["a=1 three=1"]);
    let packages = "a 1; Depends: api (>= 2)\n one 1; Provides: api\n two 1; Provides: api (= 1.5)";
    check(
        packages,
        "a",
        expect![[r#"
            the packages of control cannot be installed together:
              control → a → api (>= 2): no provider fits, there are one, two"#]],
    );
}

#[test]
fn conflicts_and_breaks_are_kept_apart() {
    let packages = "a 1; Depends: x | y\n b 1; Conflicts: x\n x 1\n y 1\n \
                    mta1 1; Provides: mta; Conflicts: mta\n mta2 1; Provides: mta; Conflicts: mta\n \
                    c 1; Breaks: lib (<< 2)\n lib 1\n lib 2\n old 1; Depends: lib (<< 2)";
    check(packages, "a, b", expect!["a=1 b=1 y=1"]);
    check(packages, "mta1", expect!["mta1=1"]);
    check(packages, "c, lib", expect!["c=1 lib=2"]);
    check(
        packages,
        "mta1, mta2",
        expect![[r#"
            the packages of control cannot be installed together:
              control → mta1 (Conflicts: mta) does not go with control → mta2"#]],
    );
    check(
        packages,
        "c, old",
        expect![[r#"
            the packages of control cannot be installed together:
              control → c (Breaks: lib (<< 2)) does not go with control → old → lib 1"#]],
    );
}

#[test]
fn the_solver_takes_back_what_leads_nowhere() {
    let packages = "a 1; Depends: x | y\n x 1; Depends: helper, broken\n broken 1; Depends: nothing\n \
                    helper 1\n y 1";
    check(packages, "a", expect!["a=1 y=1"]);
    let older = "a 2; Depends: nothing\n a 1; Depends: b\n b 1";
    check(older, "a", expect!["a=1 b=1"]);
}

#[test]
fn essential_packages_belong_to_a_root() {
    let packages = "base 1; Essential: yes; Depends: libc\n libc 1\n a 1\n other 1";
    check(packages, "a", expect!["a=1 base=1 libc=1"]);
    assert_eq!(resolve(packages, "a", "base"), "a=1");
}

#[test]
fn exclusions_drop_what_debian_would_have_chosen() {
    let packages = "kernel 6; Depends: kmod, initramfs-tools (>= 0.1) | linux-initramfs-tool\n kmod 1\n \
                    initramfs-tools 1; Provides: linux-initramfs-tool\n dracut 1; Provides: linux-initramfs-tool\n \
                    a 1; Depends: kmod | initramfs-tools\n b 1; Depends: linux-initramfs-tool";
    let dropped =
        "kernel=6 kmod=1 [kernel without initramfs-tools (>= 0.1) | linux-initramfs-tool]";
    assert_eq!(resolve(packages, "kernel", "initramfs-tools"), dropped);
    assert_eq!(resolve(packages, "a", "initramfs-tools"), "a=1 kmod=1");
    assert_eq!(resolve(packages, "kernel, dracut", "initramfs-tools"), "dracut=1 kernel=6 kmod=1");
    assert_eq!(
        resolve(packages, "b", "linux-initramfs-tool"),
        "b=1 [b without linux-initramfs-tool]"
    );
    assert_eq!(
        resolve(packages, "b", "dracut initramfs-tools"),
        "b=1 [b without linux-initramfs-tool]"
    );
    assert_eq!(resolve(packages, "b", "no-such-package"), "b=1 dracut=1");
    assert_eq!(
        resolve(packages, "kmod", "kmod"),
        "control asks for the package `kmod` and excludes it as well"
    );
}

#[test]
fn the_chain_leads_from_the_profile_to_the_cause() {
    let packages = "foo 1.2; Depends: middle\n middle 3; Depends: libbar (>= 2)\n libbar 1.9\n libbar 1.8\n \
                    systemd 257\n two 1; Depends: libone, libtwo\n two 2; Depends: libone | libthree (= 4)\n libthree 3";
    check(
        packages,
        "foo",
        expect![[r#"
            the packages of control cannot be installed together:
              control → foo → middle → libbar (>= 2): not available, candidates are 1.9, 1.8"#]],
    );
    check(
        packages,
        "sytemd",
        expect![[r#"
            the packages of control cannot be installed together:
              control → sytemd: in no repository; is systemd meant?"#]],
    );
    check(
        packages,
        "two",
        expect![[r#"
        the packages of control cannot be installed together:
          control → two 1 → libone: in no repository
          control → two 2 → libone | libthree (= 4): libone: in no repository; libthree: not available, candidates are 3"#]],
    );
    check(
        packages,
        "libbar (= 1.9), libbar (= 1.8)",
        expect![[r#"
        the packages of control cannot be installed together:
          control → libbar 1.9 needs another version than control → libbar 1.8"#]],
    );
}

#[test]
fn a_package_that_breaks_policy_is_not_chosen() {
    let packages = "a 2; Depends: b (>= \n a 1\n c 1; Depends: b )";
    check(packages, "a", expect!["a=1"]);
    check(
        packages,
        "c",
        expect![[r#"
        the packages of control cannot be installed together:
          control → c: cannot understand the relation `b )`: that is no name of a package"#]],
    );
}

#[test]
fn foreign_architectures_and_qualifiers() {
    let packages =
        "a 1; Depends: python3:any, lib:amd64\n python3 3\n lib 1\n b 1; Depends: lib:i386";
    check(packages, "a", expect!["a=1 lib=1 python3=3"]);
    check(
        packages,
        "b",
        expect![[r#"
        the packages of control cannot be installed together:
          control → b → lib:i386: is of another architecture"#]],
    );
}

#[test]
fn what_is_asked_for_is_a_dependency() {
    check("a 1", "a (1)", expect!["control asks for something that is no package"]);
}
