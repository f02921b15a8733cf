//! What is decided of a component, and what an image and its manifest say then.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use expect_test::expect;
use miette::Diagnostic;

use super::lock::sum_of;
use super::*;

const NAMED: &str = "summary = 's'\nversion = 'v1.2.3+x1'\nlicence = 'Apache-2.0'\n\
    homepage = 'https://example.org/thing'\nmodules = ['br-netfilter']\nenable = ['thing.service']\n\
    [[file]]\nurl = 'https://example.org/{version}/thing'\nsums = 'https://example.org/{version}/sums'\n\
    path = '/usr/bin/thing'\nmode = '0755'\n";

fn component() -> Component {
    Component::parse(NAMED, Path::new("thing.toml")).unwrap()
}

fn complete() -> ComponentLock {
    let mut lock = ComponentLock::unknown(&component());
    lock.files[0].sha256 = Some(Digest([7; 32]));
    lock.files[0].size = Some(5);
    lock
}

fn decide(need: Need, lock: Option<&ComponentLock>, asked: Asked) -> Result<Part, ComponentError> {
    choose(&component(), need, lock, asked, Tree::default())
}

fn local() -> Asked {
    Asked::Local(Arc::from(*b"#!/bin/sh\n"))
}

fn cache() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    (folder, cache)
}

#[test]
fn a_required_component_is_there_or_nothing_is_built() {
    let unknown = ComponentLock::unknown(&component());
    let mut other = complete();
    other.version = "v1.2.4".into();
    for (lock, why) in [
        (None, "it has no lock"),
        (Some(&unknown), "its lock does not say the SHA-256 of the release"),
        (Some(&other), "its lock is of another release"),
    ] {
        let error = decide(Need::Required, lock, Asked::Nothing).unwrap_err();
        assert_eq!(error.to_string(), format!("the profile requires thing v1.2.3+x1, and {why}"));
        assert_eq!(
            error.help().unwrap().to_string(),
            "run `duet lock thing` on a machine that reaches example.org, or give the file: \
             --component thing=PATH"
        );
    }
    assert!(decide(Need::Required, Some(&complete()), Asked::Nothing).unwrap().is_present());
    assert!(decide(Need::Required, None, local()).unwrap().is_present());
    let without = decide(Need::Required, Some(&complete()), Asked::Without).unwrap_err();
    assert_eq!(without.to_string(), "the profile requires thing, so it cannot be left out");
}

