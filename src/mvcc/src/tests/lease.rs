//! Leases: what hangs on them, and what goes with them.

use expect_test::expect;

use super::*;

#[test]
fn keys_hang_on_the_lease_of_their_last_put() {
    let state = script("+7; +8; b=1@7; a=1@7; c=1@8; a=2@8; b=2; c=2@8");
    let keys = |id| state.lease(id).unwrap().keys.clone();
    assert_eq!(keys(7).iter().count(), 0);
    assert_eq!(format!("{:?}", keys(8)), r#"{b"a", b"c"}"#);
    assert!(keys(8).contains(b"a") && !keys(8).contains(b"b"));
    assert_eq!((keys(8).len(), keys(8).is_empty(), keys(7).is_empty()), (2, false, true));
    assert_eq!(state.lease(9), None);
    let ids: Vec<_> = state.leases().map(|(id, lease)| (id, lease.ttl)).collect();
    assert_eq!(ids, [(7, 60), (8, 60)]);
}

#[test]
fn a_revoked_lease_takes_its_keys_along_in_their_order_at_one_revision() {
    let mut state = script("+7; +8; c=1@7; a=1@7; b=1@7; d=1@8; -b");
    assert_eq!(state.revoke(7), Ok(Effect::Revoke { id: 7, revision: 7 }));
    let events: Vec<_> = state.events_at(7).iter().map(show_event).collect();
    expect![[r#"
        [
            "delete a @7, was a=1 @3 from 3 v1 lease 7",
            "delete c @7, was c=1 @2 from 2 v1 lease 7",
        ]
    "#]]
    .assert_debug_eq(&events);
    assert_eq!((state.lease(7), state.keys()), (None, 1));
    assert_eq!(state.revoke(7), Err(Error::LeaseNotFound));
    run(&mut state, "-d");
    assert_eq!(state.revoke(8), Ok(Effect::Revoke { id: 8, revision: 8 }));
    assert_eq!(state.revision(), 8, "nothing hung on it, so nothing happened");
}

#[test]
fn refused_grants() {
    let mut state = script("+7");
    let size = state.size();
    assert_eq!(state.grant(0, 5), Err(Error::LeaseNotFound));
    assert_eq!(state.grant(7, MAX_LEASE_TTL + 1), Err(Error::LeaseTtlTooLarge));
    assert_eq!(state.grant(7, 5), Err(Error::LeaseExists));
    assert_eq!(state.size(), size);
    assert_eq!(state.grant(-7, MAX_LEASE_TTL), Ok(Effect::Grant { id: -7, ttl: MAX_LEASE_TTL }));
    assert_eq!(state.leases().map(|(id, _)| id).collect::<Vec<_>>(), [-7, 7]);
}
