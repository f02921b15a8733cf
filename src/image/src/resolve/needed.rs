//! Which of the solver's choices are really needed.
//!
//! A solver may leave behind what a dead end had asked for, and the first alternative of a
//! dependency although another one is needed anyway. So everything is asked for once more, among the
//! chosen packages only: what has no choice first, the rest in the order of preference.

use std::collections::{BTreeSet, HashSet, VecDeque};

use resolvo::SolvableId;

use super::Dropped;
use super::provider::Provider;
use crate::relation::Dependency;

/// The packages (by number) that the requests really need of `chosen`, and the dependencies among
/// them that stay unsatisfied because of an exclusion.
pub(super) fn needed(
    provider: &Provider<'_>,
    asked: &[Dependency<'_>],
    chosen: &[SolvableId],
) -> (BTreeSet<u32>, Vec<Dropped>) {
    let chosen: HashSet<u32> = chosen.iter().map(|id| id.0).collect();
    let mut needed = BTreeSet::new();
    let mut open: VecDeque<u32> = VecDeque::new();
    let mut choices: VecDeque<Vec<u32>> = VecDeque::new();
    let ask = |dependency: &Dependency<'_>, open: &mut VecDeque<u32>, choices: &mut VecDeque<_>| {
        let mut there = provider.candidates(dependency);
        there.retain(|id| chosen.contains(id));
        match there[..] {
            // A dropped dependency asks for nothing, even if somebody would satisfy it.
            _ if provider.is_dropped(dependency) => {}
            [] => {}
            [only] => open.push_back(only),
            _ => choices.push_back(there),
        }
    };
    asked.iter().for_each(|dependency| ask(dependency, &mut open, &mut choices));
    loop {
        if let Some(id) = open.pop_front() {
            if needed.insert(id) {
                let dependencies =
                    provider.dependencies(&provider.universe.package(id)).unwrap_or_default();
                dependencies.iter().for_each(|dependency| ask(dependency, &mut open, &mut choices));
            }
        } else if let Some(there) = choices.pop_front() {
            if !there.iter().any(|id| needed.contains(id)) {
                open.push_back(there[0]);
            }
        } else {
            break;
        }
    }
    let dropped = dropped(provider, &needed);
    (needed, dropped)
}

/// The dependencies of the needed packages that an exclusion leaves unsatisfied.
fn dropped(provider: &Provider<'_>, needed: &BTreeSet<u32>) -> Vec<Dropped> {
    let mut dropped = BTreeSet::new();
    for id in needed {
        let package = provider.universe.package(*id);
        for dependency in provider.dependencies(&package).unwrap_or_default() {
            let met = provider.candidates(&dependency).iter().any(|id| needed.contains(id));
            if !met && provider.is_dropped(&dependency) {
                let depends = dependency.text.split_whitespace().collect::<Vec<_>>().join(" ");
                dropped.insert(Dropped { package: package.name().to_owned(), depends });
            }
        }
    }
    dropped.into_iter().collect()
}
