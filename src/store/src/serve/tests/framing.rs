//! Messages that come in pieces, as the network cuts them.

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body_util::StreamBody;
use hyper::body::Frame;
use proptest::prelude::*;
use std::convert::Infallible;
use std::time::Duration;
use tonic::Code;

use super::super::grpc::{Messages, budget, timeout};
use crate::wire::response::prefix;

const LIMIT: usize = 100_000;

fn body(parts: Vec<Bytes>) -> impl hyper::body::Body<Data = Bytes, Error = Infallible> + Unpin {
    StreamBody::new(stream::iter(parts.into_iter().map(|part| Ok(Frame::data(part)))))
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::new();
    for message in messages {
        prefix(&mut all, message.len());
        all.extend_from_slice(message);
    }
    all
}

fn read(parts: Vec<Bytes>) -> (Vec<Vec<u8>>, Option<Code>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut messages = Messages::new(body(parts), LIMIT, budget());
        let mut found = Vec::new();
        loop {
            match messages.next().await {
                Ok(Some(message)) => found.push(message.to_vec()),
                Ok(None) => return (found, None),
                Err(status) => return (found, Some(status.code())),
            }
        }
    })
}

proptest! {
    #[test]
    fn messages_come_as_they_were_sent(
        messages in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                (0..LIMIT).prop_map(|length| vec![5; length]),
            ],
            0..4,
        ),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        lost in 0..3usize,
    ) {
        let mut all = framed(&messages);
        let whole = all.len();
        all.truncate(whole.saturating_sub(lost));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(all.len() + 1)).collect();
        cuts.extend([0, all.len()]);
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|pair| Bytes::copy_from_slice(&all[pair[0]..pair[1]]));
        let (found, error) = read(parts.collect());
        if all.len() == whole {
            prop_assert_eq!((found, error), (messages, None));
        } else {
            prop_assert_eq!(error, Some(Code::Internal));
            prop_assert_eq!(&found[..], &messages[..found.len()]);
        }
    }
}

#[test]
fn what_is_too_large_or_compressed_is_refused_by_its_prefix() {
    let mut large = Vec::new();
    prefix(&mut large, LIMIT + 1);
    assert_eq!(read(vec![large.into()]), (Vec::new(), Some(Code::ResourceExhausted)));
    let compressed = Bytes::from_static(&[1, 0, 0, 0, 0]);
    assert_eq!(read(vec![compressed]), (Vec::new(), Some(Code::Unimplemented)));
}

#[test]
fn deadlines_are_read() {
    let cases = [
        ("1S", Some(Duration::from_secs(1))),
        ("250m", Some(Duration::from_millis(250))),
        ("2H", Some(Duration::from_secs(7200))),
        ("3M", Some(Duration::from_secs(180))),
        ("99999999u", Some(Duration::from_micros(99_999_999))),
        ("5n", Some(Duration::from_nanos(5))),
        ("999999999S", None),
        ("S", None),
        ("", None),
        ("1x", None),
        ("-1S", None),
    ];
    for (text, expected) in cases {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        assert_eq!(timeout(&headers), expected, "{text}");
    }
    assert_eq!(timeout(&HeaderMap::new()), None);
}
