//! The kinds of text that only Kubernetes has: [`ClusterDomain`] and [`NodeLabel`].

use std::fmt;
use std::str::FromStr;

use crate::text::text_serde;
use crate::{Host, Label};

/// The domain of services' names, such as `cluster.local`: DNS labels, and no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDomain(Host);

/// A text that is no domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` cannot be the domain of a cluster")]
#[diagnostic(
    code(input::cluster_domain),
    help("write a domain in lower case, such as cluster.local")
)]
pub struct DomainError(String);

/// The longest domain that leaves room for `SERVICE.NAMESPACE.svc.` before it in a DNS name of 253
/// bytes (RFC 1035, section 2.3.4): both are labels of up to 63.
const LONGEST_DOMAIN: usize = 253 - 63 - 63 - 6;

impl Default for ClusterDomain {
    fn default() -> Self {
        "cluster.local".parse().expect("Kubernetes' own default is a domain")
    }
}

impl FromStr for ClusterDomain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let host: Option<Host> = text.parse().ok();
        host.filter(|host| {
            host.ip().is_none() && host.as_str() == text && text.len() <= LONGEST_DOMAIN
        })
        .map(ClusterDomain)
        .ok_or_else(|| DomainError(text.chars().take(LONGEST_DOMAIN).collect()))
    }
}

impl fmt::Display for ClusterDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A label of a machine, written `key=value` (Kubernetes' "Labels and Selectors", "Syntax and character
/// set"). A key of Kubernetes' own is none: the kubelet may not set it on itself, or Duet does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeLabel {
    key: String,
    value: String,
}

/// Why a text is no [`NodeLabel`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum NodeLabelError {
    /// Not a key, `=` and a value of the right letters.
    #[error("`{0}` is not a label")]
    #[diagnostic(
        code(input::node_label),
        help(
            "write \"example.org/rack=7\": letters, digits, `-`, `_` and `.`, at most 63 on each side"
        )
    )]
    Form(String),
    /// A key that is set by others.
    #[error("the label `{0}` is not a site's to set")]
    #[diagnostic(
        code(input::node_label),
        help("take a domain of your own before the `/`; Duet sets the room and the site itself")
    )]
    Reserved(String),
}

impl NodeLabel {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// The longest name and the longest value.
const LONGEST: usize = 63;

/// Whose labels are not a site's to set.
const RESERVED: [&str; 3] = ["kubernetes.io", "k8s.io", "duet.internal"];

impl FromStr for NodeLabel {
    type Err = NodeLabelError;

    fn from_str(text: &str) -> Result<Self, NodeLabelError> {
        let form = || NodeLabelError::Form(text.chars().take(2 * LONGEST).collect());
        let (key, value) = text.split_once('=').ok_or_else(form)?;
        let (domain, name) = match key.split_once('/') {
            Some((domain, name)) => (Some(domain), name),
            None => (None, key),
        };
        let good_domain = domain.is_none_or(|domain| {
            domain.len() <= 253 && domain.split('.').all(|part| part.parse::<Label>().is_ok())
        });
        if !is_word(name) || !(value.is_empty() || is_word(value)) || !good_domain {
            return Err(form());
        }
        let reserved = |domain: &str| {
            RESERVED.iter().any(|own| {
                domain.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
        };
        if domain.is_some_and(reserved) {
            return Err(NodeLabelError::Reserved(key.to_owned()));
        }
        Ok(NodeLabel { key: key.to_owned(), value: value.to_owned() })
    }
}

fn is_word(text: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= LONGEST
        && end(text.chars().next())
        && end(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

impl fmt::Display for NodeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

text_serde!(ClusterDomain, NodeLabel);
