//! Items and what is built of them; what is damaged is refused.

use expect_test::expect;

use super::*;

fn rebuild(items: impl IntoIterator<Item = Item>) -> Result<State, ApplyError> {
    let mut builder = State::builder();
    items.into_iter().try_for_each(|item| builder.push(item))?;
    builder.finish()
}

const STORY: &str = "+7; +9; a=1@7; b=1 c=1@9; a=2@7; -b; b=2; -c a=3@7; d=1; -d; e=1 f=1";

#[test]
fn an_equal_state_is_built() {
    for compacted in [None, Some(0), Some(1), Some(2), Some(5), Some(7), Some(9), Some(10)] {
        let mut state = script(STORY);
        compacted.into_iter().for_each(|revision| drop(state.compact(revision).unwrap()));
        let built = rebuild(state.items()).unwrap();
        assert!(built.content_eq(&state));
        assert_eq!(show(&built), show(&state));
        assert!(!built.sweeping(), "{compacted:?}");
        assert_eq!(built.hash_kv(0), state.hash_kv(0));
        sweep(&mut state);
        assert_eq!(built.size(), state.size());
        assert!(rebuild(state.into_items()).unwrap().content_eq(&built));
        // And it goes on as the other does.
        let mut built = built;
        run(&mut built, "a=9; -b..; !11");
        sweep(&mut built);
        assert_eq!(built.keys(), 1);
    }
}

#[test]
fn an_imported_state_need_not_reach_its_compaction_revision() {
    let kv = KeyValue {
        key: "a".into(),
        value: "1".into(),
        create_revision: 3,
        mod_revision: 5,
        version: 1,
        lease: 0,
    };
    let head = Item::Head { revision: 9, compacted: 9, leases: 0, versions: 1 };
    let version = Item::Version { sub: 3, kind: EventKind::Put, kv: kv.into() };
    let mut state = rebuild([head, version]).unwrap();
    run(&mut state, "a=2; !10");
    sweep(&mut state);
    expect![[r#"
        revision 10, compacted 10
        a=2 @10 from 3 v2 .0
          put a=2 @10 from 3 v2
    "#]]
    .assert_eq(&show(&state));
}

/// Each way to break a good checkpoint, and what is said of it.
#[test]
fn damaged_checkpoints() {
    let mut state = script(STORY);
    state.compact(5).unwrap();
    let items: Vec<Item> = state.items().collect();
    assert!(rebuild(items.clone()).is_ok());
    let mut said = String::new();
    for at in 0..items.len() {
        let mut fewer = items.clone();
        fewer.remove(at);
        writeln!(said, "without {at}: {}", rebuild(fewer).unwrap_err()).unwrap();
    }
    for at in 1..items.len() {
        let mut swapped = items.clone();
        swapped.swap(at - 1, at);
        writeln!(said, "{at} before its time: {}", rebuild(swapped).unwrap_err()).unwrap();
    }
    type Damage = fn(&mut KeyValue);
    let damages: [(&str, Damage); 7] = [
        ("no key", |kv| kv.key = "".into()),
        ("another key", |kv| kv.key = "zz".into()),
        ("version", |kv| kv.version += 1),
        ("no version", |kv| kv.version = -1),
        ("create revision", |kv| kv.create_revision += 1),
        ("revision", |kv| kv.mod_revision += 1),
        ("lease", |kv| kv.lease = 5),
    ];
    for (name, damage) in damages {
        let mut bad = items.clone();
        let Some(Item::Version { kv, .. }) = bad.last_mut() else { panic!("no version") };
        let mut changed = KeyValue::clone(kv);
        damage(&mut changed);
        *kv = changed.into();
        let result = rebuild(bad).map_or_else(|error| error.to_string(), |_| "fine".into());
        writeln!(said, "{name}: {result}").unwrap();
    }
    expect![[r#"
        without 0: what comes before the head is out of its order
        without 1: 1 leases instead of the 2 that the head promised
        without 2: 1 leases instead of the 2 that the head promised
        without 3: the version of `c` at revision 7 does not fit the one before
        without 4: the version of `a` at revision 7 does not fit the one before
        without 5: 9 versions instead of the 10 that the head promised
        without 6: revision 7 does not follow revision 5
        without 7: a version is out of its order
        without 8: 9 versions instead of the 10 that the head promised
        without 9: revision 9 does not follow revision 7
        without 10: revision 10 does not follow revision 8
        without 11: a version is out of its order
        without 12: 9 versions instead of the 10 that the head promised
        1 before its time: what comes before the head is out of its order
        2 before its time: a lease is out of its order
        3 before its time: a lease is out of its order
        4 before its time: a version is out of its order
        5 before its time: a version is out of its order
        6 before its time: a version is out of its order
        7 before its time: revision 7 does not follow revision 5
        8 before its time: a version is out of its order
        9 before its time: a version is out of its order
        10 before its time: revision 9 does not follow revision 7
        11 before its time: revision 10 does not follow revision 8
        12 before its time: a version is out of its order
        no key: the version of `` at revision 10 does not fit the one before
        another key: fine
        version: the version of `f` at revision 10 does not fit the one before
        no version: the version of `f` at revision 10 does not fit the one before
        create revision: the version of `f` at revision 10 does not fit the one before
        revision: a version is out of its order
        lease: lease 5 is not known
    "#]]
    .assert_eq(&said);
}

#[test]
fn heads_that_cannot_be() {
    let head = |revision, compacted| Item::Head { revision, compacted, leases: 0, versions: 0 };
    for (revision, compacted) in [(0, -1), (5, 6), (5, -2), (3, -1)] {
        assert!(rebuild([head(revision, compacted)]).is_err(), "{revision} {compacted}");
    }
    assert!(rebuild([head(1, -1)]).unwrap().content_eq(&State::new()));
    assert!(rebuild([]).is_err());
    let lease = |id| Item::Lease { id, ttl: 5 };
    let heads = |leases| Item::Head { revision: 1, compacted: -1, leases, versions: 0 };
    assert!(rebuild([heads(2), lease(-3), lease(3)]).is_ok());
    assert!(rebuild([heads(2), lease(3), lease(3)]).is_err());
    assert!(rebuild([heads(1), lease(0)]).is_err());
    assert!(rebuild([heads(1), lease(1), lease(2)]).is_err());
}
