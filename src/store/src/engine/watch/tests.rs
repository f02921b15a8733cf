//! Every watch is told everything, once and in order, however slow it is and whatever is forgotten.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mvcc::{DeleteRangeRequest, EventKind};
use tokio::time::timeout;

use super::super::tests::{all, one, open, put};
use super::super::{Engine, WatchCreate, WatchFeed, WatchMessage};

async fn next(feed: &mut WatchFeed) -> WatchMessage {
    timeout(Duration::from_secs(30), feed.next()).await.expect("a message comes").unwrap()
}

/// The next messages as a person would write them, until there are so many.
async fn words(feed: &mut WatchFeed, count: usize) -> Vec<String> {
    let mut said = Vec::new();
    while said.len() < count {
        let message = next(feed).await;
        let id = message.watch_id;
        if message.created {
            said.push(format!("{id} created {}", message.cancel_reason));
        } else if message.canceled {
            said.push(format!("{id} canceled {}", message.compact_revision));
        } else if message.events.is_empty() {
            said.push(format!("{id} at {}", message.revision));
        }
        for event in &message.events {
            let sign = if event.kind == EventKind::Put { "+" } else { "-" };
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let prev = event
                .prev_kv
                .as_ref()
                .map_or_else(String::new, |kv| format!(" was {}", text(&kv.value)));
            let (key, value) = (text(&event.kv.key), text(&event.kv.value));
            said.push(format!("{id} {sign}{key}={value}@{}{prev}", event.kv.mod_revision));
        }
    }
    said
}

async fn write(engine: &Engine, key: &str, value: &str) -> i64 {
    engine.put(put(key, value)).await.unwrap().revision
}

async fn delete(engine: &Engine, key: &str) {
    engine.delete_range(DeleteRangeRequest { keys: one(key), prev_kv: false }).await.unwrap();
}

#[tokio::test]
async fn a_state_that_leaves_out_what_was_to_be_told_ends_the_watches_that_wanted_it() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    write(&engine, "a", "1").await;
    let (control, mut feed) = engine.watch().unwrap();
    control.create(WatchCreate { keys: all(), ..WatchCreate::default() });
    let later = WatchCreate { keys: all(), start_revision: 5_000, ..WatchCreate::default() };
    control.create(later);
    assert_eq!(words(&mut feed, 2).await, ["0 created ", "1 created "]);
    // As another room's snapshot does.
    let mut state = mvcc::State::new();
    let _ = state.leap(1 << 40).unwrap();
    let _ = state.put(&put("b", "2")).unwrap();
    engine.publish_for_tests(state);
    assert_eq!(words(&mut feed, 2).await, ["0 canceled 1099511627776", "1 canceled 1099511627776"]);
}

#[tokio::test]
async fn watches_see_what_they_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    write(&engine, "a", "1").await;
    let (control, mut feed) = engine.watch().unwrap();
    control.create(WatchCreate { keys: one("a"), prev_kv: true, ..WatchCreate::default() });
    control.create(WatchCreate {
        id: 7,
        keys: all(),
        start_revision: 2,
        no_put: true,
        ..WatchCreate::default()
    });
    control.create(WatchCreate { id: 7, keys: all(), ..WatchCreate::default() });
    control.create(WatchCreate {
        keys: mvcc::KeyRange { key: "b".into(), end: "a".into() },
        ..WatchCreate::default()
    });
    assert_eq!(
        words(&mut feed, 4).await,
        [
            "0 created ",
            "7 created ",
            "-1 created mvcc: duplicate watch ID provided on the WatchStream",
            "-1 created mvcc: watcher range is empty",
        ]
    );
    write(&engine, "a", "2").await;
    delete(&engine, "a").await;
    let mut seen = words(&mut feed, 3).await;
    seen.sort();
    assert_eq!(seen, ["0 +a=2@3 was 1", "0 -a=@4 was 2", "7 -a=@4"]);
    control.cancel(7);
    control.cancel(8);
    control.progress();
    assert_eq!(words(&mut feed, 2).await, ["7 canceled 0", "-1 at 4"]);
    assert_eq!((engine.metrics().watchers, engine.metrics().streams), (1, 1));
    drop((control, feed));
    assert_eq!((engine.metrics().watchers, engine.metrics().streams), (0, 0));
    engine.stop().await;
}

