//! What both rooms must tell k3s alike: its servers refuse one another, or make a cluster that does not
//! work, when they differ (k3s' "High Availability External DB", "Server Configuration"). Start at
//! [`Alike::of`].

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::Facts;

/// How the API server reaches kubelets and pods: k3s' own default, said so that both rooms say it.
pub(super) const EGRESS_SELECTOR_MODE: &str = "agent";

/// The settings that must be equal, by k3s' names for them. Another release may know more of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Alike(BTreeMap<String, String>);

impl Alike {
    /// Those of this machine.
    pub fn of(facts: &Facts<'_>) -> Alike {
        let said = facts.kubernetes;
        let mut disable: Vec<&str> = said.disable.iter().map(|part| part.as_str()).collect();
        disable.sort_unstable();
        let settings = [
            ("cluster-cidr", list(&said.cluster_cidr)),
            ("service-cidr", list(&said.service_cidr)),
            ("cluster-dns", list(&said.cluster_dns())),
            ("cluster-domain", said.cluster_domain.to_string()),
            ("flannel-backend", said.flannel_backend.as_str().to_owned()),
            ("secrets-encryption", said.secrets_encryption.to_string()),
            ("disable", list(&disable)),
            ("egress-selector-mode", EGRESS_SELECTOR_MODE.to_owned()),
            ("the release of k3s", facts.version.to_owned()),
        ];
        Alike(settings.map(|(key, value)| (key.to_owned(), value)).into())
    }
}

/// In which settings two rooms differ, in words; nothing if they agree. `theirs` may come from another
/// release.
pub fn differences(ours: &Alike, theirs: &Alike) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = ours.0.keys().chain(theirs.0.keys()).collect();
    let word = |value: Option<&String>| match value.map(String::as_str) {
        None => "not known".to_owned(),
        Some("") => "nothing".to_owned(),
        Some(value) => value.to_owned(),
    };
    keys.into_iter()
        .map(|key| (key, ours.0.get(key), theirs.0.get(key)))
        .filter(|(_, here, there)| here != there)
        .map(|(key, here, there)| {
            format!("{key} is {} here and {} in the other room", word(here), word(there))
        })
        .collect()
}

/// As k3s takes lists in one text.
pub(super) fn list(values: &[impl Display]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
