//! [`Root`]: where the node's files are. Every path that duetd reads or writes is named here once,
//! and a test gives it a directory of its own to play the machine in. Where the state store keeps what
//! it has is one of its settings.

use std::path::PathBuf;

/// The root of the machine's file system: `/`, except in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// The machine below `path`.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Root {
        Root(path.into())
    }

    /// The place of an absolute path of the machine.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        debug_assert!(absolute.starts_with('/'), "{absolute} must be absolute");
        self.0.join(absolute.trim_start_matches('/'))
    }
}

/// Where the EFI partition is mounted.
pub(crate) const ESP: &str = "/efi";
/// The seed, and its detached signature, on the ESP.
pub(crate) const SEED: &str = "/efi/duet/seed.toml";
/// See [`SEED`].
pub(crate) const SEED_SIGNATURE: &str = "/efi/duet/seed.sig";
/// The secrets that go with the seed, on the ESP until the first boot has taken them.
pub(crate) const SEED_SECRETS: &str = "/efi/duet/seed.secrets";
/// The boot loader's entries; their names count the tries.
pub(crate) const ENTRIES: &str = "/efi/EFI/Linux";

/// What outlives a restart and an upgrade.
pub(crate) const STATE: &str = "/var/lib/duet";
/// The public key of the site to which this machine belongs, since its first seed.
pub(crate) const SITE_KEY: &str = "/var/lib/duet/site.pub";
/// The machine's ssh host key, in a folder that appears at once or not at all.
pub(crate) const HOST_KEY_FOLDER: &str = "/var/lib/duet/ssh";
/// See [`HOST_KEY_FOLDER`].
pub(crate) const HOST_KEY: &str = "/var/lib/duet/ssh/ssh_host_ed25519_key";

/// Folders in which something is written now and then: they were changed when the machine still knew the time.
pub(crate) const KEPT_TIMES: [&str; 2] = ["/var/lib/duet-store", "/var/lib/chrony"];
/// What the machine's own clock says, in seconds since 1970 (Linux, ABI/testing/sysfs-class-rtc).
pub(crate) const HARDWARE_CLOCK: &str = "/sys/class/rtc/rtc0/since_epoch";

/// The secrets of the seed, for root alone, where no TPM seals them.
pub(crate) const KEPT_SECRETS: &str = "/var/lib/duet/secrets/seed.secrets";
/// The secrets of the seed, sealed to this machine's TPM.
pub(crate) const SEALED_SECRETS: &str = "/var/lib/duet/secrets/seed.secrets.cred";
/// The secret that k3s' machines of one site share, where the image has k3s.
pub(crate) const JOIN_TOKEN: &str = "/var/lib/duet/secrets/join.token";
/// The machine's certificate, its key, and from what they were made, in a folder that appears at once or
/// not at all.
pub(crate) const IDENTITY_FOLDER: &str = "/var/lib/duet/identity";
/// See [`IDENTITY_FOLDER`]: the certificate, and that of the room which signed it.
pub(crate) const IDENTITY_CERTIFICATE: &str = "/var/lib/duet/identity/node.crt";
/// See [`IDENTITY_FOLDER`].
pub(crate) const IDENTITY_KEY: &str = "/var/lib/duet/identity/node.key";
/// See [`IDENTITY_FOLDER`].
pub(crate) const IDENTITY_SOURCE: &str = "/var/lib/duet/identity/made-from";

/// The store's settings that every control machine has, part of the image.
pub(crate) const STORE_OF_IMAGE: &str = "/etc/duet/store.toml";
/// The store's settings of this boot; without it there is no store.
pub(crate) const STORE_SETTINGS: &str = "/run/duet/store.toml";
/// The agent's settings of this boot; without it there is no agent.
pub(crate) const AGENT_SETTINGS: &str = "/run/duet/agent.toml";

/// Left by /init: how the machine started.
pub(crate) const BOOT_RECORD: &str = "/run/duet/boot.json";
/// Left by `duetd boot`: who this node is.
pub(crate) const NODE: &str = "/run/duet/node.json";
/// Left by `duetd boot`: which disks may be taken for volumes; nothing without a good seed.
pub(crate) const DISKS_SETTINGS: &str = "/run/duet/disks.toml";
/// Left by `duetd disks`: what came of each disk.
pub(crate) const DISKS: &str = "/run/duet/disks.json";
/// The disks on which this machine has seen its site's mark, a line for each.
pub(crate) const DISKS_TAKEN: &str = "/var/lib/duet/disks";
/// Left by `duetd health`: whether this boot is good.
pub(crate) const VERDICT: &str = "/run/duet/health.json";
/// The agent's own folder, which systemd makes for it.
pub(crate) const AGENT_FOLDER: &str = "/run/duet-agent";
/// Left by the agent: who is on the wire.
pub(crate) const NEIGHBOURS: &str = agent::discovery::NEIGHBOURS;
/// Left by `duetd address`, in a folder of its own: which addresses of this node's others have.
pub(crate) const TAKEN: &str = "/run/duet-address/taken.json";
/// Who may log in.
pub(crate) const AUTHORIZED_KEYS: &str = "/run/duet/ssh/authorized_keys";
/// systemd-networkd's settings of this boot.
pub(crate) const NETWORKD: &str = "/run/systemd/network";
/// chrony's time servers of this boot.
pub(crate) const TIME_SOURCES: &str = "/run/chrony-duet/duet.sources";

/// A TPM 2.0 that the kernel drives, with the kernel sharing it among those who ask.
pub(crate) const TPM: &str = "/dev/tpmrm0";
/// Where the firmware says that there is a TPM 2.0 (TCG ACPI Specification, table `TPM2`).
pub(crate) const TPM_TABLE: &str = "/sys/firmware/acpi/tables/TPM2";

/// What the image says of its components.
pub(crate) const COMPONENTS: &str = "/usr/lib/duet/components.json";

/// What systemd-boot booted, with the tries that are left, in a counted boot (Boot Loader
/// Interface, `LoaderBootCountPath`).
pub(crate) const BOOT_COUNT: &str =
    "/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Root;
    use crate::durable;

    /// A folder that plays a machine, with files as the kernel and the image would have them.
    pub(crate) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for (path, text) in files {
            durable::write(&root.path(path), text.as_bytes(), 0o644).unwrap();
        }
        (dir, root)
    }
}
