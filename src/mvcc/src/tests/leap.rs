//! Jumping ahead in revisions.

use super::*;

#[test]
fn a_leap_keeps_the_keys_and_forgets_the_revisions_before() {
    let mut state = script("+7; a=1@7; b=1; b=2; c=1; -c; !4");
    let before = state.clone();
    let effect = state.leap(1000).unwrap();
    assert_eq!(effect, Effect::Leap { revision: 1000 });
    assert_eq!((state.revision(), state.compacted(), state.keys()), (1000, 1000, 2));
    let old = RangeRequest { revision: 999, ..range("a..") };
    assert_eq!(state.range(&old).unwrap_err(), Error::Compacted);
    let found = |state: &State| state.range(&range("a..")).unwrap().kvs;
    assert_eq!(found(&state), found(&before), "versions and their revisions stay");
    assert!(state.events(999, 1001, &keys("a..")).is_err());
    assert_eq!(state.events(1001, 1002, &keys("a..")).unwrap().count(), 0);
    run(&mut state, "b=3; ~7");
    assert_eq!(state.events_at(1001).len(), 1);
    assert_eq!((state.revision(), state.keys()), (1002, 1));
}

#[test]
fn a_leap_is_replayed_and_survives_a_checkpoint() {
    let mut state = script("a=1; b=1; -a");
    let mut other = state.clone();
    let effect = state.leap(50).unwrap();
    other.apply(&effect).unwrap();
    assert!(state.content_eq(&other));
    let mut builder = State::builder();
    state.items().for_each(|item| builder.push(item).unwrap());
    assert!(builder.finish().unwrap().content_eq(&state));
    for behind in [49, 50] {
        assert_eq!(state.leap(behind), Err(Error::FutureRevision));
    }
}
