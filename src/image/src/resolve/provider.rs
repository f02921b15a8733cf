//! Debian's rules in the solver's terms.
//!
//! A solvable is a package by its number in the [`Universe`]; of each name at most one is chosen. A
//! version set is a list of packages of one name, made for one relation. A dependency becomes a
//! requirement on the union of its alternatives' sets; a conflict constrains each name concerned to
//! the packages that are not meant.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display};

use resolvo::{
    Candidates, Condition, ConditionId, Dependencies, DependencyProvider, Interner,
    KnownDependencies, NameId, Requirement, SolvableId, SolverCache, StringId, VersionSetId,
    VersionSetUnionId,
};

use super::{Request, Universe};
use crate::relation::{Dependency, RelationError, parse_dependencies, parse_relations};
use crate::repository::Package;

/// The universe as one request sees it.
pub(super) struct Provider<'a> {
    pub(super) universe: &'a Universe<'a>,
    excluded: HashSet<&'a str>,
    sets: RefCell<Vec<VersionSet>>,
    unions: RefCell<Vec<Vec<VersionSetId>>>,
    strings: RefCell<Vec<String>>,
    /// The dependency that a requirement stands for.
    pub(super) requirements: RefCell<HashMap<Requirement, Dependency<'a>>>,
    /// The relation that a constraint stands for: `Breaks: x (<< 2)`.
    pub(super) constraints: RefCell<HashMap<VersionSetId, String>>,
}

/// Some packages of one name.
#[derive(Clone)]
struct VersionSet {
    name: NameId,
    members: Vec<SolvableId>,
}

impl<'a> Provider<'a> {
    pub(super) fn new(universe: &'a Universe<'a>, request: &'a Request) -> Provider<'a> {
        Provider {
            universe,
            excluded: request.exclude.iter().map(String::as_str).collect(),
            sets: RefCell::default(),
            unions: RefCell::default(),
            strings: RefCell::default(),
            requirements: RefCell::default(),
            constraints: RefCell::default(),
        }
    }

    /// Whether the request excludes packages of this name.
    pub(super) fn is_excluded(&self, name: &str) -> bool {
        self.excluded.contains(name)
    }

    /// What satisfies `dependency`, in the order of preference, exclusions aside.
    fn meant(&self, dependency: &Dependency<'_>) -> Vec<u32> {
        let mut seen = HashSet::new();
        let all = dependency.alternatives.iter().flat_map(|relation| self.universe.meant(relation));
        all.filter(|id| seen.insert(*id)).collect()
    }

    /// What satisfies `dependency`, in the order of preference.
    pub(super) fn candidates(&self, dependency: &Dependency<'_>) -> Vec<u32> {
        let mut candidates = self.meant(dependency);
        candidates.retain(|id| !self.is_excluded(self.universe.package(*id).name()));
        candidates
    }

    /// Whether an exclusion means that nobody need satisfy `dependency`: it names what Debian itself
    /// would have chosen. Whoever wants another alternative instead asks for that one.
    pub(super) fn is_dropped(&self, dependency: &Dependency<'_>) -> bool {
        if self.excluded.is_empty() {
            return false;
        }
        self.is_excluded(dependency.alternatives[0].name)
            || self
                .meant(dependency)
                .first()
                .is_some_and(|id| self.is_excluded(self.universe.package(*id).name()))
    }

    /// The requirement for `dependency`; none if it is satisfied by `parent` itself or dropped.
    pub(super) fn requirement(
        &self,
        parent: Option<u32>,
        dependency: &Dependency<'a>,
    ) -> Option<Requirement> {
        if self.is_dropped(dependency) {
            return None;
        }
        let candidates = self.candidates(dependency);
        if parent.is_some_and(|parent| candidates.contains(&parent)) {
            return None;
        }
        let mut sets: Vec<VersionSet> = Vec::new();
        for id in candidates {
            let name = self.solvable_name(SolvableId(id));
            match sets.last_mut() {
                Some(set) if set.name == name => set.members.push(SolvableId(id)),
                _ => sets.push(VersionSet { name, members: vec![SolvableId(id)] }),
            }
        }
        if sets.is_empty() {
            // A name that nobody has: the solver asks for its candidates and gets none.
            let name = self
                .universe
                .name(dependency.alternatives[0].name)
                .unwrap_or(self.universe.names());
            sets.push(VersionSet { name: NameId(name), members: Vec::new() });
        }
        let ids: Vec<VersionSetId> = sets.into_iter().map(|set| self.intern(set)).collect();
        let requirement = match ids[..] {
            [single] => Requirement::Single(single),
            _ => {
                let mut unions = self.unions.borrow_mut();
                unions.push(ids);
                Requirement::Union(VersionSetUnionId(unions.len() as u32 - 1))
            }
        };
        self.requirements.borrow_mut().insert(requirement, dependency.clone());
        Some(requirement)
    }

    fn intern(&self, set: VersionSet) -> VersionSetId {
        let mut sets = self.sets.borrow_mut();
        sets.push(set);
        VersionSetId(sets.len() as u32 - 1)
    }

    /// What `package` depends on, before its configuration and before its unpacking.
    pub(super) fn dependencies(
        &self,
        package: &Package<'a>,
    ) -> Result<Vec<Dependency<'a>>, RelationError> {
        let mut all = parse_dependencies(package.pre_depends())?;
        all.extend(parse_dependencies(package.depends())?);
        Ok(all)
    }

