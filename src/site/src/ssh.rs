//! [`SshKey`]: who may log in.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::text::text_serde;

/// An OpenSSH public key as one line of an authorized_keys file (sshd(8)) without options: its type,
/// the key in base64 and perhaps a comment. The key inside is of the type that the line names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshKey {
    kind: &'static str,
    blob: Vec<u8>,
    comment: String,
}

/// Why a text is no public key that a machine would take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum SshKeyError {
    /// A private key, which must never leave its owner's machine.
    #[error("this is a private key, not a public one")]
    #[diagnostic(
        code(input::ssh_key),
        help(
            "paste the line of the .pub file; and since this key was written into a file that travels, make a new pair with `ssh-keygen`"
        )
    )]
    Private,
    /// The line does not start with a type that is known.
    #[error("`{0}` is not a type of key that machines take")]
    #[diagnostic(
        code(input::ssh_key),
        help("make one with `ssh-keygen -t ed25519` and paste the line of its .pub file")
    )]
    Kind(String),
    /// The middle of the line is missing or damaged.
    #[error("the key is not whole: {0}")]
    #[diagnostic(code(input::ssh_key), help("paste the line of the .pub file again, as one line"))]
    Damaged(&'static str),
    /// The line says one type, the key inside is another.
    #[error("the line says {said}, but the key in it is {inside}")]
    #[diagnostic(code(input::ssh_key), help("paste the line of the .pub file again, unchanged"))]
    Mixed {
        /// The type at the start of the line.
        said: String,
        /// The type inside the key.
        inside: String,
    },
    /// An RSA key that sshd could come to refuse.
    #[error("an RSA key of {0} bits is too weak")]
    #[diagnostic(code(input::ssh_key), help("make one with `ssh-keygen -t ed25519`"))]
    Weak(usize),
}

/// The types that Debian 13's sshd takes (ssh_config(5), PubkeyAcceptedAlgorithms).
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

/// The shortest RSA key that is taken, in bits.
const LEAST_RSA_BITS: usize = 2048;

impl SshKey {
    /// The owner's note at the end of the line; empty without one.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether both are the same key, whatever their comments say.
    pub fn is_same_key(&self, other: &SshKey) -> bool {
        self.blob == other.blob
    }
}

impl FromStr for SshKey {
    type Err = SshKeyError;

    fn from_str(text: &str) -> Result<Self, SshKeyError> {
        if text.contains("PRIVATE KEY") {
            return Err(SshKeyError::Private);
        }
        if text.trim().contains(['\n', '\r', '\0']) {
            return Err(SshKeyError::Damaged("it has more than one line"));
        }
        let mut words = text.split_whitespace();
        let said = words.next().unwrap_or_default();
        let kind = KINDS.iter().find(|kind| **kind == said);
        let kind = kind.ok_or_else(|| SshKeyError::Kind(said.chars().take(40).collect()))?;
        let blob = words.next().ok_or(SshKeyError::Damaged("nothing follows the type"))?;
        let blob = BASE64.decode(blob.as_bytes());
        let blob = blob.map_err(|_| SshKeyError::Damaged("its middle part is not base64"))?;
        check_blob(kind, &blob)?;
        Ok(SshKey { kind, blob, comment: words.collect::<Vec<_>>().join(" ") })
    }
}

/// Looks into the key itself: a list of strings, each after its length in four bytes, of which the
/// first is the type (RFC 4253, section 6.6; RFC 8709, section 4; RFC 5656, section 3.1).
fn check_blob(kind: &str, blob: &[u8]) -> Result<(), SshKeyError> {
    const SHORT: SshKeyError = SshKeyError::Damaged("its end is missing");
    let (inside, mut rest) = take_string(blob).ok_or(SHORT)?;
    if inside != kind.as_bytes() {
        let inside = String::from_utf8_lossy(&inside[..inside.len().min(40)]).into_owned();
        return Err(SshKeyError::Mixed { said: kind.to_owned(), inside });
    }
    let mut last: &[u8] = &[];
    let mut strings = 0;
    while !rest.is_empty() {
        (last, rest) = take_string(rest).ok_or(SHORT)?;
        strings += 1;
        if kind == "ssh-ed25519" && last.len() != 32 {
            return Err(SshKeyError::Damaged("an Ed25519 key has 32 bytes"));
        }
    }
    let expected = match kind {
        "ssh-ed25519" => 1,
        "sk-ecdsa-sha2-nistp256@openssh.com" => 3,
        _ => 2,
    };
    if strings != expected {
        return Err(SHORT);
    }
    // The last string of an RSA key is its modulus, led by a zero byte if its top bit is set.
    let bits = last.iter().skip_while(|byte| **byte == 0).count() * 8;
    if kind == "ssh-rsa" && bits < LEAST_RSA_BITS {
        return Err(SshKeyError::Weak(bits));
    }
    Ok(())
}

fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, BASE64.encode(&self.blob))?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

