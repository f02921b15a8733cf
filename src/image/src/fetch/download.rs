//! One download: which URL is asked next, from which byte, and whether what came is believed.

use std::io::Read;
use std::time::Duration;

use super::cache::Partial;
use super::transport::{Stream, Trouble};
use super::{Cache, FetchError, FetchOptions, Meter, Transport, Wanted};
use crate::progress::Task;

/// Brings one object into the cache.
pub(super) fn obtain(
    cache: &Cache,
    transport: &Transport,
    wanted: &Wanted,
    options: &FetchOptions,
    task: &dyn Task,
) -> Result<(), FetchError> {
    let mut meter = Meter { task, counted: 0 };
    let Some(mut partial) = Partial::claim(cache, &wanted.sha256, wanted.size)? else {
        meter.reach(wanted.size);
        return Ok(());
    };
    if partial.length() > wanted.size {
        partial.restart()?;
    }
    meter.reach(partial.length());
    let mut download = Download { transport, wanted, options, partial, meter };
    download.ask_everybody()?;
    download.partial.keep()
}

/// Bytes that make a broken connection count as progress; bounds the tries by the size.
const WORTH_A_TRY: u64 = 1 << 16;

struct Download<'a> {
    transport: &'a Transport,
    wanted: &'a Wanted,
    options: &'a FetchOptions,
    partial: Partial,
    meter: Meter<'a>,
}

/// Why a URL was given up.
enum Failure {
    /// It does not have the object.
    Absent,
    /// Something else; the next URL may do better.
    Other(FetchError),
    /// The cache failed; no URL helps.
    Final(FetchError),
}

impl Download<'_> {
    /// Asks the mirrors in order, then the archives if a mirror has the object no longer.
    fn ask_everybody(&mut self) -> Result<(), FetchError> {
        let mut absent = false;
        let mut first_failure = None;
        for (is_archive, url) in self.urls() {
            if is_archive && !absent {
                break;
            }
            match self.ask(&url) {
                Ok(()) => return Ok(()),
                Err(Failure::Absent) => absent = true,
                Err(Failure::Other(error)) => {
                    first_failure.get_or_insert(error);
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
        Err(first_failure
            .unwrap_or_else(|| FetchError::Gone { labels: vec![self.wanted.label.clone()] }))
    }

    /// Every URL, and whether it is an archive's.
    fn urls(&self) -> Vec<(bool, String)> {
        let mirrors = self.wanted.mirrors.iter().map(|url| (false, url.clone()));
        mirrors.chain(self.wanted.archives.iter().map(|url| (true, url.clone()))).collect()
    }

    /// Fetches the rest from `url`, trying again (and continuing) as long as there is hope.
    fn ask(&mut self, url: &str) -> Result<(), Failure> {
        let mut fruitless = 0;
        let mut doubted = self.partial.length() > 0;
        loop {
            let before = self.partial.length();
            let failure = match self.attempt(url) {
                Ok(()) => {
                    let found = self.partial.digest();
                    if found == self.wanted.sha256 {
                        return Ok(());
                    }
                    self.partial.restart().map_err(Failure::Final)?;
                    let failure = self.wrong_hash(url, found);
                    if !doubted {
                        return Err(Failure::Other(failure));
                    }
                    doubted = false; // perhaps the fault lay in the old beginning: once from the start
                    continue;
                }
                Err(Retry::No(failure)) => return Err(failure),
                Err(Retry::Yes(error)) => error,
            };
            // A try that brought something is not counted: a lossy line gets there in the end.
            let brought = self.partial.length().saturating_sub(before);
            fruitless = if brought >= WORTH_A_TRY { 0 } else { fruitless + 1 };
            if fruitless >= self.options.attempts.max(1) {
                return Err(Failure::Other(failure));
            }
            std::thread::sleep(self.pause(fruitless));
        }
    }

    /// The wait after this many fruitless tries: doubling, at most eightfold.
    fn pause(&self, fruitless: u32) -> Duration {
        self.options.backoff * (1 << fruitless.saturating_sub(1).min(3))
    }

    /// One request; on success the partial file has the full length.
    fn attempt(&mut self, url: &str) -> Result<(), Retry> {
        let fatal = |error| Retry::No(Failure::Final(error));
        if self.partial.length() == self.wanted.size && self.wanted.size > 0 {
            return Ok(());
        }
        let stream = match self.transport.open(url, self.partial.length()) {
            Ok(stream) => stream,
            Err(Trouble::BeyondEnd) => {
                self.partial.restart().map_err(fatal)?;
                self.transport.open(url, 0).map_err(|trouble| self.judge(url, trouble))?
            }
            Err(trouble) => return Err(self.judge(url, trouble)),
        };
        if let Some(offered) = stream.total.filter(|total| *total != self.wanted.size) {
            return Err(Retry::No(Failure::Other(self.wrong_size(url, offered))));
        }
        if stream.start != self.partial.length() {
            self.partial.restart().map_err(fatal)?;
            if stream.start != 0 {
                return Err(self.judge(url, Trouble::Status(206)));
            }
        }
        self.receive(url, stream)
    }

    /// Copies the body to the partial file; never more than the object's size.
    fn receive(&mut self, url: &str, mut stream: Stream) -> Result<(), Retry> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match stream.body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(source) => return Err(self.judge(url, Trouble::Silence(source))),
            };
            let length = self.partial.length() + count as u64;
            if length > self.wanted.size {
                self.partial.restart().map_err(|e| Retry::No(Failure::Final(e)))?;
                return Err(Retry::No(Failure::Other(self.wrong_size(url, length))));
            }
            self.partial.append(&buffer[..count]).map_err(|e| Retry::No(Failure::Final(e)))?;
            self.meter.reach(length);
        }
        if self.partial.length() < self.wanted.size {
            return Err(Retry::Yes(FetchError::Short {
                label: self.wanted.label.clone(),
                url: url.to_owned(),
                received: self.partial.length(),
                size: self.wanted.size,
            }));
        }
        Ok(())
    }

    /// What a trouble means for this URL.
    fn judge(&self, url: &str, trouble: Trouble) -> Retry {
        if let Trouble::Absent = trouble {
            return Retry::No(Failure::Absent);
        }
        let again = trouble.may_pass();
        let error = trouble.into_error(&self.wanted.label, url);
        if again { Retry::Yes(error) } else { Retry::No(Failure::Other(error)) }
    }

    fn wrong_size(&self, url: &str, offered: u64) -> FetchError {
        let (label, url) = (self.wanted.label.clone(), url.to_owned());
        FetchError::WrongSize { label, url, size: self.wanted.size, offered }
    }

    fn wrong_hash(&self, url: &str, found: super::Digest) -> FetchError {
        let (label, url) = (self.wanted.label.clone(), url.to_owned());
        FetchError::WrongHash { label, url, expected: self.wanted.sha256, found }
    }
}

/// Whether the same URL is worth another try.
enum Retry {
    Yes(FetchError),
    No(Failure),
}
