//! Debian repositories: what they hold, believed only because their keyring's keys signed it.
//!
//! Start at [`load`]. It fetches each repository's `InRelease`, verifies signature, suite and age,
//! and then the `Packages` indexes that it names by hash, through the same cache as everything else.
//! The clock comes in as `now`. Decides nothing about packages; that is
//! [`resolve`](crate::resolve)'s work.

mod error;
mod packages;
mod release;
mod signature;

use std::io::Read;

use site::Timestamp;

use crate::fetch::{self, Cache, Digest, FetchError, FetchOptions, Transport, Wanted};
use crate::progress::{Progress, Unit};

pub use error::RepositoryError;
pub use packages::Package;
use packages::Packages;
use release::Release;
pub use signature::{Doubt, Keyring};

/// A repository as the profile names it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The profile's name for it.
    pub name: String,
    /// Its mirrors: `http://deb.debian.org/debian`, tried in order.
    pub uris: Vec<String>,
    /// A service that keeps its past: `https://snapshot.debian.org/archive/debian`.
    pub snapshot: Option<String>,
    /// The suite, by its codename or its suite name: `trixie`, `trixie-security`.
    pub suite: String,
    /// The components: `main`, `non-free-firmware`.
    pub components: Vec<String>,
    /// Whose signatures are believed, as the keyring file holds it.
    pub keyring: Vec<u8>,
}

/// What loading needs besides the sources.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The time by which expiry is judged.
    pub now: Timestamp,
    /// Debian's name of the architecture: `amd64`.
    pub architecture: String,
    /// How to fetch.
    pub fetch: FetchOptions,
}

/// One verified repository.
pub struct Index {
    /// The profile's name for it.
    pub name: String,
    /// Its mirrors.
    pub uris: Vec<String>,
    /// The service that keeps its past.
    pub snapshot: Option<String>,
    /// The suite as asked for.
    pub suite: String,
    /// The components as asked for.
    pub components: Vec<String>,
    /// The date of its `Release`.
    pub date: Timestamp,
    /// The hash of its `InRelease`.
    pub in_release: Digest,
    /// The fingerprint of the key whose signature was believed.
    pub signer: String,
    packages: Vec<Packages>,
}

/// All repositories of a profile, in its order.
pub struct Indexes {
    /// Debian's name of the architecture that they were loaded for.
    pub architecture: String,
    /// The repositories.
    pub repositories: Vec<Index>,
}

impl Indexes {
    /// One repository that nobody signed, for tests of what comes after.
    #[cfg(test)]
    pub(crate) fn unsigned(architecture: &str, packages: String) -> Indexes {
        let index = Index {
            name: "main".to_owned(),
            uris: vec!["http://localhost/debian".to_owned()],
            snapshot: None,
            suite: "trixie".to_owned(),
            components: vec!["main".to_owned()],
            date: Timestamp::from_unix(1_795_252_544).expect("a time of this age"),
            in_release: Digest([0; 32]),
            signer: "NOBODY".to_owned(),
            packages: vec![Packages::parse(packages).expect("a sound index")],
        };
        Indexes { architecture: architecture.to_owned(), repositories: vec![index] }
    }

    /// Every package of every repository, in the profile's order.
    pub fn packages(&self) -> impl Iterator<Item = Package<'_>> {
        self.repositories.iter().enumerate().flat_map(|(number, index)| {
            index.packages.iter().flat_map(move |part| part.iter(number))
        })
    }
}

