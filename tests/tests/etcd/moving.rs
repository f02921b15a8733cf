//! Moving in: what a real etcd or a real kine holds is in the store afterwards, revisions included.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tests::programs::{peers, plain};
use tests::run::run;
use tests::server::{Make, Plan, Server, duetd};
use tests::wire::{etcdserverpb as pb, if_unchanged, mvccpb};
use tokio::runtime::Runtime;

use pb::kv_client::KvClient;
use pb::request_op::Request;

use crate::client::{Answer, Client, Identity, channel};
use crate::program::{Knowledge, Op, program};
use crate::scratch;

/// Moving a small store.
const MOVING: Duration = Duration::from_secs(120);

/// Steps before etcd is left.
const STEPS: usize = 1500;

/// Imports with these words, and starts a store on what came in.
fn moved(folder: &Path, words: &[&str]) -> Server {
    let plan = Plan::new(Make::Duet, folder.join("duet"));
    std::fs::create_dir_all(&plan.folder).unwrap();
    let mut import = plain(duetd());
    import.args(["store", "import"]).args(words);
    let _ = run(import.arg("--data-dir").arg(plan.folder.join("data")), MOVING).well();
    Server::start(plan)
}

fn everything(begin: &'static [u8], end: &'static [u8]) -> pb::RangeRequest {
    let (key, range_end) = (Bytes::from_static(begin), Bytes::from_static(end));
    pb::RangeRequest { key, range_end, ..Default::default() }
}

#[test]
fn what_etcd_held_is_in_the_store() {
    let folder = scratch("etcd-moving");
    let etcd = Server::start(Plan::new(Make::Etcd, folder.path().join("etcd")).hasty());
    let runtime = Runtime::new().unwrap();
    let look = async |server: &Server| {
        let client = Client::connect(&server.endpoint(), Arc::<Identity>::default()).await.unwrap();
        let all = client.run(&Op::Range(everything(b"\0", b"\0"))).await;
        (client.run(&Op::Leases).await, all)
    };
    let before = runtime.block_on(async {
        let client = Client::connect(&etcd.endpoint(), Arc::<Identity>::default()).await.unwrap();
        for op in program(11, STEPS) {
            // A lease that ends while it is moved would be no fault of the store's.
            let wanted = match &op {
                Op::Put(_) | Op::Delete(_) | Op::Txn(_) => true,
                Op::Grant(grant) => grant.ttl > 600,
                _ => false,
            };
            if wanted {
                let _ = client.run(&Knowledge::default().settle(&op)).await;
            }
        }
        look(&etcd).await
    });
    let Answer::Range(all) = &before.1 else { panic!("{:?}", before.1) };
    assert!(all.kvs.len() > 5 && all.kvs.iter().any(|kv| kv.version > 1), "{all:?}");
    assert!(all.kvs.iter().any(|kv| kv.lease != 0), "no key hangs on a lease: {all:?}");
    let store = moved(folder.path(), &["--from-etcd", &etcd.endpoint()]);
    assert_eq!(before, runtime.block_on(look(&store)));
}

/// As Kubernetes writes, since kine knows nothing else: if the key has this revision, 0 for none.
fn write(key: &str, revision: i64, value: Option<&str>) -> pb::TxnRequest {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let then = match value {
        Some(value) => Request::RequestPut(pb::PutRequest {
            key: key.clone(),
            value: Bytes::copy_from_slice(value.as_bytes()),
            ..Default::default()
        }),
        None => Request::RequestDeleteRange(pb::DeleteRangeRequest {
            key: key.clone(),
            ..Default::default()
        }),
    };
    if_unchanged(&key, revision, then)
}

/// What of a key both servers know; kine counts no versions.
fn known(kv: &mvccpb::KeyValue) -> (Bytes, Bytes, i64, i64) {
    (kv.key.clone(), kv.value.clone(), kv.create_revision, kv.mod_revision)
}

#[test]
fn what_kine_held_is_in_the_store() {
    if peers("kine").is_none() {
        return;
    }
    let folder = scratch("kine-moving");
    let mut kine = Server::start(Plan::new(Make::Kine, folder.path().join("kine")));
    let runtime = Runtime::new().unwrap();
    let look = async |server: &Server| {
        let mut kv = KvClient::new(channel(&server.endpoint()).await.unwrap());
        let all = kv
            .range(everything(b"/registry/pods/", b"/registry/pods0"))
            .await
            .unwrap()
            .into_inner();
        all.kvs.iter().map(known).collect::<Vec<_>>()
    };
    let before = runtime.block_on(async {
        let mut kv = KvClient::new(channel(&kine.endpoint()).await.unwrap());
        for number in 0..60 {
            let key = format!("/registry/pods/{number:03}");
            let mut revision = 0;
            for value in ["made", "changed", "changed again"] {
                let done = kv.txn(write(&key, revision, Some(value))).await.unwrap().into_inner();
                assert!(done.succeeded, "{done:?}");
                revision = done.header.unwrap().revision;
            }
            if number % 3 == 0 {
                assert!(kv.txn(write(&key, revision, None)).await.unwrap().into_inner().succeeded);
            }
        }
        look(&kine).await
    });
    assert_eq!(before.len(), 40);
    kine.stop();
    let file = kine.folder().join("kine.db");
    let store = moved(folder.path(), &["--from-kine", file.to_str().unwrap()]);
    assert_eq!(before, runtime.block_on(look(&store)));
}
