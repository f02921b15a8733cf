//! [`Operator`]: what a person who runs the site shows to its machines.

use std::fmt;

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use zeroize::Zeroizing;

use super::leaf::{Leaf, Says};
use super::{Authority, Certificate, KeyError};
use crate::{Label, Timestamp};

/// A certificate with the [`operator_name`], and its key. Machines show their logs to who has it. It is valid
/// as long as the authority that signs it.
pub struct Operator(Leaf);

/// The DNS name in the certificate of a person who runs the site.
pub fn operator_name(site: &Label) -> String {
    format!("operator.{site}.duet.internal")
}

impl Operator {
    /// Makes a new key, and has the site's authority sign it. `now` is the date of that authority's own
    /// certificate.
    pub fn generate(
        site: &Label,
        authority: &Authority,
        now: Timestamp,
    ) -> Result<Operator, KeyError> {
        let says = Says {
            what: "an operator's certificate",
            title: &format!("operator of {site}"),
            names: vec![operator_name(site)],
            ends: &[ClientAuth, ServerAuth],
        };
        Leaf::signed(&authority.issuer()?, says, now).map(Operator)
    }

    /// The contents of `operator.crt`, which everybody may have.
    pub fn certificate(&self) -> &Certificate {
        &self.0.certificate
    }

    /// The contents of `operator.key`.
    pub fn key_to_pem(&self) -> Zeroizing<String> {
        self.0.key.clone()
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operator(…)")
    }
}
