//! [`WitnessKeys`]: a new witness' own authority, and its certificate. A witness that serves other sites
//! already has them; see docs/witness.md.

use std::fmt;

use rcgen::ExtendedKeyUsagePurpose;
use zeroize::Zeroizing;

use super::leaf::{Leaf, Says};
use super::{Authority, Certificate, KeyError, KeyFile, PUBLIC, SECRET};
use crate::Timestamp;

/// The name in a witness' certificate, if the site file says no other.
const NAME: &str = "witness.duet.internal";

/// What a new witness needs. The key of its authority is not kept: it has signed the one certificate that it
/// is for.
pub struct WitnessKeys {
    authority: Certificate,
    certificate: Certificate,
    key: Zeroizing<String>,
}

impl WitnessKeys {
    /// Makes new keys, good for twenty years from `now` on.
    pub fn generate(now: Timestamp) -> Result<WitnessKeys, KeyError> {
        let signer = Authority::titled("witness authority", now)?;
        let says = Says {
            what: "a witness' certificate",
            title: "witness",
            names: vec![NAME.to_owned()],
            ends: &[ExtendedKeyUsagePurpose::ServerAuth],
        };
        let Leaf { certificate, key } = Leaf::signed(&signer.issuer()?, says, now)?;
        Ok(WitnessKeys { authority: signer.certificate().clone(), certificate, key })
    }

    /// The certificate of its authority, which goes into the site file.
    pub fn authority(&self) -> &Certificate {
        &self.authority
    }

    /// The files that go to the witness' machine.
    pub fn files(&self) -> Vec<KeyFile> {
        vec![
            KeyFile {
                name: "witness.key",
                contents: self.key.clone(),
                mode: SECRET,
                advice: "belongs on the witness' machine, as /etc/duet-witness/witness.key, and nowhere else.",
            },
            KeyFile {
                name: "witness.crt",
                contents: Zeroizing::new(self.certificate.to_string()),
                mode: PUBLIC,
                advice: "goes beside it. The rooms know its authority from the site file.",
            },
        ]
    }
}

impl fmt::Debug for WitnessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WitnessKeys(…)")
    }
}
