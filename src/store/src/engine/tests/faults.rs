//! A disk that fails, fills up or loses its power under the running engine.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::disk::sim::{Operation, SimDisk};
use crate::engine::Alarm;
use crate::refusal::Refusal;

fn start(disk: &SimDisk) -> Engine {
    let mut options = Options::new(IDS);
    options.segment_bytes = 64 << 10;
    options.checkpoint_bytes = 256 << 10;
    Engine::open(Arc::new(disk.clone()), options, &|_| {}).unwrap()
}

#[tokio::test]
async fn a_failed_sync_ends_the_store_and_no_answer_is_a_lie() {
    let disk = SimDisk::new(1);
    let engine = start(&disk);
    let kept = engine.put(put("kept", "1")).await.unwrap();
    disk.fail(Operation::Sync, 0, ErrorKind::Other);
    assert_eq!(engine.put(put("lost", "1")).await, Err(Refusal::Stopped));
    let failure = timeout(Duration::from_secs(10), engine.failed()).await.unwrap();
    assert!(failure.reason.contains("injected"), "{failure}");
    assert_eq!(get(&engine, "lost"), None, "what is not durable is not seen");
    assert_eq!(engine.put(put("more", "1")).await, Err(Refusal::Stopped));
    engine.stop().await;

    disk.crash();
    let engine = start(&disk);
    assert_eq!(get(&engine, "kept"), Some(("1".to_owned(), kept.revision)));
    engine.stop().await;
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_heals_by_itself() {
    let disk = SimDisk::new(2);
    let engine = start(&disk);
    let lease = engine.lease_grant(5, 1000).await.unwrap().body;
    disk.set_capacity(disk.used() + (70 << 10));
    let value = "v".repeat(5000);
    let (mut written, mut refused) = (0, 0);
    // Refused once, the last segment that fits may still be on its way; refused after a while, it is not.
    while refused < 2 {
        if engine.put(put(&format!("k{written}"), &value)).await.is_ok() {
            (written, refused) = (written + 1, 0);
        } else {
            refused += 1;
            sleep(Duration::from_millis(600)).await;
        }
    }
    assert_eq!(engine.put(put("x", "y")).await, Err(Refusal::NoSpace));
    assert_eq!(engine.alarms().body, [Alarm::NoSpace]);
    assert_eq!(engine.status().body.errors.len(), 1);
    assert_eq!(get(&engine, "k0").unwrap().0, value, "reads go on");
    assert_eq!(get(&engine, &format!("k{written}")), None);
    assert_eq!(engine.lease_keep_alive(lease.id).await.unwrap().body, 1000);
    let revision = engine.status().revision;

    disk.set_capacity(u64::MAX);
    let healed = async {
        while engine.put(put("healed", "1")).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), healed).await.unwrap();
    assert_eq!(engine.alarms().body, [] as [Alarm; 0]);
    assert_eq!(
        get(&engine, "healed"),
        Some(("1".to_owned(), revision + 1)),
        "no revision is skipped"
    );
    engine.stop().await;
    disk.crash();

    let engine = start(&disk);
    for number in 0..written {
        assert_eq!(get(&engine, &format!("k{number}")).unwrap().0, value);
    }
    assert_eq!(get(&engine, "healed").unwrap().1, revision + 1);
    engine.stop().await;
}

/// Clients write until the power goes; what each was told is there afterwards, round after round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_power_cut_under_load() {
    let disk = SimDisk::new(3);
    let mut acknowledged: Vec<(String, i64)> = Vec::new();
    for round in 0..12 {
        let engine = start(&disk);
        for (key, revision) in &acknowledged {
            assert_eq!(get(&engine, key).map(|found| found.1), Some(*revision), "{key}");
        }
        disk.cut_power_in(200 + 37 * round);
        let mut clients = JoinSet::new();
        for client in 0..8 {
            let engine = engine.clone();
            clients.spawn(async move {
                let mut done = Vec::new();
                for number in 0.. {
                    let key = format!("{round}/{client}/{number}");
                    match engine.put(put(&key, &"v".repeat(3000))).await {
                        Ok(answer) => done.push((key, answer.revision)),
                        Err(_) => break,
                    }
                }
                done
            });
        }
        let told = timeout(Duration::from_secs(60), clients.join_all()).await.unwrap().concat();
        assert!(disk.is_down() && !told.is_empty());
        acknowledged.extend(told);
        engine.stop().await;
        disk.crash();
    }
    let mut revisions: Vec<i64> = acknowledged.iter().map(|one| one.1).collect();
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), acknowledged.len(), "no revision was given twice");
}
