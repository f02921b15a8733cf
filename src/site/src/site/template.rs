//! The site file that `duet site new` writes: every key explained, what may be left out commented.

use super::Site;
use crate::keys::Certificate;
use crate::pair::Place;
use crate::{Label, SshKey};

/// The file, with `NAME` and `KEYS` to be filled in. A line that starts with `#key`, `#[` or `#"` is
/// an example that works without its `#`; other comments have a space after the `#`.
const TEMPLATE: &str = include_str!("template.toml");

/// What the template says of the authority, and of a witness: both end where a new site has one.
const OPERATOR: &str = "authority = \"operator\"\n";
const WITNESS: &str = "#   [pair.witness]";

impl Site {
    /// A commented site file for a new site, whose machines let in the owners of `ssh_keys`, and whose
    /// rooms ask the witness at a place, if there is one, that the certificate vouches for.
    pub fn template(
        name: &Label,
        ssh_keys: &[SshKey],
        witness: Option<(&Place, &Certificate)>,
    ) -> String {
        let keys: String = match ssh_keys {
            [] => "#\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJd1mRmbEZHTnLBaVIWVXHqYJbrRxHKXlUZ+9nQSoDuP you@example\",".into(),
            keys => keys.iter().map(|key| format!("\"{key}\",")).collect::<Vec<_>>().join("\n  "),
        };
        let text = TEMPLATE.replace("NAME", name.as_str()).replace("KEYS", &keys);
        match (witness, text.split_once(WITNESS)) {
            (Some((place, certificate)), Some((before, after))) => {
                // The example gives way to the real one.
                let (_, after) = after.split_once("#   \"\"\"\n").unwrap_or(("", after));
                let before = before.replace(OPERATOR, "authority = \"witness\"\n");
                format!(
                    "{before}[pair.witness]\naddresses = [\"{place}\"]\n\
                     certificate = \"\"\"\n{certificate}\"\"\"\n{after}"
                )
            }
            _ => text,
        }
    }
}
