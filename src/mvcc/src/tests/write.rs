//! Puts and deletions, what they answer, what they change, and what they leave alone.

use expect_test::expect;

use super::*;

#[test]
fn versions_and_lives_of_a_key() {
    let state = script("a=1; a=2; -a; a=3; b=1 c=1; -a..c");
    expect![[r#"
        revision 7, compacted -1
        a=1 @2 from 2 v1 .0
        a=2 @3 from 2 v2 .0
        a @4 .0
        a=3 @5 from 5 v1 .0
        b=1 @6 from 6 v1 .0
        c=1 @6 from 6 v1 .1
        a @7 .0
        b @7 .1
          put a=1 @2 from 2 v1
          put a=2 @3 from 2 v2, was a=1 @2 from 2 v1
          delete a @4, was a=2 @3 from 2 v2
          put a=3 @5 from 5 v1
          put b=1 @6 from 6 v1
          put c=1 @6 from 6 v1
          delete a @7, was a=3 @5 from 5 v1
          delete b @7, was b=1 @6 from 6 v1
    "#]]
    .assert_eq(&show(&state));
    assert_eq!((state.keys(), state.revision()), (1, 7));
}

#[test]
fn a_put_answers_with_the_version_before() {
    let mut state = script("a=1");
    let with_prev = |request: PutRequest| PutRequest { prev_kv: true, ..request };
    let (response, effect) = state.put(&with_prev(put("a", "2"))).unwrap();
    assert_eq!(show_kv(&response.prev_kv.unwrap()), "a=1 @2 from 2 v1");
    let change = Change::Put { key: "a".into(), value: "2".into(), lease: 0 };
    assert_eq!(effect, Some(Effect::Write { revision: 3, changes: vec![change] }));
    let (response, _) = state.put(&with_prev(put("b", "2"))).unwrap();
    assert_eq!(response.prev_kv, None);
    let (response, _) = state.put(&put("a", "3")).unwrap();
    assert_eq!(response.prev_kv, None);
}

#[test]
fn a_put_may_keep_value_or_lease() {
    let mut state = script("+7; a=1@7");
    let keep = |value, lease| PutRequest {
        ignore_value: value,
        ignore_lease: lease,
        ..put("a", if value { "" } else { "2" })
    };
    state.put(&keep(false, true)).unwrap();
    state.put(&keep(true, false)).unwrap();
    expect![[r#"
        revision 4, compacted -1
        lease 7 of 60 s: []
        a=1 @2 from 2 v1 lease 7 .0
        a=2 @3 from 2 v2 lease 7 .0
        a=2 @4 from 2 v3 .0
          put a=1 @2 from 2 v1 lease 7
          put a=2 @3 from 2 v2 lease 7, was a=1 @2 from 2 v1 lease 7
          put a=2 @4 from 2 v3, was a=2 @3 from 2 v2 lease 7
    "#]]
    .assert_eq(&show(&state));
}

/// What is refused changes nothing, and the first of several faults is the one that etcd names.
#[test]
fn refused_puts() {
    let keep = PutRequest { ignore_value: true, ..put("none", "") };
    let lease = |request: PutRequest| PutRequest { lease: 5, ..request };
    let cases = [
        (put("", "x"), Error::EmptyKey),
        (PutRequest { ignore_value: true, ..put("a", "x") }, Error::ValueProvided),
        (PutRequest { ignore_lease: true, ..lease(put("a", "x")) }, Error::LeaseProvided),
        (lease(put("a", "x")), Error::LeaseNotFound),
        (keep.clone(), Error::KeyNotFound),
        (PutRequest { ignore_lease: true, ..put("none", "x") }, Error::KeyNotFound),
        (lease(keep), Error::LeaseNotFound),
    ];
    for (request, error) in cases {
        let mut state = script("a=1");
        let before = state.clone();
        assert_eq!(state.put(&request), Err(error), "{request:?}");
        assert!(state.content_eq(&before) && state.size() == before.size());
    }
}

#[test]
fn deleting_nothing_makes_no_revision() {
    let mut state = script("a=1");
    let (response, effect) = state.delete_range(&delete("b..")).unwrap();
    assert_eq!((response.deleted, effect, state.revision()), (0, None, 2));
    assert_eq!(state.delete_range(&delete("")), Err(Error::EmptyKey));
}

#[test]
fn a_deletion_answers_with_what_was_there() {
    let mut state = script("b=1; a=1; c=1; -b");
    let request = DeleteRangeRequest { prev_kv: true, ..delete("\0..") };
    let (response, effect) = state.delete_range(&request).unwrap();
    let prev: Vec<_> = response.prev_kvs.iter().map(|kv| show_kv(kv)).collect();
    assert_eq!(prev, ["a=1 @3 from 3 v1", "c=1 @4 from 4 v1"]);
    let changes = ["a", "c"].map(|key| Change::Delete { key: key.into() }).to_vec();
    assert_eq!(effect, Some(Effect::Write { revision: 6, changes }));
    assert_eq!(state.keys(), 0);
}

/// A pair is one allocation of just its length, whatever buffer the request's bytes were part of.
#[test]
fn what_is_stored_does_not_keep_the_buffer_it_came_in() {
    let buffer = Bytes::from(vec![b'x'; 100_000]);
    let request =
        PutRequest { key: buffer.slice(0..3), value: buffer.slice(3..7), ..PutRequest::default() };
    let mut state = State::new();
    let (_, effect) = state.put(&request).unwrap();
    let event = &state.events_at(2)[0];
    let (key, value) = (event.kv.key.as_ptr(), event.kv.value.as_ptr());
    assert_eq!(key.wrapping_add(3), value, "one allocation");
    let apart = buffer.as_ptr_range();
    assert!(!apart.contains(&key) && !apart.contains(&value));
    let Some(Effect::Write { changes, .. }) = effect else { panic!("no write") };
    let Change::Put { key: logged, .. } = &changes[0] else { panic!("no put") };
    assert_eq!(logged.as_ptr(), key, "the effect shares it");
    drop(request);
    assert!(buffer.is_unique());
}

#[test]
fn effects_that_do_not_follow() {
    let write =
        |revision, changes: &[Change]| Effect::Write { revision, changes: changes.to_vec() };
    let put = |key: &'static str, lease| Change::Put { key: key.into(), value: "v".into(), lease };
    let delete = |key: &'static str| Change::Delete { key: key.into() };
    let cases = [
        write(3, &[put("b", 0)]),
        write(5, &[put("b", 0)]),
        write(4, &[]),
        write(4, &[put("", 0)]),
        write(4, &[put("b", 9)]),
        write(4, &[put("b", 0), put("c", 9)]),
        write(4, &[delete("b")]),
        write(4, &[delete("a"), delete("a")]),
        Effect::Grant { id: 7, ttl: 1 },
        Effect::Grant { id: 0, ttl: 1 },
        Effect::Grant { id: 8, ttl: MAX_LEASE_TTL + 1 },
        Effect::Revoke { id: 8, revision: 3 },
        Effect::Revoke { id: 7, revision: 3 },
        Effect::Compact { revision: 4 },
        Effect::Compact { revision: -1 },
    ];
    let mut said = String::new();
    for effect in cases {
        let mut state = script("+7; a=1@7; c=1");
        let before = state.clone();
        let error = state.apply(&effect).unwrap_err();
        writeln!(said, "{error}").unwrap();
        assert!(state.content_eq(&before) && state.size() == before.size(), "{effect:?}");
    }
    expect![[r#"
        revision 3 does not follow revision 3
        revision 5 does not follow revision 3
        revision 4 changes nothing
        a change at revision 4 names no key
        lease 9 is not known
        lease 9 is not known
        revision 4 deletes `b`, which is not there
        revision 4 deletes `a`, which is not there
        lease 7 cannot be granted
        lease 0 cannot be granted
        lease 8 cannot be granted
        lease 8 is not known
        revision 3 does not follow revision 3
        compaction at 4 does not fit revision 3 compacted at -1
        compaction at -1 does not fit revision 3 compacted at -1
    "#]]
    .assert_eq(&said);
}
