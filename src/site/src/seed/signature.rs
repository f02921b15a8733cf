//! Signs seeds and checks them. Start at [`sign`] and [`verify`].

use data_encoding::BASE64;

use super::{FORMAT, Seed, encode};
use crate::Timestamp;
use crate::keys::{KeyId, PublicKey, ReleaseKey};

/// The most bytes of a seed: many times what a site with a hundred SSH keys needs, and little enough
/// to be read before anything is known of it.
const LARGEST_SEED: usize = 256 << 10;

/// The most bytes of a signature file: four short lines.
const LARGEST_SIGNATURE: usize = 4 << 10;

/// What stands before a seed in the message that is signed, so that the signature of nothing else
/// can serve as one of a seed.
const DOMAIN: &[u8] = b"duet seed v1\n";

/// The first line of a signature file.
const HEADER: &str = "duet seed signature v1";

/// A seed that holds, and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The seed.
    pub seed: Seed,
    /// The site's release key. A machine that has pinned none yet must pin this one.
    pub signer: PublicKey,
}

/// Why a seed does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum SeedError {
    /// Far more than a seed or a signature can be.
    #[error("the {what} has {bytes} bytes")]
    #[diagnostic(code(integrity::seed_size), help("it is some other file. {CURE}"))]
    Large {
        /// Which file: `seed` or `seed's signature`.
        what: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// Bytes that are no text.
    #[error("the {what} is not UTF-8 text")]
    #[diagnostic(code(integrity::seed_text), help("the file is damaged. {CURE}"))]
    NotText {
        /// Which file: `seed` or `seed's signature`.
        what: &'static str,
    },
    /// Text that is not what it should be.
    #[error("the {what} is malformed: {reason}")]
    #[diagnostic(code(integrity::seed_form), help("the file is damaged. {CURE}"))]
    Malformed {
        /// Which file: `seed` or `seed's signature`.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A seed of a later release.
    #[error("the seed has format {found}, this image reads format {FORMAT}")]
    #[diagnostic(
        code(integrity::seed_format),
        help(
            "write the seed with the release of `duet` that built this image, or install a newer image"
        )
    )]
    Format {
        /// The seed's format.
        found: i64,
    },
    /// The seed is not what was signed.
    #[error("the seed's signature does not match: the seed was changed after it was signed")]
    #[diagnostic(
        code(integrity::seed_signature),
        help("seed.toml cannot be edited on the machine. Change site.toml instead. {CURE}")
    )]
    Signature,
    /// A good seed of somebody else.
    #[error("the seed was signed by another site's key {signer}; this machine belongs to {pinned}")]
    #[diagnostic(
        code(integrity::seed_signer),
        help(
            "write a seed of this machine's own site, or erase its state partition to give it to another site"
        )
    )]
    OtherSite {
        /// Who signed the seed.
        signer: KeyId,
        /// Whose seeds the machine takes.
        pinned: KeyId,
    },
    /// A seed that was good once.
    #[error("the seed expired at {expired}, and it is {now}")]
    #[diagnostic(
        code(integrity::seed_expired),
        help("write a new seed, or set the machine's clock if it is wrong. {CURE}")
    )]
    Expired {
        /// When it did.
        expired: Timestamp,
        /// What the clock says.
        now: Timestamp,
    },
}

/// How a machine comes by a good seed.
const CURE: &str = "On the workstation build the image again from site.toml and copy the three seed files to the ESP";

/// The texts of `seed.toml` and of its signature, `seed.sig`.
pub fn sign(seed: &Seed, key: &ReleaseKey) -> (String, String) {
    let text = encode(seed);
    let public = key.public();
    let signature = BASE64.encode(&key.sign(&message(text.as_bytes())));
    let id = public.id();
    let signature =
        format!("{HEADER}\nkey-id: {id}\npublic-key: {public}\nsignature: {signature}\n");
    (text, signature)
}

fn message(seed: &[u8]) -> Vec<u8> {
    [DOMAIN, seed].concat()
}

/// The seed that `seed` and `signature` hold, if the site that `pinned` names signed it; whoever
/// signed it if none is pinned.
///
/// `now` is only compared with the seed's end: a machine whose clock stopped at some early time
/// starts all the same, and chrony then sets its clock.
pub fn verify(
    seed: &[u8],
    signature: &[u8],
    pinned: Option<&PublicKey>,
    now: Timestamp,
) -> Result<Verified, SeedError> {
    let seed = text("seed", seed, LARGEST_SEED)?;
    let signature = text("seed's signature", signature, LARGEST_SIGNATURE)?;
    let (signer, signature) = parse_signature(signature)?;
    if !signer.signed(&message(seed.as_bytes()), &signature) {
        return Err(SeedError::Signature);
    }
    if let Some(pinned) = pinned.filter(|pinned| **pinned != signer) {
        return Err(SeedError::OtherSite { signer: signer.id(), pinned: pinned.id() });
    }
    let seed = parse(seed)?;
    match seed.expires {
        Some(expired) if expired <= now => Err(SeedError::Expired { expired, now }),
        _ => Ok(Verified { seed, signer }),
    }
}

fn text<'b>(what: &'static str, bytes: &'b [u8], most: usize) -> Result<&'b str, SeedError> {
    if bytes.len() > most {
        return Err(SeedError::Large { what, bytes: bytes.len() });
    }
    std::str::from_utf8(bytes).map_err(|_| SeedError::NotText { what })
}

fn parse_signature(text: &str) -> Result<(PublicKey, Vec<u8>), SeedError> {
    let malformed = |reason: String| SeedError::Malformed { what: "seed's signature", reason };
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(malformed(format!("its first line is not `{HEADER}`")));
    }
    let mut field = |name: &str| {
        let value = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.ok_or_else(|| malformed(format!("the line `{name}: …` is missing")))
    };
    let (id, key, signature) = (field("key-id")?, field("public-key")?, field("signature")?);
    if lines.next().is_some() {
        return Err(malformed("it has more than four lines".into()));
    }
    let key: PublicKey =
        key.parse().map_err(|error: crate::keys::KeyError| malformed(error.to_string()))?;
    if key.id().to_string() != id {
        return Err(malformed("its key and its key-id do not belong together".into()));
    }
    let signature = BASE64.decode(signature.as_bytes());
    let signature = signature.map_err(|_| malformed("its signature is not base64".into()))?;
    Ok((key, signature))
}

/// Reads a seed whose signature holds. The format comes first, because a later one may have keys
/// that this release cannot know.
fn parse(text: &str) -> Result<Seed, SeedError> {
    let malformed = |error: toml::de::Error| {
        let reason = error.message().replace('\n', ", ");
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        SeedError::Malformed { what: "seed", reason: format!("{place}{reason}") }
    };
    let table: toml::Table = text.parse().map_err(malformed)?;
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(found) if found == i64::from(FORMAT) => {}
        Some(found) => return Err(SeedError::Format { found }),
        None => {
            let reason = "it does not say its format".to_owned();
            return Err(SeedError::Malformed { what: "seed", reason });
        }
    }
    let seed: Seed = toml::from_str(text).map_err(malformed)?;
    // What reaches a screen must not steer it.
    if seed.room_title.chars().any(char::is_control) {
        let reason = "the room's title is not one line of text".to_owned();
        return Err(SeedError::Malformed { what: "seed", reason });
    }
    Ok(seed)
}
