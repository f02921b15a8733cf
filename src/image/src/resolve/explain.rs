//! Why a request cannot be satisfied, in words that a Debian administrator knows.
//!
//! The solver hands over a graph of the clauses that contradict one another. Each missing or
//! conflicting package becomes one line that begins at the profile:
//! `control → foo → libbar (>= 2): there is only libbar 1.9`.

use std::collections::{BTreeSet, HashMap, VecDeque};

use resolvo::Interner;
use resolvo::conflict::{ConflictCause, ConflictEdge, ConflictGraph, ConflictNode};

use super::Request;
use super::provider::Provider;
use crate::relation::{Dependency, Relation};

/// More lines than this help nobody.
const MOST_CHAINS: usize = 8;

/// The chains from the request to each cause, shortest first.
pub(super) fn chains(
    graph: &ConflictGraph,
    provider: &Provider<'_>,
    request: &Request,
) -> Vec<String> {
    let paths = Paths::new(graph, provider, &request.label);
    let mut missing = BTreeSet::new();
    let mut clashes = BTreeSet::new();
    for edge in graph.graph.edge_indices() {
        let Some((source, target)) = graph.graph.edge_endpoints(edge) else { continue };
        let (from, to) = (source.index(), target.index());
        match graph.graph[edge] {
            ConflictEdge::Requires(requirement) => {
                if graph.graph[target] == ConflictNode::UnresolvedDependency {
                    if let Some(dependency) = provider.requirements.borrow().get(&requirement) {
                        let reasons = reasons(provider, dependency);
                        missing.insert(format!(
                            "{} → {}: {reasons}",
                            paths.to(from),
                            dependency.text
                        ));
                    }
                }
            }
            ConflictEdge::Conflict(cause) => {
                let (a, b) = (paths.to(from), paths.to(to));
                clashes.insert(match cause {
                    ConflictCause::Constrains(set) => {
                        let relation =
                            provider.constraints.borrow().get(&set).cloned().unwrap_or_default();
                        format!("{a} ({relation}) does not go with {b}")
                    }
                    ConflictCause::Excluded => match graph.graph[target] {
                        ConflictNode::Excluded(reason) => {
                            format!("{a}: {}", provider.display_string(reason))
                        }
                        _ => format!("{a} is excluded"),
                    },
                    ConflictCause::ForbidMultipleInstances | ConflictCause::Locked(_) => {
                        format!("{a} needs another version than {b}")
                    }
                });
            }
        }
    }
    let mut chains: Vec<String> = missing.into_iter().chain(clashes).collect();
    chains.sort_by_key(|chain| chain.matches('→').count());
    if chains.len() > MOST_CHAINS {
        let more = chains.len() - MOST_CHAINS;
        chains.truncate(MOST_CHAINS);
        chains.push(format!("and {more} more"));
    }
    chains
}

/// The shortest way from the request to every node, as text.
struct Paths(HashMap<usize, String>);

impl Paths {
    fn new(graph: &ConflictGraph, provider: &Provider<'_>, label: &str) -> Paths {
        let mut texts = HashMap::from([(graph.root_node.index(), label.to_owned())]);
        let mut open = VecDeque::from([graph.root_node]);
        while let Some(node) = open.pop_front() {
            let way = texts[&node.index()].clone();
            let mut next: Vec<_> = graph
                .graph
                .edge_indices()
                .filter(|edge| matches!(graph.graph[*edge], ConflictEdge::Requires(_)))
                .filter_map(|edge| graph.graph.edge_endpoints(edge))
                .filter(|(source, _)| *source == node)
                .map(|(_, target)| (name_of(provider, graph.graph[target]), target))
                .collect();
            next.sort();
            for (name, target) in next {
                if let (Some(name), false) = (name, texts.contains_key(&target.index())) {
                    texts.insert(target.index(), format!("{way} → {name}"));
                    open.push_back(target);
                }
            }
        }
        Paths(texts)
    }

    fn to(&self, node: usize) -> &str {
        self.0.get(&node).map_or("", String::as_str)
    }
}

/// A package's name, with its version if there are several to choose from.
fn name_of(provider: &Provider<'_>, node: ConflictNode) -> Option<String> {
    let ConflictNode::Solvable(id) = node else { return None };
    let package = provider.universe.package(id.solvable()?.0);
    let several = provider.universe.of_name(package.name()).len() > 1;
    Some(if several {
        format!("{} {}", package.name(), package.version())
    } else {
        package.name().to_owned()
    })
}

/// Why none of a dependency's alternatives is there.
fn reasons(provider: &Provider<'_>, dependency: &Dependency<'_>) -> String {
    let each: Vec<String> =
        dependency.alternatives.iter().map(|relation| reason(provider, relation)).collect();
    match &each[..] {
        [only] => only.clone(),
        _ => {
            let named = dependency.alternatives.iter().zip(&each);
            named
                .map(|(relation, reason)| format!("{}: {reason}", relation.name))
                .collect::<Vec<_>>()
                .join("; ")
        }
    }
}

/// Why nothing that `relation` means is there.
fn reason(provider: &Provider<'_>, relation: &Relation<'_>) -> String {
    let universe = provider.universe;
    let versions = universe.versions(relation.name);
    if provider.is_excluded(relation.name) {
        return "excluded by the profile".to_owned();
    }
    if !universe.concerns(relation) {
        return "is of another architecture".to_owned();
    }
    if !versions.is_empty() {
        let versions: Vec<&str> = versions.iter().map(|version| version.0).collect();
        return format!("not available, candidates are {}", versions.join(", "));
    }
    let unbound = Relation { bound: None, ..*relation };
    let providers: BTreeSet<&str> =
        universe.meant(&unbound).map(|id| universe.package(id).name()).collect();
    if !providers.is_empty() {
        let providers: Vec<&str> = providers.into_iter().collect();
        return format!("no provider fits, there are {}", providers.join(", "));
    }
    match universe.nearest(relation.name) {
        Some(nearest) => format!("in no repository; is {nearest} meant?"),
        None => "in no repository".to_owned(),
    }
}