    fn known(&self, id: u32) -> Result<KnownDependencies, RelationError> {
        let package = self.universe.package(id);
        let mut known = KnownDependencies::default();
        for dependency in self.dependencies(&package)? {
            known.requirements.extend(self.requirement(Some(id), &dependency).map(Into::into));
        }
        for (kind, field) in [("Conflicts", package.conflicts()), ("Breaks", package.breaks())] {
            for relation in parse_relations(field)? {
                for set in self.tolerated(&package, self.universe.meant(&relation)) {
                    self.constraints.borrow_mut().insert(set, format!("{kind}: {relation}"));
                    known.constrains.push(set);
                }
            }
        }
        Ok(known)
    }

    /// For each name among the `banned`, the packages of that name that are not; a package bans
    /// neither itself nor other versions of itself (Policy 7.4, 7.6.2).
    fn tolerated(
        &self,
        package: &Package<'a>,
        banned: impl Iterator<Item = u32>,
    ) -> Vec<VersionSetId> {
        let banned: Vec<u32> =
            banned.filter(|id| self.universe.package(*id).name() != package.name()).collect();
        let mut done = HashSet::new();
        let mut sets = Vec::new();
        for id in &banned {
            let name = self.solvable_name(SolvableId(*id));
            if done.insert(name) {
                let others =
                    self.universe.named(name.0).iter().filter(|other| !banned.contains(other));
                let members = others.map(|id| SolvableId(*id)).collect();
                sets.push(self.intern(VersionSet { name, members }));
            }
        }
        sets
    }
}

/// `name version`.
struct Named<'a>(Package<'a>);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.name(), self.0.version())
    }
}

impl Interner for Provider<'_> {
    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        Named(self.universe.package(solvable.0))
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        let first = self.universe.named(name.0).first();
        first.map_or("nothing", |id| self.universe.package(*id).name())
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        let members = self.sets.borrow()[version_set.0 as usize].members.clone();
        let versions: Vec<&str> =
            members.iter().map(|id| self.universe.package(id.0).version().0).collect();
        versions.join(" | ")
    }

    fn display_string(&self, string_id: StringId) -> impl Display + '_ {
        self.strings.borrow()[string_id.0 as usize].clone()
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        self.sets.borrow()[version_set.0 as usize].name
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        let name = self.universe.package(solvable.0).name();
        NameId(self.universe.name(name).unwrap_or(self.universe.names()))
    }

    fn version_sets_in_union(
        &self,
        union: VersionSetUnionId,
    ) -> impl Iterator<Item = VersionSetId> {
        self.unions.borrow()[union.0 as usize].clone().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        unreachable!("Debian's dependencies have no conditions")
    }
}

impl DependencyProvider for Provider<'_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let members = &self.sets.borrow()[version_set.0 as usize].members;
        candidates.iter().copied().filter(|id| members.contains(id) != inverse).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let mut candidates = Candidates::default();
        for id in self.universe.named(name.0) {
            if !self.is_excluded(self.universe.package(*id).name()) {
                candidates.candidates.push(SolvableId(*id));
            }
        }
        Some(candidates)
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        // All are of one name, whose packages the universe keeps highest version first.
        let Some(first) = solvables.first() else { return };
        let order = self.universe.named(self.solvable_name(*first).0);
        solvables.sort_by_key(|id| order.iter().position(|other| *other == id.0));
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        match self.known(solvable.0) {
            Ok(known) => Dependencies::Known(known),
            Err(error) => {
                let mut strings = self.strings.borrow_mut();
                strings.push(error.to_string());
                Dependencies::Unknown(StringId(strings.len() as u32 - 1))
            }
        }
    }
}
