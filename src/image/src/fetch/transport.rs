//! Opens a URL at an offset. Knows HTTP and files, nothing of hashes or retries.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use ureq::Agent;
use ureq::http::{Response, StatusCode};

use super::{FetchError, FetchOptions};

/// What opens URLs; connections are kept and shared between threads.
pub(crate) struct Transport {
    agent: Agent,
}

/// An answer under way.
pub(crate) struct Stream {
    /// Where in the object the body begins: the offset asked for, or 0 if the server ignored it.
    pub(crate) start: u64,
    /// The size of the whole object, if the server says.
    pub(crate) total: Option<u64>,
    /// The bytes from `start` on.
    pub(crate) body: Box<dyn Read>,
}

/// Why no stream was opened.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server does not have it (404, 410; no such file).
    Absent,
    /// The server has nothing at that offset (416).
    BeyondEnd,
    /// Another answer than the object.
    Status(u16),
    /// No answer.
    Silence(io::Error),
    /// Not a URL that can be fetched.
    BadUrl,
}

impl Trouble {
    /// Whether another try of the same URL makes sense.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Trouble::Silence(_) => true,
            Trouble::Status(status) => *status >= 500 || matches!(status, 408 | 425 | 429),
            Trouble::Absent | Trouble::BeyondEnd | Trouble::BadUrl => false,
        }
    }

    /// The error to report when `url` was given up for this.
    pub(super) fn into_error(self, label: &str, url: &str) -> FetchError {
        let (label, url) = (label.to_owned(), url.to_owned());
        match self {
            Trouble::Absent => FetchError::Gone { labels: vec![label] },
            Trouble::BeyondEnd => FetchError::Status { label, url, status: 416 },
            Trouble::Status(status) => FetchError::Status { label, url, status },
            Trouble::Silence(source) => FetchError::Unreachable { label, url, source },
            Trouble::BadUrl => FetchError::BadUrl { url },
        }
    }
}

impl Transport {
    /// Waits no longer than `options.patience` for each step. Uses the proxy that the environment
    /// names (`http_proxy`, `https_proxy`, `no_proxy`).
    pub(crate) fn new(options: &FetchOptions) -> Transport {
        let patience = Some(options.patience);
        let agent = Agent::config_builder()
            .user_agent(concat!("duet/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity") // offsets are those of the file itself
            .http_status_as_error(false)
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(patience)
            .build()
            .new_agent();
        Transport { agent }
    }

    /// The size of what `url` names, in bytes, if the server says; the body is left unread.
    pub(crate) fn size(&self, url: &str) -> Result<Option<u64>, FetchError> {
        match self.open(url, 0) {
            Ok(stream) => Ok(stream.total),
            Err(trouble) => Err(trouble.into_error(url, url)),
        }
    }

    /// Opens `url` at the byte `from`.
    pub(crate) fn open(&self, url: &str, from: u64) -> Result<Stream, Trouble> {
        match url.split_once("://") {
            Some(("http" | "https", _)) => self.open_http(url, from),
            Some(("file", path)) => open_file(path, from),
            _ => Err(Trouble::BadUrl),
        }
    }

    fn open_http(&self, url: &str, from: u64) -> Result<Stream, Trouble> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        let response = request.call().map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Trouble::BadUrl,
            other => Trouble::Silence(other.into_io()),
        })?;
        let (start, total) = match response.status() {
            StatusCode::OK => (0, number(&response, "content-length")),
            StatusCode::PARTIAL_CONTENT => content_range(&response).unwrap_or((from, None)),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Trouble::Absent),
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(Trouble::BeyondEnd),
            other => return Err(Trouble::Status(other.as_u16())),
        };
        Ok(Stream { start, total, body: Box::new(response.into_body().into_reader()) })
    }
}

/// Opens a file of this machine, given as the part of a URL after `file://`.
fn open_file(path: &str, from: u64) -> Result<Stream, Trouble> {
    let path = PathBuf::from(path);
    if !path.is_absolute() {
        return Err(Trouble::BadUrl);
    }
    let opened = File::open(&path).and_then(|mut file| {
        let total = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.min(total)))?;
        Ok((file, total))
    });
    match opened {
        Ok((_, total)) if from > total => Err(Trouble::BeyondEnd),
        Ok((file, total)) => Ok(Stream { start: from, total: Some(total), body: Box::new(file) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Trouble::Absent),
        Err(error) => Err(Trouble::Silence(error)),
    }
}

/// The numeric value of a header.
fn number<T>(response: &Response<T>, name: &str) -> Option<u64> {
    response.headers().get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Start and total of `Content-Range: bytes 5-9/10` (RFC 9110, 14.4).
fn content_range<T>(response: &Response<T>) -> Option<(u64, Option<u64>)> {
    let value = response.headers().get("content-range")?.to_str().ok()?;
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}
