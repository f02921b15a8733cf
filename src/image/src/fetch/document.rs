//! Fetches what has no known hash yet: a repository's signed `InRelease`.

use std::io::Read;

use super::transport::{Stream, Trouble};
use super::{FetchError, FetchOptions, Transport};

/// Reads the whole of `url`, at most `limit` bytes, trying again while there is hope.
pub(crate) fn document(
    transport: &Transport,
    url: &str,
    limit: u64,
    options: &FetchOptions,
) -> Result<Vec<u8>, FetchError> {
    let mut tries = 0;
    loop {
        let trouble = match transport.open(url, 0).and_then(|stream| whole(stream, limit)) {
            Ok(bytes) => return Ok(bytes),
            Err(trouble) => trouble,
        };
        tries += 1;
        if tries >= options.attempts.max(1) || !trouble.may_pass() {
            return Err(trouble.into_error(url, url));
        }
        std::thread::sleep(options.backoff * (1 << (tries - 1).min(3)));
    }
}

/// The whole body; one byte more than `limit` is a broken answer.
fn whole(stream: Stream, limit: u64) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    stream.body.take(limit + 1).read_to_end(&mut bytes).map_err(Trouble::Silence)?;
    let length = bytes.len() as u64;
    if length > limit || stream.total.is_some_and(|total| total != length) {
        let text = format!(
            "{length} bytes arrived, at most {} were expected",
            stream.total.unwrap_or(limit)
        );
        return Err(Trouble::Silence(std::io::Error::new(std::io::ErrorKind::InvalidData, text)));
    }
    Ok(bytes)
}
