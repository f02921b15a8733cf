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