impl Index {
    /// How many packages it has.
    pub fn len(&self) -> usize {
        self.packages.iter().map(Packages::len).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An `InRelease` of Debian has 140 KiB; none honest has more than this.
const MOST_RELEASE: u64 = 16 << 20;
/// Debian's main index has 53 MB; the bound keeps a hostile one from filling the memory.
const MOST_PACKAGES: u64 = 512 << 20;

/// Fetches, verifies and reads all sources, at the same time.
///
/// # Errors
/// The first source (in order) that could not be used, and why.
pub fn load(
    sources: &[Source],
    cache: &Cache,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Indexes, RepositoryError> {
    let task = progress.begin("read the repositories", sources.len() as u64, Unit::Items);
    let transport = Transport::new(&options.fetch);
    let results: Vec<_> = std::thread::scope(|scope| {
        let load = |source| {
            let loader = Loader { source, cache, options, transport: &transport, progress };
            let (task, loader) = (&task, loader);
            scope.spawn(move || loader.load().inspect(|_| task.advance(1)))
        };
        let threads: Vec<_> = sources.iter().map(load).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect()
    });
    let repositories = results.into_iter().collect::<Result<_, _>>()?;
    Ok(Indexes { architecture: options.architecture.clone(), repositories })
}

/// What loading one source needs.
struct Loader<'a> {
    source: &'a Source,
    cache: &'a Cache,
    options: &'a LoadOptions,
    transport: &'a Transport,
    progress: &'a dyn Progress,
}

/// A verified `InRelease`.
struct Signed {
    url: String,
    release: Release,
    signer: String,
    sha256: Digest,
}

impl Loader<'_> {
    fn load(&self) -> Result<Index, RepositoryError> {
        let source = self.source;
        let keyring = Keyring::parse(&source.keyring).map_err(|reason| {
            RepositoryError::Keyring { repository: source.name.clone(), reason }
        })?;
        let signed = self.signed(&keyring)?;
        let mut packages = Vec::new();
        for component in &source.components {
            for path in self.index_paths(&signed.release, component)? {
                packages.push(self.packages(&signed, &path)?);
            }
        }
        Ok(Index {
            name: source.name.clone(),
            uris: source.uris.clone(),
            snapshot: source.snapshot.clone(),
            suite: source.suite.clone(),
            components: source.components.clone(),
            date: signed.release.date,
            in_release: signed.sha256,
            signer: signed.signer,
            packages,
        })
    }

    /// The first mirror's `InRelease` that is beyond doubt; offline, the one that was last fetched.
    fn signed(&self, keyring: &Keyring) -> Result<Signed, RepositoryError> {
        let source = self.source;
        let mut first = None;
        for uri in &source.uris {
            let url = format!("{}/dists/{}/InRelease", uri.trim_end_matches('/'), source.suite);
            match self.signed_at(keyring, &url) {
                Ok(signed) => return Ok(signed),
                Err(error) => first.get_or_insert(error),
            };
        }
        Err(first.unwrap_or_else(|| FetchError::BadUrl { url: String::new() }.into()))
    }

    fn signed_at(&self, keyring: &Keyring, url: &str) -> Result<Signed, RepositoryError> {
        let bytes = self.in_release(url)?;
        let signed = self.verify(keyring, url, &bytes)?;
        self.keep(url, &bytes)?;
        Ok(signed)
    }

    fn in_release(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        if !self.options.fetch.offline {
            return fetch::document(self.transport, url, MOST_RELEASE, &self.options.fetch);
        }
        let labels = vec![url.to_owned()];
        let known = self.cache.recall(&Digest::of(url.as_bytes()));
        self.cache.read(&known.ok_or(FetchError::Offline { labels })?)
    }

    fn keep(&self, url: &str, bytes: &[u8]) -> Result<(), FetchError> {
        if self.options.fetch.offline {
            return Ok(());
        }
        let sha256 = self.cache.store(bytes)?;
        self.cache.remember(&Digest::of(url.as_bytes()), &sha256)
    }

    /// Signature, form, suite and age, in this order.
    fn verify(
        &self,
        keyring: &Keyring,
        url: &str,
        bytes: &[u8],
    ) -> Result<Signed, RepositoryError> {
        let (source, now) = (self.source, self.options.now);
        let url = url.to_owned();
        let malformed = |reason: String| RepositoryError::Malformed { url: url.clone(), reason };
        let message = std::str::from_utf8(bytes).map_err(|e| malformed(e.to_string()))?;
        let verified = keyring
            .verify(message, now)
            .map_err(|doubts| RepositoryError::Signature { url: url.clone(), doubts })?;
        let release = Release::parse(&verified.text).map_err(malformed)?;
        let asked = source.suite.trim_end_matches('/');
        if ![release.suite.as_str(), release.codename.as_str()].contains(&asked) {
            let found = format!("{} ({})", release.suite, release.codename);
            return Err(RepositoryError::WrongSuite { url, asked: asked.to_owned(), found });
        }
        let repository = source.name.clone();
        if release.date.unix() > now.unix() + signature::CLOCK_SLACK {
            return Err(RepositoryError::Future { repository, date: release.date, now });
        }
        match release.valid_until {
            Some(valid_until) if valid_until < now => {
                Err(RepositoryError::Expired { repository, url, valid_until, now })
            }
            _ => Ok(Signed { url, release, signer: verified.signer, sha256: Digest::of(bytes) }),
        }
    }

    /// The indexes of a component: that of the architecture, and that for all if it is separate.
    fn index_paths(
        &self,
        release: &Release,
        component: &str,
    ) -> Result<Vec<String>, RepositoryError> {
        let architecture = &self.options.architecture;
        let find = |architecture: &str| {
            ["xz", "gz"]
                .map(|form| format!("{component}/binary-{architecture}/Packages.{form}"))
                .into_iter()
                .find(|path| release.files.contains_key(path))
        };
        let Some(own) = find(architecture) else {
            let suffix = format!("/binary-{architecture}/Packages.xz");
            let mut available: Vec<String> = release
                .files
                .keys()
                .filter_map(|path| path.strip_suffix(&suffix))
                .map(str::to_owned)
                .collect();
            available.sort();
            return Err(RepositoryError::NoComponent {
                repository: self.source.name.clone(),
                component: component.to_owned(),
                architecture: architecture.clone(),
                available,
            });
        };
        let common = if release.all_apart { find("all") } else { None };
        Ok([own].into_iter().chain(common).collect())
    }

    /// Fetches, unpacks and reads one index.
    fn packages(&self, signed: &Signed, path: &str) -> Result<Packages, RepositoryError> {
        let (sha256, size) = signed.release.files[path];
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let places = if signed.release.by_hash {
            vec![format!("{folder}/by-hash/SHA256/{sha256}"), path.to_owned()]
        } else {
            vec![path.to_owned()]
        };
        let base = |uri: &str| format!("{}/dists/{}", uri.trim_end_matches('/'), self.source.suite);
        let wanted = Wanted {
            label: format!("{} {path}", self.source.name),
            sha256,
            size,
            mirrors: self
                .source
                .uris
                .iter()
                .flat_map(|uri| places.iter().map(move |place| format!("{}/{place}", base(uri))))
                .collect(),
            archives: Vec::new(),
        };
        fetch::fetch_all(
            self.cache,
            std::slice::from_ref(&wanted),
            &self.options.fetch,
            self.progress,
        )?;
        let packed = self.cache.read(&sha256)?;
        let malformed = |reason: String| RepositoryError::Malformed {
            url: signed.url.replace("InRelease", path),
            reason,
        };
        let plain_path = path.rsplit_once('.').map_or(path, |(plain, _)| plain);
        let expected = signed.release.files.get(plain_path).map(|(_, size)| *size);
        let text = unpack(path, &packed, expected).map_err(|e| malformed(e.to_string()))?;
        drop(packed);
        Packages::parse(text).map_err(|(line, reason)| malformed(format!("line {line}: {reason}")))
    }
}

/// Unpacks an index by the ending of its name; `expected` is its size by the `Release`.
fn unpack(path: &str, packed: &[u8], expected: Option<u64>) -> std::io::Result<String> {
    let limit = expected.unwrap_or(MOST_PACKAGES).min(MOST_PACKAGES);
    let reader: Box<dyn Read + '_> = if path.ends_with(".xz") {
        Box::new(liblzma::read::XzDecoder::new_multi_decoder(packed))
    } else {
        Box::new(flate2::read::MultiGzDecoder::new(packed))
    };
    let mut text = String::with_capacity(expected.map_or(0, |_| limit as usize));
    reader.take(limit + 1).read_to_string(&mut text)?;
    let length = text.len() as u64;
    if length > limit || expected.is_some_and(|expected| expected != length) {
        let reason = format!("it unpacks to {length} bytes instead of {limit}");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    Ok(text)
}
