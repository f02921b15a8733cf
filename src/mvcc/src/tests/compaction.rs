//! What a compaction keeps, and what can be seen while it is swept.

use expect_test::expect;

use super::*;

const LIVES: &str = "a=1; a=2; -a; a=3; -a; b=1";

/// etcd's own example (`mvcc/key_index.go`): put, put, delete, put, delete, compacted ever further.
#[test]
fn what_is_kept() {
    let mut said = String::new();
    for revision in [2, 3, 4, 5, 6, 7] {
        let mut state = script(LIVES);
        state.compact(revision).unwrap();
        let before = show(&state);
        sweep(&mut state);
        assert_eq!(show(&state), before, "the sweep shows in nothing");
        writeln!(said, "{before}").unwrap();
    }
    expect![[r#"
        revision 7, compacted 2
        a=1 @2 from 2 v1 .0
        a=2 @3 from 2 v2 .0
        a @4 .0
        a=3 @5 from 5 v1 .0
        a @6 .0
        b=1 @7 from 7 v1 .0
          put a=1 @2 from 2 v1
          put a=2 @3 from 2 v2, was a=1 @2 from 2 v1
          delete a @4, was a=2 @3 from 2 v2
          put a=3 @5 from 5 v1
          delete a @6, was a=3 @5 from 5 v1
          put b=1 @7 from 7 v1

        revision 7, compacted 3
        a=2 @3 from 2 v2 .0
        a @4 .0
        a=3 @5 from 5 v1 .0
        a @6 .0
        b=1 @7 from 7 v1 .0
          put a=2 @3 from 2 v2
          delete a @4, was a=2 @3 from 2 v2
          put a=3 @5 from 5 v1
          delete a @6, was a=3 @5 from 5 v1
          put b=1 @7 from 7 v1

        revision 7, compacted 4
        a @4 .0
        a=3 @5 from 5 v1 .0
        a @6 .0
        b=1 @7 from 7 v1 .0
          delete a @4
          put a=3 @5 from 5 v1
          delete a @6, was a=3 @5 from 5 v1
          put b=1 @7 from 7 v1

        revision 7, compacted 5
        a=3 @5 from 5 v1 .0
        a @6 .0
        b=1 @7 from 7 v1 .0
          put a=3 @5 from 5 v1
          delete a @6, was a=3 @5 from 5 v1
          put b=1 @7 from 7 v1

        revision 7, compacted 6
        a @6 .0
        b=1 @7 from 7 v1 .0
          delete a @6
          put b=1 @7 from 7 v1

        revision 7, compacted 7
        b=1 @7 from 7 v1 .0
          put b=1 @7 from 7 v1

    "#]]
    .assert_eq(&said);
}

#[test]
fn refused_compactions() {
    let mut state = script("a=1; a=2; a=3");
    assert_eq!(state.compact(5), Err(Error::FutureRevision));
    assert_eq!(state.compact(3), Ok(Effect::Compact { revision: 3 }));
    assert_eq!(state.compact(3), Err(Error::Compacted));
    assert_eq!(state.compact(-1), Err(Error::Compacted));
    assert_eq!(state.compacted(), 3);
    // Before the first, etcd takes 0 for a revision too, but not -1.
    let mut state = State::new();
    assert_eq!(state.compact(-1), Err(Error::Compacted));
    assert_eq!(state.compact(0), Ok(Effect::Compact { revision: 0 }));
    assert_eq!(state.compact(1), Ok(Effect::Compact { revision: 1 }));
    assert!(!state.sweeping());
}

#[test]
fn watches_from_the_compaction_revision_on() {
    let mut state = script("a=1; a=2; a=3; b=1 a=4");
    state.compact(4).unwrap();
    let events = |state: &State, from| {
        let events = state
            .events(from, i64::MAX, &keys("a"))
            .map(|events| events.map(|event| show_event(&event)).collect::<Vec<_>>().join("; "));
        events.unwrap_or_else(|error| error.to_string())
    };
    expect!["etcdserver: mvcc: required revision has been compacted"].assert_eq(&events(&state, 3));
    // Revision 3 cannot be read any more, so what was there before is not told.
    expect!["put a=3 @4 from 2 v3; put a=4 @5 from 2 v4, was a=3 @4 from 2 v3"]
        .assert_eq(&events(&state, 4));
    expect!["put a=4 @5 from 2 v4, was a=3 @4 from 2 v3"].assert_eq(&events(&state, 5));
    assert_eq!(state.events_at(3), []);
    assert_eq!(state.events_at(4).len(), 1);
    assert_eq!(state.events_at(6), []);
}

/// A deletion without end and a put may meet at one revision: the last change counts.
#[test]
fn a_key_that_was_changed_twice_at_the_compaction_revision() {
    let mut state = script("b=1; -a.. b=2; -a..; b=3 -a.. a=1");
    expect![[r#"
        revision 5, compacted -1
        b=1 @2 from 2 v1 .0
        b @3 .0
        b=2 @3 from 3 v1 .1
        b @4 .0
        b=3 @5 from 5 v1 .0
        b @5 .1
        a=1 @5 from 5 v1 .2
          put b=1 @2 from 2 v1
          delete b @3, was b=1 @2 from 2 v1
          put b=2 @3 from 3 v1
          delete b @4, was b=2 @3 from 3 v1
          put b=3 @5 from 5 v1
          delete b @5
          put a=1 @5 from 5 v1
    "#]]
    .assert_eq(&show(&state));
    for revision in [3, 5] {
        state.compact(revision).unwrap();
        let before = show(&state);
        sweep(&mut state);
        assert_eq!(show(&state), before);
    }
    expect![[r#"
        revision 5, compacted 5
        b @5 .1
        a=1 @5 from 5 v1 .2
          delete b @5
          put a=1 @5 from 5 v1
    "#]]
    .assert_eq(&show(&state));
}

#[test]
fn the_size_falls_as_the_sweep_goes_on() {
    let mut state = State::new();
    for number in 0..500 {
        run(&mut state, &format!("key{}={number}", number % 50));
    }
    let mut fresh = State::new();
    for number in 450..500 {
        run(&mut fresh, &format!("key{}={number}", number % 50));
    }
    let mut size = state.size();
    state.compact(state.revision()).unwrap();
    assert_eq!(state.size(), size);
    let snapshot = state.clone();
    while state.sweeping() {
        state.sweep(7);
        assert!(state.size() <= size);
        size = state.size();
    }
    assert_eq!(size, fresh.size());
    assert!(snapshot.content_eq(&state));
    assert!(snapshot.sweeping());
}

/// A key with very many versions is cleared in small pieces, and wholly.
#[test]
fn a_hot_key_is_swept_in_bounded_steps() {
    let mut state = State::new();
    for number in 0..2_000 {
        run(&mut state, &format!("hot={number}"));
    }
    run(&mut state, "-hot; other=1");
    let before = state.size();
    state.compact(state.revision()).unwrap();
    state.sweep(10);
    assert!(state.size() > before / 2, "one step does not do all of it");
    sweep(&mut state);
    assert_eq!(state.size(), script("other=1").size());
    assert_eq!(state.keys.iter().count(), 1);
}
