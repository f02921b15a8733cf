//! The site's keys. Start at [`SiteKeys::generate`], which makes all of them; each is read back by its
//! own type. What is kept of a secret is wiped when it is dropped, and no `Debug` shows it.

mod authority;
mod leaf;
mod mode;
mod operator;
mod release;
#[cfg(test)]
mod tests;
mod token;
mod witness;

pub use authority::{Authority, Certificate, MachineCertificate, RoomAuthority, room_name};
pub use mode::{ExposedKey, check_mode};
pub use operator::{Operator, operator_name};
pub use release::{KeyId, PublicKey, ReleaseKey};
pub use token::JoinToken;
pub use witness::WitnessKeys;

use std::fmt;

use zeroize::Zeroizing;

use crate::{Label, Room, Timestamp};

/// The folder beside `site.toml` that holds the keys.
pub const FOLDER: &str = "keys";

/// The file with the [`ReleaseKey`]; secret.
pub const RELEASE_KEY: &str = "release.key";
/// The file with its [`PublicKey`].
pub const RELEASE_PUBLIC: &str = "release.pub";
/// The file with the private key of the [`Authority`]; secret.
pub const CA_KEY: &str = "ca.key";
/// The file with its [`Certificate`].
pub const CA_CERTIFICATE: &str = "ca.crt";
/// The file with the [`JoinToken`]; secret.
pub const JOIN_TOKEN: &str = "join.token";

/// The files with the certificates of the [`RoomAuthority`] of room a and room b.
pub const ROOM_CERTIFICATES: [&str; 2] = ["room-a.crt", "room-b.crt"];
/// The files with their private keys; secret.
pub const ROOM_KEYS: [&str; 2] = ["room-a.key", "room-b.key"];
/// The file with the private key of the [`Operator`]; secret.
pub const OPERATOR_KEY: &str = "operator.key";
/// The file with its certificate.
pub const OPERATOR_CERTIFICATE: &str = "operator.crt";

/// The keys of one site.
#[derive(Debug)]
pub struct SiteKeys {
    /// Signs seeds.
    pub release: ReleaseKey,
    /// Signs the certificates by which machines of the site know each other.
    pub authority: Authority,
    /// Sign the certificates of room a's and room b's machines.
    pub rooms: [RoomAuthority; 2],
    /// Lets a new machine in.
    pub join: JoinToken,
    /// Lets a person look at machines.
    pub operator: Operator,
}

/// One file of a site's keys, ready to be written.
#[derive(PartialEq, Eq)]
pub struct KeyFile {
    /// The file's name in [`FOLDER`].
    pub name: &'static str,
    /// What is in it.
    pub contents: Zeroizing<String>,
    /// Who may read and write it, as `chmod` takes it: 0600 for a secret, 0644 for what is public.
    pub mode: u32,
    /// What it is for and where to keep it, for a person.
    pub advice: &'static str,
}

/// Why a key is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum KeyError {
    /// The text is not in the form that this kind of key has.
    #[error("this is not {what}: {reason}")]
    #[diagnostic(
        code(input::key),
        help("put back the file that `duet site new` wrote, from where it was kept")
    )]
    Form {
        /// What should be there.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A certificate and a private key of different pairs.
    #[error("the site's certificate and its private key do not belong together")]
    #[diagnostic(
        code(input::key),
        help("put back the ca.crt and ca.key that were written by one `duet site new`")
    )]
    Pair,
    /// The system gave no random bytes, or a key could not be made of them.
    #[error("cannot make {0}")]
    #[diagnostic(code(output::key), help("check that /dev/urandom can be read, and try again"))]
    Generate(&'static str),
}

impl SiteKeys {
    /// Makes new keys. `now` is the date of the site's certificate.
    pub fn generate(site: &Label, now: Timestamp) -> Result<SiteKeys, KeyError> {
        let random = ring::rand::SystemRandom::new();
        let authority = Authority::generate(site, now)?;
        Ok(SiteKeys {
            release: ReleaseKey::generate(&random)?,
            operator: Operator::generate(site, &authority, now)?,
            rooms: [authority.room(site, Room::A, now)?, authority.room(site, Room::B, now)?],
            authority,
            join: JoinToken::generate(&random)?,
        })
    }

    /// The files that hold the keys, in the order in which a person should hear of them.
    pub fn files(&self) -> Vec<KeyFile> {
        let text = |text: String| Zeroizing::new(text);
        let file = |name, contents, mode, advice| KeyFile { name, contents, mode, advice };
        let mut files = vec![
            file(
                RELEASE_KEY,
                self.release.to_pem(),
                SECRET,
                "signs the seeds of your machines. Keep it on the computer that builds, with a copy \
                 offline: without it no machine takes a new seed.",
            ),
            file(
                RELEASE_PUBLIC,
                text(format!("{}\n", self.release.public())),
                PUBLIC,
                "tells machines which seeds are yours. Anybody may have it.",
            ),
            file(
                CA_KEY,
                self.authority.key_to_pem(),
                SECRET,
                "makes certificates that every machine of the site trusts. Keep it offline; \
                 building an image does not need it: the rooms have keys of their own.",
            ),
            file(
                CA_CERTIFICATE,
                text(self.authority.certificate().to_string()),
                PUBLIC,
                "lets machines know each other. It is part of every seed; anybody may have it.",
            ),
            file(
                JOIN_TOKEN,
                Zeroizing::new(format!("{}\n", self.join.reveal().as_str())),
                SECRET,
                "lets a new machine join the site. Keep it where the people who add machines find \
                 it, and nobody else.",
            ),
            file(
                OPERATOR_KEY,
                self.operator.key_to_pem(),
                SECRET,
                "shows machines that a person who runs the site asks, as `duet status` and `duet logs` \
                 do. Keep it on the computers of these people.",
            ),
            file(
                OPERATOR_CERTIFICATE,
                text(self.operator.certificate().to_string()),
                PUBLIC,
                "belongs to operator.key. Anybody may have it.",
            ),
        ];
        for ((certificate, key), room) in ROOM_CERTIFICATES.iter().zip(ROOM_KEYS).zip(&self.rooms) {
            files.push(file(
                key,
                room.key_to_pem(),
                SECRET,
                "makes the certificates of this room's machines, and goes into their seeds. Keep it on the \
                 computer that builds.",
            ));
            files.push(file(
                certificate,
                text(room.certificate().to_string()),
                PUBLIC,
                "lets machines of the site believe this room's. Anybody may have it.",
            ));
        }
        files
    }
}

/// A file that only its owner may read.
const SECRET: u32 = 0o600;

/// A file that everybody may read.
const PUBLIC: u32 = 0o644;

impl KeyFile {
    /// Whether nobody but the owner may read it.
    pub fn is_secret(&self) -> bool {
        self.mode == SECRET
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The one PEM block of a text, which must have this label (RFC 7468).
fn one_pem_block(
    text: &str,
    label: &str,
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let wrong = |reason| KeyError::Form { what, reason };
    let mut blocks = pem::parse_many(text).map_err(|_| wrong("its -----BEGIN block is damaged"))?;
    let block = blocks.pop().ok_or(wrong("it has no whole -----BEGIN block"))?;
    if !blocks.is_empty() {
        return Err(wrong("it has more than one -----BEGIN block"));
    }
    if block.tag() != label {
        return Err(wrong("its -----BEGIN line names something else"));
    }
    Ok(Zeroizing::new(block.into_contents()))
}

/// One PEM block (RFC 7468), with lines that end as on Unix.
fn to_pem(label: &str, contents: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, contents), config)
}
