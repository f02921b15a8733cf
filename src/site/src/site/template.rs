//! The site file that `duet site new` writes: every key explained, what may be left out commented.

use super::Site;
use crate::{Label, SshKey};

/// The file, with `NAME` and `KEYS` to be filled in. A line that starts with `#key`, `#[` or `#"` is
/// an example that works without its `#`; other comments have a space after the `#`.
const TEMPLATE: &str = include_str!("template.toml");

impl Site {
    /// A commented site file for a new site, whose machines let in the owners of `ssh_keys`.
    pub fn template(name: &Label, ssh_keys: &[SshKey]) -> String {
        let keys: String = match ssh_keys {
            [] => "#\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJd1mRmbEZHTnLBaVIWVXHqYJbrRxHKXlUZ+9nQSoDuP you@example\",".into(),
            keys => keys.iter().map(|key| format!("\"{key}\",")).collect::<Vec<_>>().join("\n  "),
        };
        TEMPLATE.replace("NAME", name.as_str()).replace("KEYS", &keys)
    }
}
