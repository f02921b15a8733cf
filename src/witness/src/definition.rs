//! The file of a site, `sites/NAME.toml`: whose rooms may ask, and which generation the site has here.
//! Start at [`Definition`]. Only the commands of a person write it; the running witness reads.

use std::fmt;
use std::num::NonZeroU64;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use site::Label;

/// The version of the file's form.
const FORMAT: u32 = 1;

/// What a file's name ends with, after the site's.
pub const SUFFIX: &str = ".toml";

/// The longest text of certificates, in bytes: an authority and the one before it, with large keys.
pub const LONGEST_AUTHORITY: usize = 16 << 10;

/// Which life of the witness this is for a site: another number whenever the site is added or the witness
/// was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(NonZeroU64);

impl Generation {
    /// From a random number; none from 0, which means that no witness knows a site.
    #[must_use]
    pub fn new(number: u64) -> Option<Generation> {
        NonZeroU64::new(number).map(Generation)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.get())
    }
}

/// A site, as a person added it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub site: Label,
    /// Its generation here.
    pub generation: Generation,
    /// Who signs its rooms' certificates: one or more certificates as PEM text.
    pub authority: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    format: u32,
    site: String,
    generation: String,
    authority: String,
}

/// Why a text is no [`Definition`].
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// It is not TOML, or a key is missing or unknown.
    #[error("it is not a site's file: {}", .0.message())]
    Text(#[from] toml::de::Error),
    /// Written by a later release.
    #[error("it has format {0}; this program reads format {FORMAT}")]
    Format(u32),
    /// The name within is not the one of the file.
    #[error("it is the file of site {0:?}")]
    OtherSite(String),
    /// The generation is no number.
    #[error("its generation {0:?} is not a number of 16 hexadecimal digits other than 0")]
    Generation(String),
    /// No certificate is in it.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Why a text does not say who signs.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum AuthorityError {
    /// There is no certificate in it.
    #[error("there is no certificate in PEM in it")]
    #[diagnostic(code(input::witness_ca), help("`openssl x509 -in FILE -noout -text` reads it"))]
    None,
    /// Too much.
    #[error("it has {0} bytes; certificates of an authority have at most {LONGEST_AUTHORITY}")]
    #[diagnostic(code(input::witness_ca), help("give the authority's certificate alone"))]
    Long(usize),
    /// It holds a private key.
    #[error("it holds a private key, which belongs to the site alone")]
    #[diagnostic(
        code(input::witness_ca),
        help(
            "give the authority's certificate alone; take that key for lost if others can read the file"
        )
    )]
    Key,
    /// The certificate is broken.
    #[error("its certificate cannot be used: {0}")]
    #[diagnostic(code(input::witness_ca), help("`openssl x509 -in FILE -noout -text` reads it"))]
    Broken(String),
}

impl Definition {
    /// A site whose authority was looked at.
    ///
    /// # Errors
    /// [`AuthorityError`], if `authority` holds no certificate that could sign.
    pub fn new(
        site: Label,
        generation: Generation,
        authority: &str,
    ) -> Result<Definition, AuthorityError> {
        let pem = pem_only(authority);
        check_authority(authority)?;
        check_authority(&pem)?;
        Ok(Definition { site, generation, authority: pem })
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(site: &Label) -> String {
        format!("{site}{SUFFIX}")
    }

    /// Reads the file of `site`.
    ///
    /// # Errors
    /// [`DefinitionError`].
    pub fn parse(text: &str, site: &Label) -> Result<Definition, DefinitionError> {
        let raw: Raw = toml::from_str(text)?;
        if raw.format != FORMAT {
            return Err(DefinitionError::Format(raw.format));
        }
        if raw.site != site.as_str() {
            return Err(DefinitionError::OtherSite(raw.site));
        }
        let number = Some(&raw.generation).filter(|text| text.len() == 16);
        let number = number.and_then(|text| u64::from_str_radix(text, 16).ok());
        let Some(generation) = number.and_then(Generation::new) else {
            return Err(DefinitionError::Generation(raw.generation));
        };
        check_authority(&raw.authority)?;
        Ok(Definition { site: site.clone(), generation, authority: raw.authority })
    }

    /// The file's text; [`Definition::parse`] reads it.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Certificates in PEM hold no backslash and no quotation mark, so the text stays as it was.
        format!(
            "# A site of this witness. Written by `duetd witness site add` and `duetd witness renew`.\n\
             format = {FORMAT}\n\
             site = \"{}\"\n\
             generation = \"{}\"\n\
             authority = \"\"\"\n{}\"\"\"\n",
            self.site, self.generation, self.authority
        )
    }

    /// The certificates that may sign for this site.
    ///
    /// # Errors
    /// [`AuthorityError`], if there is none.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        certificates(&self.authority)
    }
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(AuthorityError::None),
    }
}

fn check_authority(text: &str) -> Result<(), AuthorityError> {
    if text.len() > LONGEST_AUTHORITY {
        return Err(AuthorityError::Long(text.len()));
    }
    if text.contains("PRIVATE KEY") {
        return Err(AuthorityError::Key);
    }
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(text)? {
        roots.add(certificate).map_err(|error| AuthorityError::Broken(error.to_string()))?;
    }
    Ok(())
}

/// The lines of certificates alone: what programs write around them may be anything.
fn pem_only(text: &str) -> String {
    let mut within = false;
    let mut kept = String::new();
    for line in text.lines().map(str::trim_end) {
        within |= line == "-----BEGIN CERTIFICATE-----";
        if within {
            kept.push_str(line);
            kept.push('\n');
        }
        within &= line != "-----END CERTIFICATE-----";
    }
    kept
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A certificate that signs, as PEM text.
    pub(crate) fn authority() -> String {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn definition() -> Definition {
        let generation = Generation::new(0x2a).unwrap();
        Definition::new("harbour".parse().unwrap(), generation, &authority()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let plain = definition();
        let around = format!("subject=\"\"\"\\x\n{}and more", plain.authority);
        let written = Definition::new(plain.site, plain.generation, &around).unwrap();
        assert_eq!(written.authority, plain.authority);
        let read = Definition::parse(&written.to_text(), &written.site).unwrap();
        assert_eq!(read, written);
        assert_eq!(read.certificates().unwrap().len(), 1);
        assert_eq!(read.generation.to_string(), "000000000000002a");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = definition().to_text();
        let check = |from: &str, to: &str, expected: &str| {
            let site = "harbour".parse().unwrap();
            let error = Definition::parse(&good.replace(from, to), &site).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("format = 1", "format = 2", "it has format 2; this program reads format 1");
        check("\"harbour\"", "\"quay\"", "it is the file of site \"quay\"");
        check("000000000000002a", "2a", "\"2a\" is not a number of 16");
        check("000000000000002a", "0000000000000000", "other than 0");
        check("site =", "sight =", "unknown field `sight`");
        check("BEGIN CERTIFICATE", "BEGIN", "there is no certificate in PEM");
        check("BEGIN CERTIFICATE", "BEGIN PRIVATE KEY", "it holds a private key");
        check("\nMII", "\nAAA", "its certificate cannot be used");
    }

    #[test]
    fn an_authority_has_a_bound() {
        let long = authority().repeat(40);
        let error = Definition::new("x".parse().unwrap(), Generation::new(1).unwrap(), &long);
        assert!(matches!(error, Err(AuthorityError::Long(_))));
    }
}
