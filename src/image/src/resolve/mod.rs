//! Decides which packages make up a set: requests and everything they need, in Debian's words.
//!
//! Start at [`Universe::new`] and [`Universe::resolve`]. The search is a SAT solver's (`resolvo`);
//! what it sees of Debian's rules is in `provider`, which packages of its answer are really needed is
//! decided in `needed`, and why there is no answer is told in `explain`. Pure: the same indexes and
//! the same request give the same packages in the same order.
//!
//! The rules, where Policy leaves a choice: the highest version of all repositories comes first; the
//! first alternative of a dependency comes first unless another one is there anyway; of a virtual
//! package's providers the one with the highest priority comes first, then by name. `Recommends` are
//! never followed.

mod explain;
mod needed;
mod provider;
#[cfg(test)]
mod tests;
mod universe;

use resolvo::{Problem, Solver, UnsolvableOrCancelled};

use crate::relation::{Dependency, RelationError, parse_dependencies};
use crate::repository::Package;
use provider::Provider;
pub use universe::Universe;

/// What a set shall hold.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the chain of an unsatisfiable request begins with: `control`, `control's tools`.
    pub label: String,
    /// What is asked for, each as in a `Depends` field: `systemd`, `drbd-utils (>= 9.22)`.
    pub install: Vec<String>,
    /// Whether all packages marked essential belong to it, as on every Debian system.
    pub essential: bool,
    /// Packages, real or virtual, that never belong to it, whatever depends on them.
    pub exclude: Vec<String>,
}

/// What a set holds.
pub struct Resolution<'a> {
    /// The packages, by name.
    pub packages: Vec<Package<'a>>,
    /// Dependencies that are not satisfied because of an exclusion.
    pub dropped: Vec<Dropped>,
}

/// A dependency that is not satisfied because of an exclusion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropped {
    /// Whose dependency it is.
    pub package: String,
    /// The dependency as written.
    pub depends: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ResolveError {
    /// The request cannot be satisfied.
    #[error("the packages of {label} cannot be installed together:{}", indented(chains))]
    #[diagnostic(
        code(resolve::unsatisfiable),
        help(
            "each line leads from the profile to what is missing or in conflict: ask for another package, name another repository or suite, or list what can be done without under `exclude`"
        )
    )]
    Unsatisfiable {
        /// Whose request it is.
        label: String,
        /// The chains from the request to each cause.
        chains: Vec<String>,
    },
    /// A package is both asked for and excluded.
    #[error("{label} asks for the package `{name}` and excludes it as well")]
    #[diagnostic(code(input::exclude), help("take it out of one of the two lists"))]
    AskedAndExcluded {
        /// Whose request it is.
        label: String,
        /// The package.
        name: String,
    },
    /// A request that is not written as a dependency.
    #[error("{label} asks for something that is no package")]
    #[diagnostic(code(input::package))]
    Request {
        /// Whose request it is.
        label: String,
        /// What is wrong.
        #[source]
        #[diagnostic_source]
        source: RelationError,
    },
}

impl<'a> Universe<'a> {
    /// The packages that satisfy `request`.
    ///
    /// # Errors
    /// If there are none: the chains that lead from the request to what is missing or in conflict.
    pub fn resolve(&'a self, request: &'a Request) -> Result<Resolution<'a>, ResolveError> {
        let asked = asked(self, request)?;
        let provider = Provider::new(self, request);
        let roots: Vec<_> =
            asked.iter().filter_map(|dependency| provider.requirement(None, dependency)).collect();
        let mut solver = Solver::new(provider);
        let problem = Problem::new().requirements(roots.into_iter().map(Into::into).collect());
        match solver.solve(problem) {
            Ok(chosen) => {
                let (needed, dropped) = needed::needed(solver.provider(), &asked, &chosen);
                let mut packages: Vec<Package<'a>> =
                    needed.into_iter().map(|id| self.package(id)).collect();
                packages.sort_by_key(|package| package.name());
                Ok(Resolution { packages, dropped })
            }
            Err(UnsolvableOrCancelled::Unsolvable(conflict)) => {
                let chains = explain::chains(&conflict.graph(&solver), solver.provider(), request);
                Err(ResolveError::Unsatisfiable { label: request.label.clone(), chains })
            }
            Err(UnsolvableOrCancelled::Cancelled(_)) => {
                unreachable!("the provider never cancels")
            }
        }
    }
}

/// The requests and the essential packages, as dependencies of the set itself.
fn asked<'a>(
    universe: &'a Universe<'a>,
    request: &'a Request,
) -> Result<Vec<Dependency<'a>>, ResolveError> {
    let mut asked = Vec::new();
    for text in &request.install {
        let mut parsed = parse_dependencies(text)
            .map_err(|source| ResolveError::Request { label: request.label.clone(), source })?;
        asked.append(&mut parsed);
    }
    for dependency in &asked {
        let name = dependency.alternatives[0].name;
        if request.exclude.iter().any(|excluded| excluded == name) {
            return Err(ResolveError::AskedAndExcluded {
                label: request.label.clone(),
                name: name.to_owned(),
            });
        }
    }
    if request.essential {
        let wanted = universe
            .essential()
            .filter(|name| !request.exclude.iter().any(|excluded| excluded == name));
        asked.extend(wanted.map(Dependency::on));
    }
    Ok(asked)
}

/// The chains, one to a line.
fn indented(chains: &[String]) -> String {
    chains.iter().fold(String::new(), |text, chain| text + "\n  " + chain)
}