text_serde!(SshKey);

/// The contents of an authorized_keys file that lets in the owners of these keys and nobody else.
pub fn authorized_keys(keys: &[SshKey]) -> String {
    keys.iter().map(|key| format!("{key}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYoETBCxKDoPkfELUHtYX2vkStaWvQOiGPDvibeM4F5 ada@example";
    const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEHGE7xSnlKcb70YZpntKDlvAuvY7ZRTnEUtpxNpu1D+W3zoLASf9EhzE294o/D7Huez8cZ4o+0Xk8NTFxtKBFQ= ada@example";
    const P521: &str = "ecdsa-sha2-nistp521 \
        AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBACF3a1tg1heT1Wov6zZFdmY\
        3lIEMlYs1NaAtf6NFkkDX1W5FtNOZTBZYMWiFVLDJGUC3lQg8+BMG6uxKzvi6HIrmAEyd7xxbXn0\
        PfX1SUPgtFxAQNH/DelcoYSYRFdDPTfai2GjwWy8MQcezV3UcfxuvrgoQ6Fz846h0vtg4ssEaeDd\
        FA== ada@example";
    const RSA_2048: &str = "ssh-rsa \
        AAAAB3NzaC1yc2EAAAADAQABAAABAQCRnI8sWz2Bfm0rWmLJYvFr3LtkZK0gmgP6cuV4t5rWoMqs\
        VLFfVpgBkR2Pjlpw4c6g3f2+Ed9fUA3TwtviQB4oAgHAL0krqoXpjqghZmAeiw59IhrxMTlMvPc6\
        D1PiXsPFlqiKogXl6gz9BzfLesC4oFJc3H0Fr8BQHdUS9oUgbXxD4fsGvyAMs4Hrj5yzZdDVC7jY\
        FVGc5Hcy359/IcTL98RQ1XDxf+AaNfJxCipXFuyydjeUTY2Ya3b9VPDgasMHmVre4F8ps06tMXfw\
        AD+8u5ROEZYXlntelB2W9nyAvhny20yIGyIFUlz1/1Mr6xI0tIgFE9wkdYncdjMVTs97 ada@example";
    const RSA_1024: &str = "ssh-rsa \
        AAAAB3NzaC1yc2EAAAADAQABAAAAgQDJFfkJicyF5aTpbVvRIzaD6Y7+7TNKsr3ORDlABjYBPTt3\
        Mzb3fPK6kZTMo6wIxmJycioitBWG9aY9QEldKZgQwEMvpFDpnJXajQl/g8hKuAd3akIZF1li1zlA\
        qXQ96/V/NkaxfzS191SXAwFmZDU3tbEHnjhkj1hArqw8DGQ2QQ== ada@example";

    #[test]
    fn keys_of_ssh_keygen_are_taken_and_kept() {
        for line in [ED25519, P256, P521, RSA_2048] {
            let key: SshKey = format!("  {line}\n").parse().unwrap();
            assert_eq!(key.to_string(), line);
            assert_eq!(key.comment(), "ada@example");
        }
        let without_comment = ED25519.rsplit_once(' ').unwrap().0;
        assert_eq!(without_comment.parse::<SshKey>().unwrap().to_string(), without_comment);
    }

    #[test]
    fn one_key_with_two_comments_is_one_key() {
        let key: SshKey = ED25519.parse().unwrap();
        let other: SshKey = ED25519.replace("ada", "eve").parse().unwrap();
        assert!(key.is_same_key(&other) && key != other);
        assert!(!key.is_same_key(&P256.parse().unwrap()));
        assert_eq!(authorized_keys(&[key]), format!("{ED25519}\n"));
        assert_eq!(authorized_keys(&[]), "");
    }

    #[test]
    fn other_lines_are_refused_for_a_reason() {
        use SshKeyError::{Damaged, Kind, Mixed, Private, Weak};
        let blob = ED25519.split(' ').nth(1).unwrap();
        let cut = BASE64.encode(&BASE64.decode(blob.as_bytes()).unwrap()[..40]);
        for (line, why) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", Private),
            ("ssh-dss AAAA", Kind("ssh-dss".into())),
            ("", Kind(String::new())),
            (&format!("no-pty {ED25519}"), Kind("no-pty".into())),
            ("ssh-ed25519", Damaged("nothing follows the type")),
            ("ssh-ed25519 not/base64!", Damaged("its middle part is not base64")),
            (&format!("ssh-ed25519 {cut}"), Damaged("its end is missing")),
            (&ED25519.replacen("Yo", "Yo\n", 1), Damaged("it has more than one line")),
            (
                &ED25519.replacen("ssh-ed25519", "ssh-rsa", 1),
                Mixed { said: "ssh-rsa".into(), inside: "ssh-ed25519".into() },
            ),
            (RSA_1024, Weak(1024)),
        ] {
            assert_eq!(line.parse::<SshKey>(), Err(why), "{line}");
        }
    }
}
