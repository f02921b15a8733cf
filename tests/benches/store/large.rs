//! A store of very many keys: loading it, its memory, starting it again, and what a compaction does to
//! who writes meanwhile.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tests::server::Server;
use tests::wire::etcdserverpb as pb;
use tonic::Status;

use pb::kv_client::KvClient;
use pb::request_op::Request;

use crate::channel::Channel;
use crate::load::{Run, Whom, Work, drive};
use crate::process::memory;
use crate::work::{Puts, VALUE, bytes, client};

/// Puts of one transaction; etcd takes 128.
const TOGETHER: u64 = 100;

/// Clients that load, and that write while it is compacted.
const CLIENTS: usize = 16;

/// What was measured of a large store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Large {
    pub(crate) loading: Duration,
    /// Resident MiB, and the part that is no copy of a file: loaded, and started again.
    pub(crate) loaded: (u64, u64),
    pub(crate) started: (u64, u64),
    pub(crate) starting: Duration,
    /// MB on the disk.
    pub(crate) disk: u64,
    pub(crate) quiet: Run,
    pub(crate) compacting: Run,
    pub(crate) compaction: Duration,
}

/// Loads so many keys, and measures.
pub(crate) async fn large(server: &mut Server, keys: u64, time: Duration) -> Large {
    let begun = Instant::now();
    load(server, keys).await;
    let mut seen = Large { loading: begun.elapsed(), ..Large::default() };
    // What is written behind is written, and memory comes to rest.
    tokio::time::sleep(Duration::from_secs(2)).await;
    seen.loaded = memory(server.process());
    seen.disk = size(server.folder()) / 1_000_000;
    server.kill();
    seen.starting = server.start_again();
    tokio::time::sleep(Duration::from_secs(1)).await;
    seen.started = memory(server.process());
    // A fifth of the keys has a second version that the compaction removes.
    load(server, keys / 5).await;
    let whom = Whom::from(&*server);
    seen.quiet = drive(&whom, CLIENTS, time, Puts::new).await;
    let compaction = compact(server, Duration::from_secs(1));
    let (compacting, took) = tokio::join!(drive(&whom, CLIENTS, time, Puts::new), compaction);
    (seen.compacting, seen.compaction) = (compacting, took);
    seen
}

/// Compacts to the newest revision after a while, and returns how long that took.
async fn compact(server: &Server, after: Duration) -> Duration {
    tokio::time::sleep(after).await;
    let mut kv = client(Whom::from(server).connect(1).await.remove(0));
    let begun = Instant::now();
    let revision = newest(&mut kv).await;
    kv.compact(pb::CompactionRequest { revision, physical: true }).await.unwrap();
    begun.elapsed()
}

/// The newest revision.
pub(crate) async fn newest(kv: &mut KvClient<Channel>) -> i64 {
    let range = pb::RangeRequest { key: Bytes::from_static(b"x"), limit: 1, ..Default::default() };
    kv.range(range).await.unwrap().into_inner().header.map_or(0, |header| header.revision)
}

/// Writes so many keys, several in a transaction.
async fn load(server: &Server, keys: u64) {
    let channels = Whom::from(server).connect(CLIENTS).await;
    let share = keys / CLIENTS as u64;
    let loading: Vec<_> = channels
        .into_iter()
        .enumerate()
        .map(|(id, channel)| {
            let mut loader =
                Loader { kv: client(channel), next: id as u64 * share, value: bytes(9, VALUE) };
            let end = loader.next + share;
            tokio::spawn(async move {
                while loader.next < end {
                    loader.step().await.unwrap();
                }
            })
        })
        .collect();
    for one in loading {
        one.await.unwrap();
    }
}

struct Loader {
    kv: KvClient<Channel>,
    next: u64,
    value: Bytes,
}

impl Work for Loader {
    async fn step(&mut self) -> Result<(), Status> {
        let put = |number: u64| {
            let (key, value) =
                (Bytes::from(format!("/registry/large/{number:09}")), self.value.clone());
            let put = pb::PutRequest { key, value, ..Default::default() };
            pb::RequestOp { request: Some(Request::RequestPut(put)) }
        };
        let success = (self.next..self.next + TOGETHER).map(put).collect();
        self.kv.txn(pb::TxnRequest { success, ..Default::default() }).await?;
        self.next += TOGETHER;
        Ok(())
    }
}

/// Bytes on the disk below a folder; holes are none.
fn size(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let one = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => size(&entry.path()),
        Ok(about) => about.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(one).sum()
}
