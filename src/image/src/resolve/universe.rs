//! Every package there is, findable by name and by what it provides.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::relation::{Relation, Version, parse_relations};
use crate::repository::{Indexes, Package};

/// The packages of all repositories, ready to be asked. Made once, used for several sets.
pub struct Universe<'a> {
    packages: Vec<Package<'a>>,
    names: HashMap<&'a str, u32>,
    /// By number of name: the packages so called, highest version first.
    named: Vec<Vec<u32>>,
    /// By name: who provides it and as what, in the order of preference.
    providers: HashMap<&'a str, Vec<(u32, Relation<'a>)>>,
    architecture: &'a str,
}

impl<'a> Universe<'a> {
    /// Sorts the packages of the indexes: those of their architecture and those for all. Of the same
    /// name and version in several repositories the first one counts.
    pub fn new(indexes: &'a Indexes) -> Universe<'a> {
        let architecture = indexes.architecture.as_str();
        let fitting =
            |package: &Package<'_>| ["all", architecture].contains(&package.architecture());
        Universe::of(indexes.packages().filter(fitting), architecture)
    }

    fn of(packages: impl Iterator<Item = Package<'a>>, architecture: &'a str) -> Universe<'a> {
        let mut seen = HashSet::new();
        let packages: Vec<Package<'a>> =
            packages.filter(|package| seen.insert((package.name(), package.version().0))).collect();
        let mut universe = Universe {
            names: HashMap::new(),
            named: Vec::new(),
            providers: HashMap::new(),
            architecture,
            packages,
        };
        for (number, package) in (0..).zip(&universe.packages) {
            let fresh = universe.names.len() as u32;
            let name = *universe.names.entry(package.name()).or_insert(fresh);
            if name == fresh {
                universe.named.push(Vec::new());
            }
            universe.named[name as usize].push(number);
            // A package whose Provides break Policy is as good as one without.
            for provided in parse_relations(package.provides()).unwrap_or_default() {
                universe.providers.entry(provided.name).or_default().push((number, provided));
            }
        }
        let (packages, rank) =
            (&universe.packages, |id: u32| Reverse(universe.packages[id as usize].version()));
        universe.named.iter_mut().for_each(|list| list.sort_by_key(|id| rank(*id)));
        for list in universe.providers.values_mut() {
            list.sort_by_key(|(id, _)| {
                let package = &packages[*id as usize];
                (package.priority(), package.name(), rank(*id))
            });
        }
        universe
    }

    /// The package of this number.
    pub(super) fn package(&self, id: u32) -> Package<'a> {
        self.packages[id as usize]
    }

    /// The number of a name that some package has.
    pub(super) fn name(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// How many names there are.
    pub(super) fn names(&self) -> u32 {
        self.names.len() as u32
    }

    /// The packages of a name, highest version first.
    pub(super) fn named(&self, name: u32) -> &[u32] {
        self.named.get(name as usize).map_or(&[], Vec::as_slice)
    }

    /// The packages that some other name calls, highest version first.
    pub(super) fn of_name(&self, name: &str) -> &[u32] {
        self.name(name).map_or(&[], |name| self.named(name))
    }

    /// Whether the relation can mean packages of this universe's architecture.
    pub(super) fn concerns(&self, relation: &Relation<'_>) -> bool {
        relation.concerns(self.architecture)
    }

    /// What `relation` means, in the order of preference: packages of the name, then providers.
    pub(super) fn meant(&self, relation: &Relation<'_>) -> impl Iterator<Item = u32> {
        let concerned = self.concerns(relation);
        let real = self.of_name(relation.name).iter().copied();
        let real = real.filter(|id| relation.admits(self.package(*id).version()));
        let provided = self.providers.get(relation.name).into_iter().flatten();
        let provided =
            provided.filter(|(_, provided)| relation.admits_provided(provided)).map(|(id, _)| *id);
        real.chain(provided).filter(move |_| concerned)
    }

    /// The names of all essential packages, sorted.
    pub(super) fn essential(&self) -> impl Iterator<Item = &'a str> {
        let names: BTreeSet<&str> = self
            .packages
            .iter()
            .filter(|package| package.is_essential())
            .map(|package| package.name())
            .collect();
        names.into_iter()
    }

    /// The versions that there are of a package, highest first.
    pub(super) fn versions(&self, name: &str) -> Vec<Version<'a>> {
        self.of_name(name).iter().map(|id| self.package(*id).version()).collect()
    }

    /// The name most like `name`, if one is like it at all.
    pub(super) fn nearest(&self, name: &str) -> Option<&'a str> {
        let alike = |other: &&'a str| strsim::normalized_damerau_levenshtein(name, other);
        let candidates = self.names.keys().copied().map(|other| (alike(&other), Reverse(other)));
        let best = candidates.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)))?;
        (best.0 >= 0.75).then_some(best.1.0)
    }
}
