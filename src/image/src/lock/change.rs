//! What differs between two locks, for a person and for `--json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use site::Timestamp;

use super::{Lock, LockedPackage, Set};
use crate::fetch::Digest;
use crate::relation::Version;

/// One difference between an old lock and a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// A repository is older than it was: a stale mirror, or somebody who replays old metadata.
    RepositoryOlder {
        /// Its name.
        repository: String,
        /// Its date in the old lock.
        from: Timestamp,
        /// Its date now.
        to: Timestamp,
    },
    /// A package is new.
    Added {
        /// Its name.
        package: String,
        /// Its version.
        version: String,
        /// Where it is new.
        sets: BTreeSet<Set>,
    },
    /// A package is gone.
    Removed {
        /// Its name.
        package: String,
        /// The version it had.
        version: String,
        /// Where it is gone.
        sets: BTreeSet<Set>,
    },
    /// A package has a higher version.
    Upgraded {
        /// Its name.
        package: String,
        /// The old version.
        from: String,
        /// The new version.
        to: String,
        /// Where.
        sets: BTreeSet<Set>,
    },
    /// A package has a lower version.
    Downgraded {
        /// Its name.
        package: String,
        /// The old version.
        from: String,
        /// The new version.
        to: String,
        /// Where.
        sets: BTreeSet<Set>,
    },
    /// A package has the same version but other bytes, which an honest repository never does.
    Replaced {
        /// Its name.
        package: String,
        /// Its version.
        version: String,
        /// The old hash.
        from: Digest,
        /// The new hash.
        to: Digest,
        /// Where.
        sets: BTreeSet<Set>,
    },
}

impl Change {
    /// Whether a person should think twice before accepting it.
    pub fn is_suspicious(&self) -> bool {
        matches!(
            self,
            Change::RepositoryOlder { .. } | Change::Downgraded { .. } | Change::Replaced { .. }
        )
    }
}

/// One package of one set, before and after.
type Pair<'a> = (Option<&'a LockedPackage>, Option<&'a LockedPackage>);

impl Lock {
    /// What became of `old` in `new`: suspicious things first, then by package.
    pub fn changes(old: &Lock, new: &Lock) -> Vec<Change> {
        let mut pairs: BTreeMap<(&str, Set), Pair<'_>> = BTreeMap::new();
        for (package, is_new) in both(old, new) {
            for set in &package.sets {
                let pair = pairs.entry((package.name.as_str(), *set)).or_default();
                *(if is_new { &mut pair.1 } else { &mut pair.0 }) = Some(package);
            }
        }
        let mut changes = older_repositories(old, new);
        // The same change in several sets is one change: sets of one package follow one another.
        for ((_, set), pair) in pairs {
            let Some(change) = change(pair, set) else { continue };
            match changes.last_mut() {
                Some(last) if last.takes_in(&change) => last.sets_mut().extend([set]),
                _ => changes.push(change),
            }
        }
        changes.sort_by_key(|change| !change.is_suspicious());
        changes
    }
}

fn both<'a>(old: &'a Lock, new: &'a Lock) -> impl Iterator<Item = (&'a LockedPackage, bool)> {
    let old = old.packages.iter().map(|package| (package, false));
    old.chain(new.packages.iter().map(|package| (package, true)))
}

fn older_repositories(old: &Lock, new: &Lock) -> Vec<Change> {
    let older = |now: &super::LockedRepository| {
        let before =
            old.repositories.iter().find(|one| one.name == now.name && one.suite == now.suite)?;
        (now.date < before.date).then(|| Change::RepositoryOlder {
            repository: now.name.clone(),
            from: before.date,
            to: now.date,
        })
    };
    new.repositories.iter().filter_map(older).collect()
}

/// What happened to one package in one set.
fn change(pair: Pair<'_>, set: Set) -> Option<Change> {
    let sets = BTreeSet::from([set]);
    let text = |package: &LockedPackage| (package.name.clone(), package.version.clone());
    Some(match pair {
        (None, Some(new)) => {
            let (package, version) = text(new);
            Change::Added { package, version, sets }
        }
        (Some(old), None) => {
            let (package, version) = text(old);
            Change::Removed { package, version, sets }
        }
        (Some(old), Some(new)) if old.sha256 == new.sha256 => return None,
        (Some(old), Some(new)) => {
            let ((package, from), to) = (text(old), new.version.clone());
            match Version(&to).cmp(&Version(&from)) {
                std::cmp::Ordering::Greater => Change::Upgraded { package, from, to, sets },
                std::cmp::Ordering::Less => Change::Downgraded { package, from, to, sets },
                std::cmp::Ordering::Equal => Change::Replaced {
                    package,
                    version: to,
                    from: old.sha256,
                    to: new.sha256,
                    sets,
                },
            }
        }
        (None, None) => return None,
    })
}

impl Change {
    /// Whether `other` is this change in another set.
    fn takes_in(&self, other: &Change) -> bool {
        let (mut a, mut b) = (self.clone(), other.clone());
        if matches!(self, Change::RepositoryOlder { .. })
            || matches!(other, Change::RepositoryOlder { .. })
        {
            return false;
        }
        a.sets_mut().clear();
        b.sets_mut().clear();
        a == b
    }

    fn sets_mut(&mut self) -> &mut BTreeSet<Set> {
        match self {
            Change::Added { sets, .. }
            | Change::Removed { sets, .. }
            | Change::Upgraded { sets, .. }
            | Change::Downgraded { sets, .. }
            | Change::Replaced { sets, .. } => sets,
            Change::RepositoryOlder { .. } => unreachable!("a repository belongs to no set"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |sets: &BTreeSet<Set>| sets.iter().map(Set::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Change::RepositoryOlder { repository, from, to } => {
                write!(f, "! {repository} is older than before: {to}, it was {from}")
            }
            Change::Added { package, version, sets } => {
                write!(f, "+ {package} {version} ({})", list(sets))
            }
            Change::Removed { package, version, sets } => {
                write!(f, "- {package} {version} ({})", list(sets))
            }
            Change::Upgraded { package, from, to, sets } => {
                write!(f, "  {package} {from} → {to} ({})", list(sets))
            }
            Change::Downgraded { package, from, to, sets } => {
                write!(f, "! {package} {from} → {to}, a lower version ({})", list(sets))
            }
            Change::Replaced { package, version, sets, .. } => {
                write!(
                    f,
                    "! {package} {version} has other bytes under the same version ({})",
                    list(sets)
                )
            }
        }
    }
}
