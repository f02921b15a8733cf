//! Leases that run out by the clock: what is left is the same, and so is the history.
//!
//! Times are in whole seconds, as in the API; what is asserted of them is only that a key lives as
//! long as its lease, and not much longer.

use std::time::{Duration, Instant};

use tests::wire::etcdserverpb as pb;
use tokio::time::sleep;

use crate::client::{Answer, Client};
use crate::program::Op;
use crate::scenario::{Stage, same};

/// etcd looks for what has run out twice a second; the rest is for a busy computer.
const LATE: Duration = Duration::from_secs(8);

async fn grant(client: &Client, id: i64, ttl: i64) {
    let answer = client.run(&Op::Grant(pb::LeaseGrantRequest { id, ttl })).await;
    assert!(matches!(answer, Answer::Grant(_)), "{answer:?}");
}

fn range(key: &'static [u8], range_end: &'static [u8], revision: i64) -> Op {
    let (key, range_end) = (key.into(), range_end.into());
    Op::Range(pb::RangeRequest { key, range_end, revision, ..Default::default() })
}

/// Waits until the key is gone, and returns how long that took.
async fn gone(client: &Client, key: &'static [u8]) -> Duration {
    let start = Instant::now();
    loop {
        let Answer::Range(answer) = client.run(&range(key, b"", 0)).await else {
            panic!("no answer")
        };
        if answer.count == 0 {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(40), "{key:?} does not go");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that can be asked afterwards.
async fn outcome(client: &Client) -> Vec<Answer> {
    let mut answers =
        vec![client.run(&range(b"\0", b"\0", 0)).await, client.run(&Op::Leases).await];
    let last = answers[0].revision().unwrap_or(0);
    for revision in 2..=last {
        answers.push(client.run(&range(b"\0", b"\0", revision)).await);
    }
    for id in 1..5 {
        let ask = pb::LeaseTimeToLiveRequest { id, keys: true };
        answers.push(client.run(&Op::TimeToLive(ask)).await);
    }
    answers
}

#[test]
fn what_hangs_on_a_lease_goes_with_it() {
    let heard = same(&[], async |stage| {
        let client = stage.client().await;
        let all = pb::WatchCreateRequest {
            key: b"\0"[..].into(),
            range_end: b"\0"[..].into(),
            prev_kv: true,
            ..Default::default()
        };
        client.streams[0].create(all).await.unwrap();
        for (id, ttl) in [(1, 3), (2, 6), (3, 9), (4, 3600)] {
            grant(&client, id, ttl).await;
        }
        // Keys that are put in one order go in another; some change their lease in time.
        for (key, lease) in [
            ("c", 1),
            ("a", 1),
            ("b", 1),
            ("d", 2),
            ("e", 2),
            ("f", 4),
            ("g", 3),
            ("e", 4),
            ("f", 2),
            ("h", 1),
        ] {
            client.put(key.as_bytes(), b"v", lease).await;
        }
        client.put(b"h", b"w", 0).await;
        assert!(gone(&client, b"a").await < Duration::from_secs(3) + LATE);
        assert!(gone(&client, b"d").await < Duration::from_secs(3) + LATE);
        assert!(gone(&client, b"g").await < Duration::from_secs(3) + LATE);
        let answers = outcome(&client).await;
        let last = answers[0].revision().unwrap();
        client.streams[0].settle(last).await.unwrap();
        let heard = client.streams[0].heard().words.clone();
        (answers, heard)
    });
    assert!(heard.1[&0].len() >= 17, "{heard:?}");
}

#[test]
fn a_lease_lives_as_long_as_it_is_kept_alive() {
    same(&[], async |stage| {
        let client = stage.client().await;
        grant(&client, 1, 3).await;
        client.put(b"kept", b"v", 1).await;
        for _ in 0..8 {
            sleep(Duration::from_secs(1)).await;
            let answer = client.run(&Op::KeepAlive(1)).await;
            assert!(matches!(&answer, Answer::KeepAlive(alive) if alive.ttl == 3), "{answer:?}");
        }
        let lasted = gone(&client, b"kept").await;
        assert!(
            lasted > Duration::from_secs(2) && lasted < Duration::from_secs(3) + LATE,
            "{lasted:?}"
        );
        let late = client.run(&Op::KeepAlive(1)).await;
        (late, outcome(&client).await)
    });
}

#[test]
fn leases_outlive_the_server() {
    let folder = crate::scratch("etcd-leases");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let plan = tests::server::Plan::new(crate::differential::judged(), folder.path());
    let mut stage =
        Stage { server: tests::server::Server::start(plan), identity: std::sync::Arc::default() };
    let granted = runtime.block_on(async {
        let client = stage.client().await;
        grant(&client, 1, 5).await;
        grant(&client, 2, 3600).await;
        client.put(b"short", b"v", 1).await;
        client.put(b"long", b"v", 2).await;
        Instant::now()
    });
    for killed in [true, false] {
        if killed {
            stage.server.kill()
        } else {
            stage.server.stop()
        }
        let _ = stage.server.start_again();
    }
    runtime.block_on(async {
        let client = stage.client().await;
        gone(&client, b"short").await;
        let lived = granted.elapsed();
        // A server that was away may begin a lease anew, since its holder could not keep it alive.
        assert!(
            lived >= Duration::from_secs(5) && lived < Duration::from_secs(20) + LATE,
            "{lived:?}"
        );
        let Answer::TimeToLive(left) =
            client.run(&Op::TimeToLive(pb::LeaseTimeToLiveRequest { id: 2, keys: true })).await
        else {
            panic!("no answer")
        };
        assert_eq!((left.granted_ttl, left.keys.len()), (3600, 1));
    });
}