#[tokio::test]
async fn a_watch_of_the_past_reads_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    for value in ["1", "2", "3", "4"] {
        write(&engine, "k", value).await;
    }
    engine.compact(3).await.unwrap();
    let (control, mut feed) = engine.watch().unwrap();
    let from = |id, start_revision| WatchCreate {
        id,
        keys: one("k"),
        start_revision,
        ..WatchCreate::default()
    };
    control.create(from(1, 2));
    assert_eq!(words(&mut feed, 2).await, ["1 created ", "1 canceled 3"]);
    control.create(from(2, 4));
    control.create(from(3, 7));
    assert_eq!(words(&mut feed, 4).await, ["2 created ", "3 created ", "2 +k=3@4", "2 +k=4@5"]);
    write(&engine, "k", "5").await;
    write(&engine, "k", "6").await;
    let mut seen = words(&mut feed, 3).await;
    seen.sort();
    assert_eq!(seen, ["2 +k=5@6", "2 +k=6@7", "3 +k=6@7"]);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_stream_misses_nothing_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let (slow, mut slow_feed) = engine.watch().unwrap();
    let (quick, mut quick_feed) = engine.watch().unwrap();
    for control in [&slow, &quick] {
        control.create(WatchCreate { keys: all(), ..WatchCreate::default() });
    }
    let reader = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 20_000 {
            seen.extend(
                next(&mut quick_feed).await.events.iter().map(|event| event.kv.mod_revision),
            );
        }
        seen
    });
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..100 {
        let engine = engine.clone();
        clients.spawn(async move {
            for number in 0..200 {
                write(&engine, &format!("{client}"), &format!("{number}")).await;
            }
        });
    }
    let _ = clients.join_all().await;
    let all: Vec<i64> = (2..20_002).collect();
    assert_eq!(timeout(Duration::from_secs(60), reader).await.unwrap().unwrap(), all);
    let mut seen = Vec::new();
    while seen.len() < all.len() {
        seen.extend(next(&mut slow_feed).await.events.iter().map(|event| event.kv.mod_revision));
    }
    assert_eq!(seen, all);
    assert_eq!(engine.metrics().slow_watchers, 0, "it has caught up");
    drop((slow, quick));
    engine.stop().await;
}

#[tokio::test]
async fn a_watch_that_keeps_up_loses_nothing_to_a_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let (control, mut feed) = engine.watch().unwrap();
    control.create(WatchCreate { keys: all(), prev_kv: true, ..WatchCreate::default() });
    let mut expected = vec!["0 created ".to_owned()];
    for round in 0..50 {
        let first = write(&engine, "k", "1").await;
        let prev = if round > 0 { " was 2" } else { "" };
        expected.push(format!("0 +k=1@{first}{prev}"));
        // The write and the compaction that forgets it may share a group.
        let (second, compacted) = tokio::join!(engine.put(put("k", "2")), engine.compact(first));
        compacted.unwrap();
        expected.push(format!("0 +k=2@{} was 1", second.unwrap().revision));
    }
    assert_eq!(words(&mut feed, expected.len()).await, expected);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_never_overtakes_events() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let (control, mut feed) = engine.watch().unwrap();
    for _ in 0..3 {
        control.create(WatchCreate { keys: all(), ..WatchCreate::default() });
    }
    let writers: Vec<_> = (0..8)
        .map(|client| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for number in 0..100 {
                    write(&engine, &format!("{client}"), &format!("{number}")).await;
                }
            })
        })
        .collect();
    let mut seen = [1_i64; 3];
    let mut answers = 0;
    while seen != [801; 3] || answers < 20 {
        control.progress();
        let message = next(&mut feed).await;
        if message.watch_id == -1 {
            answers += 1;
            assert_eq!(seen, [message.revision; 3], "all that it speaks of has been told");
        }
        for event in &message.events {
            let last = &mut seen[usize::try_from(message.watch_id).unwrap()];
            assert_eq!(event.kv.mod_revision, *last + 1);
            *last += 1;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    engine.stop().await;
}

#[tokio::test]
async fn idle_watches_are_told_the_revision_if_they_want() {
    let folder = tempfile::tempdir().unwrap();
    let every = Duration::from_millis(50);
    let engine =
        super::super::tests::open_with(folder.path(), |options| options.watch_progress = every);
    let (control, mut feed) = engine.watch().unwrap();
    control.create(WatchCreate { keys: one("a"), progress_notify: true, ..WatchCreate::default() });
    control.create(WatchCreate { keys: one("b"), ..WatchCreate::default() });
    write(&engine, "c", "1").await;
    let seen = words(&mut feed, 4).await;
    assert_eq!(seen[..2], ["0 created ", "1 created "]);
    assert!(seen[2..].iter().all(|word| word == "0 at 2" || word == "0 at 1"), "{seen:?}");
    assert_eq!(seen[3], "0 at 2");
    engine.stop().await;
    assert_eq!(feed.next().await, None, "a store that stops ends its streams");
}