#[test]
fn an_optional_component_is_left_out_aloud() {
    let (_folder, cache) = cache();
    for (asked, lock, why) in [
        (Asked::Nothing, None, "it has no lock"),
        (Asked::Without, Some(complete()), "the build was told to leave it out"),
    ] {
        let part = decide(Need::Optional, lock.as_ref(), asked).unwrap();
        assert!(!part.is_present() && part.enable().is_empty() && part.wanted().is_empty());
        assert!(part.tree(&cache).unwrap().is_empty());
        assert_eq!(part.record().why.as_deref(), Some(why));
        part.check_modules(&Tree::default()).unwrap();
    }
    let parts = [
        decide(Need::Optional, None, Asked::Nothing).unwrap(),
        decide(Need::Optional, None, local()).unwrap(),
        decide(Need::Optional, Some(&complete()), Asked::Nothing).unwrap(),
    ];
    expect![[r#"
        [
          {
            "name": "thing",
            "version": "v1.2.3+x1",
            "present": false,
            "source": null,
            "why": "it has no lock"
          },
          {
            "name": "thing",
            "version": "v1.2.3+x1",
            "present": true,
            "source": "a local file",
            "why": null
          },
          {
            "name": "thing",
            "version": "v1.2.3+x1",
            "present": true,
            "source": "https://example.org/v1.2.3%2Bx1/thing",
            "why": null
          }
        ]
    "#]]
    .assert_eq(&list(&parts));
}

#[test]
fn a_present_component_brings_its_file_and_loads_its_modules() {
    let (_folder, cache) = cache();
    let part = decide(Need::Optional, None, local()).unwrap();
    assert_eq!(part.enable(), ["thing.service"]);
    expect![[r#"
        d 0755 0 0 - - /usr
        d 0755 0 0 - - /usr/bin
        f 0755 0 0 10 a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf /usr/bin/thing
        d 0755 0 0 - - /usr/lib
        d 0755 0 0 - - /usr/lib/modules-load.d
        f 0644 0 0 33 0220bda814a8dc66649ae0479f0a4beede744c84b5bf8097ed1f25106cc2d3a5 /usr/lib/modules-load.d/thing.conf
    "#]]
    .assert_eq(&crate::manifest::file_list(&part.tree(&cache).unwrap()));
    let tree = part.tree(&cache).unwrap();
    let Kind::File(text) = &tree.get("usr/lib/modules-load.d/thing.conf").unwrap().kind else {
        panic!("not a file")
    };
    assert_eq!(&*text.read().unwrap(), b"# What thing needs.\nbr_netfilter\n");
    // A locked one is taken from the cache, where a build has fetched it before.
    let part = decide(Need::Optional, Some(&complete()), Asked::Nothing).unwrap();
    let [wanted] = &part.wanted()[..] else { panic!("one file is wanted") };
    assert_eq!(wanted.mirrors, ["https://example.org/v1.2.3%2Bx1/thing"]);
    assert_eq!((wanted.sha256, wanted.size), (Digest([7; 32]), 5));
}

#[test]
fn a_module_that_the_kernel_lacks_is_named() {
    let part = decide(Need::Optional, None, local()).unwrap();
    let mut root = Tree::default();
    let error = part.check_modules(&root).unwrap_err().to_string();
    assert_eq!(error, "thing needs the kernel module br_netfilter, which the image does not have");
    for path in ["kernel/net/br_netfilter.ko.xz", "kernel/br-netfilter.ko"] {
        let mut root = Tree::default();
        root.put(&format!("usr/lib/modules/6.12/{path}"), Node::file(*b"", 0o644)).unwrap();
        part.check_modules(&root).unwrap();
    }
    let builtin = Node::file(*b"kernel/fs/ext4.ko\nkernel/net/br_netfilter.ko\n", 0o644);
    root.put("usr/lib/modules/6.12/modules.builtin", builtin).unwrap();
    part.check_modules(&root).unwrap();
}

#[test]
fn a_file_that_does_not_fit_is_refused() {
    let empty = decide(Need::Optional, None, Asked::Local(Arc::from([]))).unwrap_err();
    assert_eq!(empty.to_string(), "the file given for thing is empty");
    let second = "[[file]]\nurl = 'https://example.org/b'\nsums = 'https://example.org/s'\n\
                  path = '/usr/bin/b'\nmode = '0755'\n";
    let two = Component::parse(&format!("{NAMED}{second}"), Path::new("thing.toml")).unwrap();
    let error = choose(&two, Need::Optional, None, local(), Tree::default()).unwrap_err();
    assert_eq!(error.to_string(), "thing has 2 files, and --component gives one");
}

#[test]
fn a_lock_is_read_back_as_written() {
    let text = complete().encode();
    assert_eq!(ComponentLock::parse(&text, "thing.lock").unwrap(), complete());
    let unknown = ComponentLock::unknown(&component());
    assert_eq!(ComponentLock::parse(&unknown.encode(), "thing.lock").unwrap(), unknown);
    assert_eq!(unknown.hashes(), None);
    let odd = text.replace("size = 5\n", "");
    let error = ComponentLock::parse(&odd, "thing.lock").unwrap_err().to_string();
    assert!(error.starts_with("the lock thing.lock contradicts itself: "), "{error}");
    let later = text.replace("format = 1", "format = 2");
    let error = ComponentLock::parse(&later, "thing.lock").unwrap_err().to_string();
    assert!(error.contains("has the format 2"), "{error}");
}

#[test]
fn a_sum_is_found_by_the_whole_name() {
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let list = format!("{a}  k3s-arm64\n{b} *k3s\nnonsense\n");
    assert_eq!(sum_of(&list, "k3s").unwrap().to_string(), b);
    assert_eq!(sum_of(&list, "k3s-arm64").unwrap().to_string(), a);
    assert_eq!(sum_of(&list, "arm64"), None);
    assert_eq!(sum_of("short  k3s\n", "k3s"), None);
}

#[test]
fn what_is_hashed_changes_with_the_bytes() {
    let hash = |part: &Part| {
        let mut hasher = Hasher::default();
        part.hash(&mut hasher);
        hasher.finish()
    };
    let one = decide(Need::Optional, None, local()).unwrap();
    let two = decide(Need::Optional, None, Asked::Local(Arc::from(*b"other"))).unwrap();
    let none = decide(Need::Optional, None, Asked::Nothing).unwrap();
    assert_ne!(hash(&one), hash(&two));
    assert_ne!(hash(&one), hash(&none));
    assert_eq!(hash(&one), hash(&decide(Need::Required, None, local()).unwrap()));
}
