//! Reads all keys and leases of a running etcd, by its own API. Start at [`read`]. It only asks; nothing
//! is written to the source.
//!
//! All keys are read at one revision, the newest of the first answer, in pages of a bounded size.

use std::collections::BTreeMap;

use bytes::Bytes;
use mvcc::KeyValue;
use tonic::{Code, Status};

use super::{Harvest, prefix_end};
use crate::client::Client;
use crate::wire::proto::{LeaseLeasesRequest, LeaseTimeToLiveRequest, RangeRequest, RangeResponse};

/// How large a page shall be: small enough for any client's memory, large enough that the way to and fro
/// does not matter.
const PAGE_BYTES: usize = 4 << 20;

/// The keys of the first page, whose sizes nobody knows yet.
const FIRST_PAGE: i64 = 64;

/// The most keys of a page, as many as kube-apiserver asks for.
const LARGEST_PAGE: i64 = 10_000;

/// Why another etcd could not be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EtcdError {
    /// It was compacted beyond the revision that is being read.
    #[error("etcd was compacted while its keys were read at revision {revision}")]
    #[diagnostic(
        code(network::etcd),
        help("stop what writes to it, such as kube-apiserver, and run this again")
    )]
    Compacted {
        /// The revision.
        revision: i64,
    },
    /// It answered no.
    #[error("etcd does not {action}")]
    #[diagnostic(
        code(network::etcd),
        help(
            "see that the endpoint is etcd's client port and that the certificate may read; \
             `etcdctl endpoint status` with the same settings must work"
        )
    )]
    Refused {
        /// What it was asked to do.
        action: &'static str,
        /// Its words.
        #[source]
        source: Box<Status>,
    },
    /// Its answer makes no sense.
    #[error("etcd's answer has no header")]
    #[diagnostic(code(network::etcd), help("is the endpoint really etcd's client port?"))]
    Headless,
}

/// Reads all keys that begin with `prefix`, and all leases. `progress` is told the keys read so far, and
/// how many there are.
///
/// # Errors
/// When the source cannot be reached or refuses.
pub async fn read(
    mut client: Client,
    prefix: &[u8],
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Harvest, EtcdError> {
    let mut pages = Pages::new(prefix);
    while let Some(request) = pages.next() {
        let revision = request.revision;
        let answer = client.kv.range(request).await.map_err(|status| match status.code() {
            Code::OutOfRange if revision > 0 => EtcdError::Compacted { revision },
            _ => refused("list its keys")(status),
        })?;
        pages.take(answer.into_inner())?;
        progress(pages.kvs.len() as u64, pages.total);
    }
    // After the keys: a lease that is gone by now was about to take its keys along.
    let leases = leases(client).await?;
    let mut harvest = Harvest { leases, ..pages.finish() };
    harvest.keep(prefix);
    Ok(harvest)
}

/// Every lease with the seconds that are left.
async fn leases(mut client: Client) -> Result<BTreeMap<i64, i64>, EtcdError> {
    let all =
        client.lease.lease_leases(LeaseLeasesRequest {}).await.map_err(refused("list its leases"));
    let mut leases = BTreeMap::new();
    for lease in all?.into_inner().leases {
        let request = LeaseTimeToLiveRequest { id: lease.id, keys: false };
        let answer = client.lease.lease_time_to_live(request).await;
        let left = answer.map_err(refused("say how long a lease has left"))?.into_inner();
        if left.ttl > 0 {
            leases.insert(lease.id, left.ttl);
        }
    }
    Ok(leases)
}

fn refused(action: &'static str) -> impl Fn(Status) -> EtcdError {
    move |status| EtcdError::Refused { action, source: Box::new(status) }
}

/// Which page is asked for next, and what came so far. Pure: another asks.
#[derive(Debug)]
pub(super) struct Pages {
    next: Option<Bytes>,
    end: Bytes,
    limit: i64,
    revision: i64,
    total: u64,
    kvs: Vec<KeyValue>,
}

impl Pages {
    pub(super) fn new(prefix: &[u8]) -> Pages {
        // All keys begin at the least one, which is one zero byte: a key is never empty.
        let first = if prefix.is_empty() { &[0][..] } else { prefix };
        Pages {
            next: Some(Bytes::copy_from_slice(first)),
            end: prefix_end(prefix),
            limit: FIRST_PAGE,
            revision: 0,
            total: 0,
            kvs: Vec::new(),
        }
    }

    pub(super) fn next(&mut self) -> Option<RangeRequest> {
        Some(RangeRequest {
            key: self.next.take()?,
            range_end: self.end.clone(),
            limit: self.limit,
            revision: self.revision,
            ..RangeRequest::default()
        })
    }

    pub(super) fn take(&mut self, answer: RangeResponse) -> Result<(), EtcdError> {
        if self.revision == 0 {
            self.revision = answer.header.ok_or(EtcdError::Headless)?.revision;
            self.total = answer.count.unsigned_abs();
        }
        let bytes: usize = answer.kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum();
        let average = bytes / answer.kvs.len().max(1);
        let fits = i64::try_from(PAGE_BYTES / average.max(1)).unwrap_or(LARGEST_PAGE);
        // Not much more than the last page held: what comes may be larger than what came.
        self.limit = fits.clamp(1, LARGEST_PAGE.min(4 * self.limit));
        if let Some(last) = answer.kvs.last().filter(|_| answer.more) {
            let mut next = last.key.to_vec();
            next.push(0);
            self.next = Some(next.into());
        }
        self.kvs.extend(answer.kvs.into_iter().map(|kv| KeyValue {
            key: kv.key,
            value: kv.value,
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }));
        Ok(())
    }

    pub(super) fn finish(self) -> Harvest {
        Harvest { revision: self.revision, kvs: self.kvs, ..Harvest::default() }
    }
}
